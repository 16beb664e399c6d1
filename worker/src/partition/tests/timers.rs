//! When rooms are woken: as they said, whoever runs them then, and no more often than is good.

use outlast_store::{Body, Commit};
use proptest::prelude::*;

use super::{
    bench::{Asked, Bench, entries, event},
    crashes::seeded,
    lab::{Action, Sleep},
};
use crate::{WorkerSettings, partition::WAKES_MAX};

use Asked::{Act, Join, Leave};

const HOUR_MS: u64 = 3_600_000;

fn woken(commit: &Commit) -> usize {
    let woken = event(None, None, r#""woken""#);
    let all = entries(commit).into_iter();
    all.filter(|entry| *entry == woken).count()
}

#[test]
fn w8_a_room_is_woken_when_it_said() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let at_ms = bench.now_ms + 50;
    bench.do_(7, Act(Action::WakeAt(at_ms)));
    assert_eq!(bench.core.next_wake_ms(), Some(at_ms));
    assert!(bench.batch().is_none(), "it is not time yet");
    bench.now_ms = at_ms;
    let commit = bench.batch().unwrap();
    assert_eq!(entries(&commit)[0], event(None, None, r#""woken""#));
    assert_eq!(bench.core.next_wake_ms(), None);
    assert_eq!(bench.room().wake_ms, None);
}

#[test]
fn w8_a_room_is_woken_by_the_next_worker_though_nobody_speaks_to_it() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::WakeAt(bench.now_ms + 50)));
    bench.do_(7, Leave);
    bench.crash();
    assert_eq!(bench.core.rooms_in_memory(), 0);
    bench.now_ms += 50;
    assert_eq!(
        entries(&bench.batch().unwrap())[0],
        event(None, None, r#""woken""#)
    );
    assert_eq!(bench.core.rooms_in_memory(), 0);
}

#[test]
fn w8_a_room_that_is_always_due_is_not_woken_all_the_time() {
    for (sleep, within_ms) in [(Sleep::Light, 10..100), (Sleep::Nightmares, 500..5_000)] {
        let mut bench = Bench::new();
        bench.do_(7, Join);
        bench.do_(7, Act(Action::Sleep(sleep)));
        bench.do_(7, Act(Action::WakeAt(0)));
        for _ in 0..3 {
            bench.batch();
            let wait_ms = bench.core.next_wake_ms().unwrap() - bench.now_ms;
            assert!(within_ms.contains(&wait_ms), "{sleep:?} after {wait_ms} ms");
            assert!(bench.batch().is_none());
            bench.now_ms += wait_ms;
        }
        bench.do_(7, Act(Action::Add(1)));
        assert_eq!(bench.state(7).total, 1, "it serves all the same");
    }
}

#[test]
fn w8_a_room_that_is_woken_late_is_woken_once() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Sleep(Sleep::Light)));
    bench.do_(7, Act(Action::WakeAt(bench.now_ms + 100)));
    bench.crash();
    bench.now_ms += HOUR_MS;
    assert_eq!(woken(&bench.batch().unwrap()), 1);
    assert_eq!(bench.log().last().unwrap().at, bench.now_ms);
    assert!(
        bench.batch().is_none(),
        "what was missed is not made up for"
    );
}

#[test]
fn w8_a_room_that_nobody_is_in_is_woken_on_time_but_seldom_again() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Sleep(Sleep::Light)));
    let at_ms = bench.now_ms + 100;
    bench.do_(7, Act(Action::WakeAt(at_ms)));
    bench.do_(7, Leave);
    assert_eq!(bench.core.rooms_in_memory(), 0);
    assert_eq!(bench.core.next_wake_ms(), Some(at_ms));
    bench.now_ms = at_ms;
    assert_eq!(woken(&bench.batch().unwrap()), 1);
    assert_eq!(bench.core.rooms_in_memory(), 0);
    assert_eq!(bench.core.next_wake_ms(), Some(at_ms + 1_000));
}

#[test]
fn e2_a_room_that_wants_to_be_woken_stays_in_the_store_until_then() {
    let mut bench = Bench::new();
    let ttl_ms = bench.settings.room_ttl_ms;
    bench.do_(7, Join);
    bench.do_(7, Act(Action::WakeAt(bench.now_ms + 100 * HOUR_MS)));
    bench.do_(7, Leave);
    assert_eq!(bench.room().ttl_ms, Some(100 * HOUR_MS + ttl_ms));
    bench.now_ms += 100 * HOUR_MS;
    assert_eq!(woken(&bench.batch().unwrap()), 1);
    assert_eq!(
        bench.room().ttl_ms,
        Some(ttl_ms),
        "and from then on as long as any"
    );
}

/// So many rooms set their alarms and are left; answers when the last is due.
fn many(bench: &mut Bench, rooms: usize) -> u64 {
    let last_ms = bench.now_ms + 1_000 + rooms as u64;
    for number in 0..rooms {
        let room = format!("lab/{number}");
        // The earliest last.
        let at_ms = last_ms - number as u64;
        bench.post_in(&room, 7, Join);
        bench.post_in(&room, 7, Act(Action::WakeAt(at_ms)));
        bench.post_in(&room, 7, Leave);
    }
    while bench.batch().is_some() {}
    last_ms
}

fn all_are_woken(bench: &mut Bench, rooms: usize, last_ms: u64) {
    assert!(bench.batch().is_none(), "it is not time yet");
    bench.now_ms = last_ms;
    let mut all = 0;
    while bench
        .core
        .next_wake_ms()
        .is_some_and(|at_ms| at_ms <= last_ms)
    {
        all += bench.batch().as_ref().map_or(0, woken);
    }
    assert_eq!(all, rooms);
    assert_eq!(bench.core.next_wake_ms(), None);
}

fn large_batches() -> Bench {
    Bench::with(WorkerSettings {
        batch_max: WAKES_MAX,
        ..WorkerSettings::default()
    })
}

#[test]
fn w8_more_rooms_are_woken_than_a_new_worker_asks_for_at_once() {
    const ROOMS: usize = WAKES_MAX + 50;
    let mut bench = large_batches();
    let last_ms = many(&mut bench, ROOMS);
    bench.crash();
    all_are_woken(&mut bench, ROOMS, last_ms);
}

#[test]
fn w8_more_rooms_are_woken_than_a_worker_keeps_in_mind() {
    const ROOMS: usize = 2 * WAKES_MAX + 50;
    let mut bench = large_batches();
    let last_ms = many(&mut bench, ROOMS);
    all_are_woken(&mut bench, ROOMS, last_ms);
}

/// One step of a test with crashes.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody sets the alarm, so many milliseconds from then.
    Set(u64),
    /// So much time passes.
    Pass(u64),
    /// A batch is done …
    Batch,
    /// … or begun, and the worker dies before it commits.
    Crash,
    /// Everybody leaves, and comes back.
    Leave,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..500u64).prop_map(Step::Set),
        4 => (0..300u64).prop_map(Step::Pass),
        4 => Just(Step::Batch),
        2 => Just(Step::Crash),
        1 => Just(Step::Leave),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn w8_an_alarm_goes_off_once_and_never_early_whatever_crashes(steps in steps()) {
        let mut bench = Bench::new();
        bench.do_(7, Join);
        for step in steps {
            match step {
                Step::Set(in_ms) => bench.post(7, Act(Action::WakeAt(bench.now_ms + in_ms))),
                Step::Pass(ms) => bench.now_ms += ms,
                Step::Batch => drop(bench.batch()),
                Step::Crash => {
                    bench.batch_of(usize::MAX);
                    bench.crash();
                }
                Step::Leave => {
                    bench.post(7, Leave);
                    bench.batch();
                    bench.post(7, Join);
                }
            }
        }
        bench.crash();
        bench.now_ms += 1_000;
        while bench.batch().is_some() {}

        let mut set = None;
        for entry in bench.log() {
            let Body::Event { data, .. } = &entry.body else { continue };
            let data: serde_json::Value = data.read().unwrap();
            if data == "woken" {
                let at_ms: Option<u64> = set.take();
                prop_assert!(at_ms.is_some_and(|at_ms| at_ms <= entry.at), "{at_ms:?} at {}", entry.at);
            } else if data.get("wake_at").is_some() {
                set = data["wake_at"].as_u64();
            }
        }
        prop_assert_eq!(set, None, "an alarm was forgotten");
    }
}
