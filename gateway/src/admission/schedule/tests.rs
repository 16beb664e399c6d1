use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    per_s: 1_000,
    waiting_max: 800,
    waiting_bytes_max: 1 << 20,
    attaching_max: usize::MAX / 8,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn who(rank: Rank, name: u64) -> Applied {
    Applied {
        rank,
        name: Some(name),
        bytes: 100,
    }
}

fn waits(verdict: Verdict) -> Ticket {
    match verdict {
        Verdict::Wait(ticket) => ticket,
        Verdict::Later(wait) => panic!("told to come back in {wait:?}"),
    }
}

fn later(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Later(wait) => wait,
        Verdict::Wait(ticket) => panic!("{ticket:?} waits"),
    }
}

/// Everybody who is let in up to `until`, asked every millisecond and done at once.
fn run(schedule: &mut Schedule, from: Instant, until: Duration) -> Vec<(u64, Ticket)> {
    let mut admitted = Vec::new();
    for passed in 0..until.as_millis() as u64 {
        while let Some(ticket) = schedule.admit(from + ms(passed)) {
            admitted.push((passed, ticket));
            schedule.leave(ticket);
        }
    }
    admitted
}

#[test]
fn d1_attaches_are_admitted_at_the_set_rate() {
    let start = Instant::now();
    let mut schedule = Schedule::new(LIMITS, start);
    for name in 0..700 {
        waits(schedule.apply(start, &who(Rank::Resume, name), 0.5));
    }
    let admitted = run(&mut schedule, start, ms(500));
    // What was saved up, and 500 ms of the rate.
    assert!((545..=552).contains(&admitted.len()), "{}", admitted.len());
    assert!(schedule.next(start + ms(500)).is_some());
    run(&mut schedule, start + ms(500), ms(500));
    assert_eq!(schedule.next(start + ms(1_000)), None);
}

#[test]
fn d1_resumes_go_before_opens_and_opens_are_not_starved() {
    let start = Instant::now();
    let mut schedule = Schedule::new(LIMITS, start);
    for name in 0..80 {
        waits(schedule.apply(start, &who(Rank::Open, 1_000 + name), 0.5));
    }
    for name in 0..400 {
        waits(schedule.apply(start, &who(Rank::Resume, name), 0.5));
    }
    let admitted = run(&mut schedule, start, ms(200));
    let ranks: Vec<_> = admitted.iter().map(|(_, ticket)| ticket.rank).collect();
    for eight in ranks.chunks_exact(8) {
        assert_eq!(eight.iter().filter(|rank| **rank == Rank::Open).count(), 1);
    }
    // Alone, they have the whole rate.
    run(&mut schedule, start + ms(200), ms(400));
    let mut schedule = Schedule::new(LIMITS, start);
    for name in 0..100 {
        waits(schedule.apply(start, &who(Rank::Open, name), 0.5));
    }
    assert_eq!(run(&mut schedule, start, ms(60)).len(), 100);
}

#[test]
fn d4_who_has_missed_nothing_goes_first() {
    let start = Instant::now();
    let mut schedule = Schedule::new(LIMITS, start);
    for name in 0..100 {
        let rank = if name % 2 == 0 {
            Rank::Resume
        } else {
            Rank::Current
        };
        waits(schedule.apply(start, &who(rank, name), 0.5));
    }
    let admitted = run(&mut schedule, start, ms(200));
    assert!(admitted.is_sorted_by_key(|(_, ticket)| ticket.rank));
}

#[test]
fn d1_beyond_the_queue_everybody_gets_a_slot_of_its_own() {
    let start = Instant::now();
    let mut schedule = Schedule::new(LIMITS, start);
    let mut slots = Vec::new();
    for name in 0..5_000 {
        match schedule.apply(start, &who(Rank::Resume, name), 0.0) {
            Verdict::Wait(_) => {}
            Verdict::Later(wait) => slots.push((wait, name)),
        }
    }
    assert_eq!(slots.len(), 4_300);
    for (number, (wait, _)) in slots.iter().enumerate() {
        // They follow the 700 that wait, a millisecond each; or those that may wait, at seven eighths.
        let even = 800 + number as u64;
        assert!(
            wait.as_millis().abs_diff(u128::from(even)) <= 1,
            "{wait:?} {even}"
        );
    }
    // Whoever comes at its slot finds a place, and is let in soon.
    run(&mut schedule, start, ms(800));
    let mut at = ms(800);
    for (wait, name) in slots {
        run(&mut schedule, start + at, wait.saturating_sub(at));
        at = wait;
        let ticket = waits(schedule.apply(start + wait, &who(Rank::Resume, name), 0.0));
        let admitted = run(&mut schedule, start + wait, ms(2));
        assert!(admitted.iter().any(|(_, admitted)| *admitted == ticket));
        at += ms(2);
    }
}

#[test]
fn d1_slots_are_spread_by_chance() {
    let start = Instant::now();
    let none = Limits {
        waiting_max: 0,
        ..LIMITS
    };
    for (chance, spread) in [(0.0, 0), (0.5, 50), (1.0, 100)] {
        let mut schedule = Schedule::new(none, start);
        let wait = later(schedule.apply(start, &who(Rank::Resume, 1), chance));
        assert_eq!(wait, ms(spread));
    }
}

#[test]
fn d1_bounds_are_bounds() {
    let start = Instant::now();
    let tight = Limits {
        waiting_bytes_max: 8_000,
        attaching_max: 16,
        ..LIMITS
    };
    let mut schedule = Schedule::new(tight, start);
    let waiting = (0..1_000)
        .filter(|name| {
            let verdict = schedule.apply(start, &who(Rank::Resume, *name), 0.5);
            matches!(verdict, Verdict::Wait(_))
        })
        .count();
    assert_eq!(waiting, 70, "seven eighths of the memory");
    waits(schedule.apply(start, &who(Rank::Open, 5_000), 0.5));
    let now = start + ms(1_000);
    let admitted: Vec<_> = std::iter::from_fn(|| schedule.admit(now)).collect();
    let opens = admitted
        .iter()
        .filter(|ticket| ticket.rank == Rank::Open)
        .count();
    assert_eq!(
        (admitted.len(), opens),
        (15, 1),
        "seven eighths of those that attach, and an open"
    );
    assert_eq!(schedule.next(now), None, "it is no matter of time");
    schedule.leave(admitted[0]);
    assert!(schedule.admit(now).is_some());
    for name in 10_000..200_000 {
        schedule.apply(now, &who(Rank::Resume, name), 0.5);
    }
    assert_eq!(schedule.slots.by_name.len(), SLOTS_MAX);
    let wait = later(schedule.apply(now, &who(Rank::Resume, 200_000), 1.0));
    assert!(wait <= AHEAD * 2, "{wait:?}");
    // Nobody has come for them: they are dropped.
    let late = now + AHEAD + KEPT * 2;
    schedule.slots.keep(1, late, late);
    assert_eq!(schedule.slots.by_name.len(), 1);
}

/// A client of the simulation below.
#[derive(Debug, Clone, Copy)]
struct Client {
    /// It retries this often, whatever it is told.
    rude: Option<u64>,
    next_ms: u64,
    waits: bool,
    admitted_ms: Option<u64>,
}

/// Lets clients come back until all are in; returns when each was.
fn simulate(per_s: u32, clients: &[Option<u64>], seed: u64) -> Vec<u64> {
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    let start = Instant::now();
    let limits = Limits {
        per_s,
        waiting_max: per_s as usize / 10,
        ..LIMITS
    };
    let mut schedule = Schedule::new(limits, start);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut waiting = BTreeMap::new();
    let mut all: Vec<_> = clients
        .iter()
        .map(|rude| Client {
            rude: *rude,
            next_ms: rng.random_range(0..20),
            waits: false,
            admitted_ms: None,
        })
        .collect();
    for now_ms in 0..120_000 {
        let now = start + ms(now_ms);
        for (name, client) in all.iter_mut().enumerate() {
            if client.admitted_ms.is_some() || client.waits || client.next_ms > now_ms {
                continue;
            }
            match schedule.apply(now, &who(Rank::Resume, name as u64), rng.random()) {
                Verdict::Wait(ticket) => {
                    client.waits = true;
                    waiting.insert(ticket.number, name);
                }
                Verdict::Later(wait) => {
                    let told_ms = wait.as_millis() as u64 + 1;
                    client.next_ms = now_ms + client.rude.unwrap_or(told_ms);
                }
            }
        }
        while let Some(ticket) = schedule.admit(now) {
            let name = waiting.remove(&ticket.number).unwrap();
            let client = &mut all[name];
            client.admitted_ms = Some(now_ms);
            schedule.leave(ticket);
        }
        if all.iter().all(|client| client.admitted_ms.is_some()) {
            break;
        }
    }
    all.iter()
        .map(|client| client.admitted_ms.expect("somebody never gets in"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn d1_who_ignores_its_slot_gains_nothing(
        seed: u64,
        per_s in 100_u32..1_000,
        polite in 50_usize..200,
        rude in 50_usize..200,
        every_ms in 5_u64..200,
    ) {
        // Polite and rude ones in turns, so that they come in the same order.
        let mut clients = vec![None; polite];
        clients.extend(vec![Some(every_ms); rude]);
        let mixed = simulate(per_s, &clients, seed);
        let polite_alone = simulate(per_s, &vec![None; polite + rude], seed);
        let last = |all: &[u64]| all.iter().copied().max().unwrap_or(0);
        // The polite are in as early as if the others were, too …
        let slack = last(&polite_alone) / 4 + 250;
        prop_assert!(last(&mixed[..polite]) <= last(&polite_alone) + slack);
        // … and the rude no earlier.
        let mean = |all: &[u64]| all.iter().sum::<u64>() as f64 / all.len() as f64;
        prop_assert!(mean(&mixed[polite..]) + slack as f64 >= mean(&polite_alone[polite..]));
    }

    #[test]
    fn d1_nothing_is_lost_and_no_bound_is_passed(
        steps in prop::collection::vec((0_u8..4, 0_u64..40, 0_u64..20, 0.0_f64..1.0), 1..400),
    ) {
        let limits = Limits { per_s: 100, waiting_max: 16, waiting_bytes_max: 1_200, attaching_max: 8 };
        let mut now = Instant::now();
        let mut schedule = Schedule::new(limits, now);
        let (mut waiting, mut attaching) = (BTreeMap::new(), Vec::new());
        for (what, name, passed, chance) in steps {
            now += ms(passed);
            match what {
                0 | 1 => {
                    let rank = [Rank::Current, Rank::Resume, Rank::Open][name as usize % 3];
                    let applied = Applied { name: (name < 35).then_some(name), ..who(rank, name) };
                    if let Verdict::Wait(ticket) = schedule.apply(now, &applied, chance) {
                        waiting.insert(ticket.number, ticket);
                    }
                }
                2 => while let Some(ticket) = schedule.admit(now) {
                    prop_assert!(waiting.remove(&ticket.number).is_some());
                    attaching.push(ticket);
                },
                _ => {
                    let gone = if name % 2 == 0 { waiting.pop_first().map(|(_, ticket)| ticket) } else { attaching.pop() };
                    if let Some(gone) = gone {
                        schedule.leave(gone);
                    }
                }
            }
            prop_assert_eq!(schedule.waiting.len(), waiting.len());
            prop_assert_eq!(schedule.resumes.waiting + schedule.opens.waiting, waiting.len());
            prop_assert_eq!(schedule.resumes.attaching + schedule.opens.attaching, attaching.len());
            let bytes = schedule.resumes.waiting_bytes + schedule.opens.waiting_bytes;
            prop_assert_eq!(bytes, waiting.len() * 100);
            prop_assert!(waiting.len() <= 16 && bytes <= 1_200 && attaching.len() <= 8);
        }
        // Whoever still waits is let in, sooner or later.
        while !waiting.is_empty() {
            attaching.drain(..).for_each(|ticket| schedule.leave(ticket));
            now += ms(1_000);
            while let Some(ticket) = schedule.admit(now) {
                waiting.remove(&ticket.number);
                attaching.push(ticket);
            }
            prop_assert!(!attaching.is_empty());
        }
    }
}
