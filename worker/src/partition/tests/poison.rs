//! The deaths of holders: here they die between two steps, where the store is all that is left of them.

use outlast_store::{Answer, Body, Commit, Request};
use serde_json::Value;

use crate::partition::WAKES_MAX;

use super::{
    bench::{Asked, Bench, ROOM, answers, entries, event, input, refused, request},
    lab::{Action, Sleep},
};

use Asked::{Act, Join};

const ERROR: (&str, &str) = ("room_error", "the room failed at this; nothing has changed");

fn happened(commits: &[Commit]) -> Vec<Body> {
    commits.iter().flat_map(entries).collect()
}

/// Returns an operator's view of the room.
fn inspect(bench: &mut Bench) -> Value {
    let commit = bench.tell(99, 0, Request::Inspect);
    match &answers(&commit)[..] {
        [
            Answer::Seated {
                state: Some(state), ..
            },
        ] => state.read().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Two members, and three acts that nobody has taken yet: the second is what holders will die of.
fn scene() -> Bench {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post_in("lab/two", 8, Join);
    bench.batch();
    bench.post(7, Act(Action::Add(1)));
    bench.post(7, Act(Action::Add(10)));
    bench.post(7, Act(Action::Add(100)));
    bench.post_in("lab/two", 8, Act(Action::Add(5)));
    bench.shelf.careful_until_ms = Some(0);
    bench.crash();
    bench
}

#[test]
fn w12_while_all_is_well_nothing_is_noted() {
    let mut bench = scene();
    bench.shelf.careful_until_ms = None;
    bench.crash();
    // A note would be one before the commit.
    assert!(bench.batch_of(usize::MAX).is_some());
    assert!(bench.shelf.notes.is_empty());
}

#[test]
fn w12_an_input_under_which_five_holders_died_is_set_aside_and_the_others_go_on() {
    let mut bench = scene();
    // All of them together: any may have been it.
    bench.dies_after_notes(1);
    // One by one: the room, the first act, the room as it is written down; the second act.
    bench.dies_after_notes(4);
    (0..3).for_each(|_| bench.dies_after_notes(2));
    let commits = bench.batches();
    assert_eq!(
        happened(&commits),
        [
            refused(1, 3, ERROR.0, ERROR.1),
            event(Some(1), Some(4), r#"{"added":100}"#),
            event(Some(1), Some(2), r#"{"added":5}"#),
        ]
    );
    assert_eq!(bench.state(7).total, 101, "what was before it counted");
    let shown = inspect(&mut bench);
    assert_eq!(shown["stopped"], Value::Null);
    assert_eq!(shown["set_aside"][0]["input"]["do"]["act"]["n"], 3);
    assert_eq!(shown["set_aside"].as_array().unwrap().len(), 1);
    let names: Vec<_> = bench.shelf.notes.keys().collect();
    assert!(
        matches!(&names[..], [letter] if letter.starts_with("letter:")),
        "{names:?}"
    );
    // It is a duplicate when it comes again.
    let again = input(7, 1, request(3, Act(Action::Add(10))));
    bench.append(again);
    assert_eq!(happened(&bench.batches()), []);
}

#[test]
fn w12_who_was_tried_along_with_it_is_not_set_aside() {
    let mut bench = scene();
    bench.dies_after_notes(1);
    let commits = bench.batches();
    assert_eq!(happened(&commits).len(), 4);
    assert_eq!(bench.state(7).total, 111);
    assert!(bench.shelf.notes.is_empty(), "{:?}", bench.shelf.notes);
    assert!(!bench.core.is_careful());
}

/// A room whose loading five holders died of, and what its members were answered.
fn stopped_scene() -> (Bench, Vec<Commit>) {
    let mut bench = scene();
    (0..5).for_each(|_| bench.dies_after_notes(1));
    let commits = bench.batches();
    assert_eq!(bench.core.rooms_stopped(), 1);
    (bench, commits)
}

#[test]
fn w12_a_room_whose_loading_is_deadly_is_stopped() {
    let (mut bench, commits) = stopped_scene();
    let answers: Vec<_> = commits.iter().flat_map(answers).collect();
    let busy = answers.iter().filter(|answer| {
        matches!(answer, Answer::NotTaken { code, retry_ms: Some(_), .. } if code == "busy")
    });
    assert_eq!(busy.count(), 3, "{answers:?}");
    assert_eq!(
        happened(&commits),
        [event(Some(1), Some(2), r#"{"added":5}"#)],
        "the neighbour goes on"
    );
    // Nobody tries it before it is time, not even who comes next.
    bench.shelf.careful_until_ms = None;
    bench.crash();
    assert!(!bench.core.is_careful());
    bench.now_ms += 59_000;
    let loads = bench.loads;
    let commit = bench.tell(7, 1, request(2, Act(Action::Add(1))));
    assert!(matches!(
        super::bench::answers(&commit)[..],
        [Answer::NotTaken { n: 2, .. }]
    ));
    assert_eq!(bench.loads, loads + 1, "what it is worth that stands still");
    assert!(inspect(&mut bench)["stopped"].is_string());
}

/// The room runs, and nothing is noted but that it was tried.
fn runs_again(bench: &mut Bench) {
    assert_eq!(bench.core.rooms_stopped(), 0);
    let commit = bench.tell(7, 1, request(2, Act(Action::Add(1))));
    assert_eq!(
        entries(&commit),
        [event(Some(1), Some(2), r#"{"added":1}"#)]
    );
    bench.batches();
    let names: Vec<_> = bench.shelf.notes.keys().collect();
    assert_eq!(names, ["retried:lab/one"]);
    assert!(!bench.core.is_careful());
}

#[test]
fn w17_a_stopped_room_runs_again_after_a_minute_if_it_is_no_longer_deadly() {
    for in_memory in [true, false] {
        let (mut bench, _) = stopped_scene();
        if !in_memory {
            bench.shelf.careful_until_ms = None;
            bench.crash();
            bench.batches();
        }
        let due_ms = bench.core.next_wake_ms().unwrap();
        assert!((1..=60_000).contains(&(due_ms - bench.now_ms)), "{due_ms}");
        bench.now_ms = due_ms;
        bench.batches();
        runs_again(&mut bench);
    }
}

#[test]
fn w17_a_stopped_room_that_is_still_deadly_takes_one_holder_with_it_each_time_and_waits_longer() {
    let (mut bench, _) = stopped_scene();
    for minutes in [1, 4, 16] {
        bench.batches();
        let due_ms = bench.core.next_wake_ms().unwrap();
        assert!(due_ms - bench.now_ms <= minutes * 60_000, "{minutes}");
        assert!(due_ms - bench.now_ms > minutes * 60_000 - 10_000);
        bench.now_ms = due_ms;
        // That it is tried, and what of it.
        bench.dies_after_notes(2);
        // Who died had committed before.
        bench.shelf.careful_until_ms = None;
        bench.crash();
        bench.batches();
        assert_eq!(bench.core.rooms_stopped(), 1);
        assert!(!bench.core.is_careful(), "{:?}", bench.shelf.notes);
    }
    bench.now_ms = bench.core.next_wake_ms().unwrap();
    bench.batches();
    runs_again(&mut bench);
}

#[test]
fn w17_a_stopped_room_is_tried_in_time_beside_any_number_of_rooms_that_want_to_be_woken() {
    let (mut bench, _) = stopped_scene();
    let now_ms = bench.now_ms;
    for number in 0..2 * WAKES_MAX as u64 + 1 {
        let room = format!("lab/sleeper-{number}").parse().unwrap();
        bench.core.alarms.set(&room, Some(now_ms + 1_000));
    }
    bench.tell(8, 1, Request::Inspect);
    let room = ROOM.parse().unwrap();
    assert_eq!(bench.core.alarms.get(&room), None, "it was forgotten");
    for number in 0..2 * WAKES_MAX as u64 + 1 {
        let room = format!("lab/sleeper-{number}").parse().unwrap();
        bench.core.alarms.set(&room, None);
    }
    // The store is asked, and then it is time.
    for _ in 0..2 {
        bench.now_ms = bench.core.next_wake_ms().unwrap();
        bench.batches();
    }
    assert_eq!(bench.now_ms, now_ms + 60_000);
    runs_again(&mut bench);
}

#[test]
fn p4_a_stopped_room_runs_again_at_once_when_an_operator_asks() {
    let (mut bench, _) = stopped_scene();
    let commit = bench.tell(99, 0, Request::Reload);
    assert!(matches!(
        super::bench::answers(&commit)[..],
        [Answer::Seated { .. }]
    ));
    runs_again(&mut bench);
}

#[test]
fn p4_an_operators_request_is_one_trial_of_a_room_that_is_still_deadly() {
    let (mut bench, _) = stopped_scene();
    bench.append(input(99, 0, Request::Reload));
    bench.dies_after_notes(2);
    let answers: Vec<_> = bench.batches().iter().flat_map(answers).collect();
    assert!(
        matches!(answers[..], [Answer::NotTaken { .. }]),
        "{answers:?}"
    );
    assert_eq!(bench.core.rooms_stopped(), 1);
}

#[test]
fn p4_two_requests_of_an_operator_are_two_trials_of_a_room_that_is_still_deadly() {
    let (mut bench, _) = stopped_scene();
    // The first has no answer yet when the second comes.
    bench.append(input(98, 0, Request::Reload));
    bench.append(input(99, 0, Request::Reload));
    let mut answered = 0;
    for trials in 0.. {
        assert!(
            trials <= 2,
            "they take more holders with them than they are"
        );
        // Whoever loads it dies.
        let (commits, died) = bench.batches_until_loaded(ROOM);
        answered += commits.iter().flat_map(answers).count();
        if !died {
            break;
        }
    }
    assert_eq!(answered, 2);
    assert_eq!(bench.core.rooms_stopped(), 1);
}

#[test]
fn w17_a_room_that_runs_again_is_not_held_back_by_one_that_is_still_deadly() {
    let mut bench = scene();
    for room in [ROOM, "lab/two"] {
        let room = room.parse().unwrap();
        let (name, text) = crate::suspect::Suspect::Room(room).condemned();
        bench.shelf.notes.insert(name, text.unwrap());
    }
    bench.crash();
    bench.batches();
    assert_eq!(bench.core.rooms_stopped(), 2);
    bench.shelf.careful_until_ms = None;
    bench.now_ms = bench.core.next_wake_ms().unwrap();
    let (_, died) = bench.batches_until_loaded("lab/two");
    assert!(died);
    bench.batches();
    assert_eq!(bench.core.rooms_stopped(), 1);
    assert!(bench.core.quarantined(&ROOM.parse().unwrap()).is_none());
}

#[test]
fn w12_a_room_that_is_deadly_when_it_is_woken_is_stopped() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::WakeAt(1_000_500)));
    bench.now_ms = 1_000_600;
    bench.shelf.careful_until_ms = Some(0);
    bench.crash();
    bench.dies_after_notes(1);
    // Loaded, and woken.
    (0..4).for_each(|_| bench.dies_after_notes(1));
    let commits = bench.batches();
    assert_eq!(happened(&commits), []);
    let commit = bench.tell(7, 1, request(3, Act(Action::Add(1))));
    assert!(matches!(
        answers(&commit)[..],
        [Answer::NotTaken { n: 3, .. }]
    ));
}

#[test]
fn w12_a_room_that_is_deadly_when_it_is_written_down_is_stopped_and_no_input_is_set_aside() {
    let mut bench = scene();
    bench.dies_after_notes(1);
    for _ in 0..4 {
        // The room, the first act, and then the room again.
        bench.dies_after_notes(3);
        let noted = bench.shelf.notes.keys();
        assert!(noted.into_iter().any(|name| name == "try:written:lab/one"));
    }
    let commits = bench.batches();
    let answers: Vec<_> = commits.iter().flat_map(answers).collect();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::NotTaken { code, .. } if code == "busy"));
    assert_eq!(busy.count(), 3, "{answers:?}");
    assert_eq!(
        happened(&commits),
        [event(Some(1), Some(2), r#"{"added":5}"#)],
        "the neighbour goes on"
    );
    let shown = inspect(&mut bench);
    assert!(shown["stopped"].is_string(), "{shown}");
    assert_eq!(shown["set_aside"].as_array().unwrap().len(), 0, "{shown}");
    bench.tell(99, 0, Request::Reload);
    runs_again(&mut bench);
}

#[test]
fn w12_what_is_committed_is_not_held_against_a_room_whose_holders_are_killed() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Sleep(Sleep::Light)));
    bench.do_(7, Act(Action::WakeAt(1_000_500)));
    for _ in 0..5 {
        bench.now_ms += 1_000;
        bench.shelf.careful_until_ms = Some(0);
        bench.crash();
        let commit = bench.batch().expect("the room is woken");
        assert_eq!(entries(&commit), [event(None, None, r#""woken""#)]);
        assert!(bench.shelf.notes.is_empty(), "{:?}", bench.shelf.notes);
    }
    assert_eq!(bench.core.rooms_stopped(), 0);
}

#[test]
fn w11_a_room_in_which_one_input_after_another_is_set_aside_is_stopped() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    for n in 2..5 {
        bench.post(7, Act(Action::Add(1)));
        bench.now_ms += 1;
        // The watchdog saw that it does not come back.
        let id = outlast_store::TopicId {
            ms: bench.now_ms - 1,
            seq: n - 1,
        };
        let (name, text) = crate::suspect::Suspect::Input(id).condemned();
        bench.shelf.notes.insert(name, text.unwrap());
        bench.crash();
        let commits = bench.batches();
        assert_eq!(happened(&commits), [refused(1, n, ERROR.0, ERROR.1)]);
    }
    let commit = bench.tell(7, 1, request(5, Act(Action::Add(1))));
    assert!(matches!(
        answers(&commit)[..],
        [Answer::NotTaken { n: 5, .. }]
    ));
    assert_eq!(
        inspect(&mut bench)["set_aside"].as_array().unwrap().len(),
        3
    );
    let room = ROOM.parse().unwrap();
    assert!(bench.core.quarantined(&room).is_some());
}

#[test]
fn w11_a_room_that_does_not_come_back_from_showing_itself_is_stopped_at_once() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.append(input(7, 1, Request::View));
    let id = outlast_store::TopicId {
        ms: bench.now_ms,
        seq: 1,
    };
    let (name, text) = crate::suspect::Suspect::Input(id).condemned();
    bench.shelf.notes.insert(name, text.unwrap());
    bench.crash();
    assert_eq!(bench.batches().len(), 1);
    let room = ROOM.parse().unwrap();
    assert!(bench.core.quarantined(&room).is_some());
    let commit = bench.tell(7, 1, Request::View);
    assert!(matches!(
        answers(&commit)[..],
        [Answer::NotTaken { n: 0, .. }]
    ));
}

#[test]
fn w12_a_hand_over_that_is_deadly_is_tried_ever_more_seldom() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Add(1)));
    for minutes in [1, 4, 16] {
        assert!(bench.begin_hand_over());
        // Here the holder dies. The next one is careful about nothing: no input did this.
        bench.crash();
        bench.do_(7, Act(Action::Add(1)));
        assert!(!bench.core.is_careful());
        bench.now_ms += minutes * 60_000 - 1;
        assert!(!bench.hand_over());
        bench.now_ms += 1;
    }
    assert!(bench.hand_over());
    assert!(bench.shelf.notes.is_empty(), "{:?}", bench.shelf.notes);
}
