//! W3, against chance: whatever crashes between any two steps, the same happens.

use std::collections::BTreeMap;

use outlast_protocol::Sid;
use outlast_store::{Body, Input, Request, Seat};
use proptest::{prelude::*, test_runner::RngSeed};

use super::{
    bench::{Asked, Bench, ROOM, input, input_in, request},
    lab::{Action, Lab},
};
use crate::WorkerSettings;

const ROOMS: [&str; 2] = [ROOM, "lab/two"];

/// One step of a test.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody says something.
    Say(Input),
    /// Up to so many inputs are taken up, and committed.
    Batch(usize),
    /// They are taken up, but the worker dies before it commits.
    Crash(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => said().prop_map(Step::Say),
        3 => (1..20usize).prop_map(Step::Batch),
        2 => (0..20usize).prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..150)
}

fn said() -> impl Strategy<Value = Input> {
    let action = prop_oneof![
        4 => (1..100u64).prop_map(Action::Add),
        2 => (1..100u64).prop_map(Action::AddTwice),
        1 => (1..100u64).prop_map(Action::AddAndAnswer),
        1 => (1..100u64).prop_map(Action::Answer),
        2 => (1..100u64).prop_map(Action::Keep),
        1 => (1..100u64).prop_map(Action::AddAndKeep),
        3 => Just(Action::Nothing),
        1 => Just(Action::Refuse),
        1 => Just(Action::Whisper(1)),
        1 => Just(Action::PanicInApply),
    ];
    let asked = prop_oneof![
        4 => Just(Asked::Join),
        1 => Just(Asked::JoinSaying("no")),
        8 => action.prop_map(Asked::Act),
        2 => Just(Asked::Leave),
    ];
    let said = prop_oneof![
        20 => (1..12u64, asked).prop_map(|(n, asked)| request(n, asked)),
        2 => any::<bool>().prop_map(|view| Request::Attached { view }),
        2 => Just(Request::Arrived),
        2 => Just(Request::Detached),
        1 => Just(Request::View),
        1 => Just(Request::Over { reason: "expired".into() }),
    ];
    let room = prop::sample::select(&ROOMS[..]);
    let who = (0..4u64, 1..3u64, any::<bool>());
    (room, who, said).prop_map(|(room, (session, generation, waits), said)| {
        let input = input_in(room, session, generation, said);
        Input {
            gateway: input.gateway.clone().filter(|_| waits),
            ..input
        }
    })
}

/// The parts of a room that last, apart from where batches began and ended.
#[derive(Debug, PartialEq)]
struct Lasting {
    bodies: Vec<Body>,
    state: Option<Lab>,
    seats: BTreeMap<Sid, Seat>,
}

fn run(steps: &[Step], crashes: bool) -> Vec<Option<Lasting>> {
    let settings = WorkerSettings {
        snapshot_every: 3,
        ..WorkerSettings::default()
    };
    let mut bench = Bench::with(settings);
    for step in steps {
        match step {
            Step::Say(input) => {
                bench.now_ms += 3;
                bench.append(input.clone());
            }
            Step::Batch(max) if crashes => {
                if let Some(commit) = bench.batch_of(*max) {
                    bench.shelf.commit(&commit);
                }
            }
            Step::Crash(max) if crashes => {
                bench.batch_of(*max);
                bench.crash();
            }
            Step::Batch(_) | Step::Crash(_) => {}
        }
    }
    while bench.batch().is_some() {}
    // What is held for company goes alone after a while.
    bench.now_ms += 1_000;
    while bench.batch().is_some() {}
    ROOMS.iter().map(|room| lasting(&mut bench, room)).collect()
}

fn lasting(bench: &mut Bench, room: &str) -> Option<Lasting> {
    let on_shelf = bench.shelf.rooms.get(&room.parse().unwrap())?.clone();
    let bodies = on_shelf.log.iter().map(|entry| entry.body.clone());
    let mut state: Lab = match crate::live::LiveRoom::fold(
        crate::live::Kind::of::<Lab>(),
        on_shelf.load.snapshot.as_ref(),
        &on_shelf.load.entries,
    ) {
        Ok(room) => room.state().unwrap().1.read().unwrap(),
        Err(fault) => panic!("{fault}"),
    };
    // When it was depends on the batch.
    state.last_at_ms = 0;
    Some(Lasting {
        // How many acts one result settles depends on the batch (A2).
        bodies: bodies.filter(|body| !is_settlement(body)).collect(),
        state: Some(state),
        seats: on_shelf.load.seats.into_iter().map(placeless).collect(),
    })
}

fn is_settlement(body: &Body) -> bool {
    matches!(
        body,
        Body::Result {
            ok: true,
            data: None,
            kept: None,
            ..
        }
    )
}

/// Positions differ by as many settlements as there are, and by tags; times, by when an input was taken up.
fn placeless((sid, mut seat): (Sid, Seat)) -> (Sid, Seat) {
    seat.at = 0;
    seat.over_at = seat.over_at.map(|_| 0);
    seat.settled_off = seat.settled_off.map(|_| 0);
    seat.joined = seat.joined.map(|_| Default::default());
    for outcome in &mut seat.outcomes {
        outcome.pos = Default::default();
    }
    (sid, seat)
}

/// Each act that was applied has exactly one outcome (A2), in the order of their numbers (A7).
fn check_outcomes(steps: &[Step]) {
    let mut bench = Bench::new();
    let mut said = Vec::new();
    for step in steps {
        match step {
            Step::Say(input) => {
                bench.append(input.clone());
                said.push(input.clone());
            }
            Step::Batch(max) => {
                if let Some(commit) = bench.batch_of(*max) {
                    bench.shelf.commit(&commit);
                }
            }
            Step::Crash(_) => {}
        }
    }
    while bench.batch().is_some() {}
    let room = bench.shelf.rooms.get(&ROOM.parse().unwrap());
    let Some(room) = room else { return };
    for (_, seat) in &room.load.seats {
        let Some(member) = seat.member else { continue };
        let outcomes = room.log.iter().map(|entry| entry.body.settles(member));
        let outcomes: Vec<u64> = outcomes.flatten().collect();
        assert!(
            outcomes.is_sorted(),
            "member {member}'s outcomes come in the order {outcomes:?}"
        );
        let mut settled: BTreeMap<u64, u32> = BTreeMap::new();
        for n in outcomes {
            *settled.entry(n).or_default() += 1;
        }
        for (n, times) in settled {
            assert_eq!(
                times, 1,
                "member {member}'s action {n} has {times} outcomes"
            );
            assert!(n <= seat.n);
        }
    }
}

/// `OUTLAST_SEED=…` repeats a run.
pub(super) fn seeded() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(outlast_testkit::seed()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn w3_a_crash_between_any_two_steps_changes_nothing(steps in steps()) {
        prop_assert_eq!(run(&steps, true), run(&steps, false));
    }

    #[test]
    fn a2_each_applied_act_has_one_outcome(steps in steps()) {
        check_outcomes(&steps);
    }
}

#[test]
fn a1_repeating_everything_changes_nothing() {
    let mut bench = Bench::new();
    let mut all = vec![input(1, 1, request(1, Asked::Join))];
    all.extend((2..40).map(|n| input(1, 1, request(n, Asked::Act(Action::Add(n))))));
    for round in 0..3 {
        for input in &all {
            bench.append(input.clone());
        }
        bench.batch();
        bench.crash();
        assert_eq!(bench.log().len(), all.len(), "round {round}");
    }
}
