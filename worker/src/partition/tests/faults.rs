use outlast_store::{Answer, Body, Commit, Input, Request, Snapshot};

use super::{
    bench::{Asked, Bench, ROOM, answers, entries, event, input, payload, refused, request, sid},
    lab::Action,
};
use crate::Registry;

use Asked::{Act, Join, JoinSaying};

const ERROR: (&str, &str) = ("room_error", "the room failed at this; nothing has changed");

#[test]
fn w5_what_panics_is_refused_and_nothing_else_suffers() {
    for bad in [Action::Panic, Action::PanicInApply, Action::Garbage] {
        let mut bench = Bench::new();
        bench.do_(7, Join);
        bench.post(7, Act(Action::Add(1)));
        bench.post(7, Act(bad));
        bench.post(7, Act(Action::Add(10)));
        bench.post_in("lab/two", 8, Join);
        let commit = bench.batch().unwrap();
        assert_eq!(
            entries(&commit)[..3],
            [
                event(Some(1), Some(2), r#"{"added":1}"#),
                refused(1, 3, ERROR.0, ERROR.1),
                event(Some(1), Some(4), r#"{"added":10}"#),
            ]
        );
        assert!(matches!(answers(&commit)[..], [Answer::Joined { .. }]));
        assert_eq!(
            bench.state(7).total,
            11,
            "the room was folded anew in between"
        );
        bench.crash();
        assert_eq!(bench.state(7).total, 11);
    }
}

#[test]
fn w5_a_join_that_panics_is_refused() {
    let mut bench = Bench::new();
    bench.do_(7, JoinSaying("panic"));
    assert_eq!(bench.log()[0].body, refused(1, 1, ERROR.0, ERROR.1));
    let commit = bench.do_(7, Join);
    assert!(matches!(
        answers(&commit)[..],
        [Answer::Joined { n: 2, .. }]
    ));
}

#[test]
fn w5_a_join_into_a_room_that_cannot_be_shown_is_refused_whole() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Blind));
    let commit = bench.do_(8, Join);
    assert_eq!(entries(&commit), [refused(2, 1, ERROR.0, ERROR.1)]);
    assert_eq!(bench.seat(8).joined, None);
    let commit = bench.tell(7, 1, Request::View);
    assert_eq!(answers(&commit), [], "nothing to say, and no harm done");
    let commit = bench.do_(7, Act(Action::Add(1)));
    assert_eq!(
        entries(&commit),
        [event(Some(1), Some(3), r#"{"added":1}"#)]
    );
}

#[test]
fn w5_a_member_leaves_though_the_room_fails_at_it() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.post(7, Act(Action::Panic));
    let reason = "expired".into();
    bench.append(input(7, 1, Request::Over { reason }));
    bench.batch();
    assert_eq!(bench.seat(7).joined, None);
    assert_eq!(bench.core.rooms_in_memory(), 0);
}

/// Leaves in the store what a later version would.
fn newer(bench: &mut Bench) {
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    let pos = room.load.last;
    let state = payload("who knows");
    let version = 3;
    room.load.entries.clear();
    room.load.snapshot = Some(Snapshot {
        pos,
        version,
        state,
    });
    bench.crash();
}

#[test]
fn w6_a_room_of_a_newer_version_is_left_alone() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    newer(&mut bench);
    let log = bench.log().to_vec();
    bench.post(7, Act(Action::Add(1)));
    bench.post_in("lab/two", 7, Join);
    let commit = bench.batch().unwrap();
    assert_eq!(commit.rooms.len(), 1, "the other room goes on");
    match &answers(&commit)[0] {
        Answer::NotTaken {
            n: 2,
            code,
            retry_ms: Some(_),
            ..
        } => assert_eq!(code, "busy"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.log(), log);
    bench.tell(7, 2, Request::View);
    assert_eq!(bench.loads, 3, "it is not read over and over");
}

/// Makes what is left in the store of the room readable, or not.
fn unreadable(bench: &mut Bench, unreadable: bool) {
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    room.unreadable = unreadable;
}

fn is_busy(commit: &Commit, of: u64) -> bool {
    match &answers(commit)[..] {
        [
            Answer::NotTaken {
                n,
                code,
                retry_ms: Some(_),
                ..
            },
        ] => code == "busy" && *n == of,
        _ => false,
    }
}

#[test]
fn w14_a_room_of_whose_state_the_store_lost_something_is_stopped_and_says_so() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Add(1)));
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    let whole = std::mem::take(&mut room.load.entries);
    bench.crash();
    assert!(is_busy(&bench.tell(7, 1, Request::View), 0));
    let reload = bench.tell(99, 0, Request::Reload);
    match &answers(&reload)[..] {
        [Answer::NotTaken { message, .. }] => {
            assert!(message.contains("lost entries of its log"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // Nothing is made up in the meantime: what is restored counts.
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    room.load.entries = whole;
    bench.tell(99, 0, Request::Reload);
    assert_eq!(bench.state(7).total, 1);
}

#[test]
fn w9_a_stopped_room_is_loaded_again_by_itself_ever_later_up_to_a_minute() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    unreadable(&mut bench, true);
    bench.crash();
    assert!(is_busy(
        &bench.tell(7, 1, request(2, Act(Action::Add(1)))),
        2
    ));
    assert_eq!(bench.core.rooms_stopped(), 1);
    for wait_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!(bench.core.next_wake_ms(), Some(bench.now_ms + wait_ms));
        let loads = bench.loads;
        bench.now_ms += wait_ms - 1;
        assert!(is_busy(
            &bench.tell(7, 1, request(2, Act(Action::Add(1)))),
            2
        ));
        assert_eq!(bench.loads, loads, "not before its time");
        bench.now_ms += 1;
        assert!(bench.batch().is_none());
        assert_eq!(bench.loads, loads + 1);
    }
    unreadable(&mut bench, false);
    bench.now_ms += 60_000;
    bench.batch();
    let commit = bench.tell(7, 1, request(2, Act(Action::Add(1))));
    assert_eq!(
        entries(&commit),
        [event(Some(1), Some(2), r#"{"added":1}"#)]
    );
    assert_eq!(bench.core.rooms_stopped(), 0);
}

#[test]
fn w9_an_operator_has_a_stopped_room_loaded_at_once() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(8, Join);
    unreadable(&mut bench, true);
    bench.crash();
    let commit = bench.tell(9, 0, Request::Reload);
    match &answers(&commit)[..] {
        [Answer::NotTaken { n: 0, message, .. }] => assert_eq!(message, "the test says so"),
        other => panic!("{other:?}"),
    }
    unreadable(&mut bench, false);
    // An input that comes before it in the same batch is taken up after it.
    let reason = "expired".into();
    bench.append(input(8, 1, Request::Over { reason }));
    bench.post_in("lab/two", 7, Join);
    bench.append(input(9, 0, Request::Reload));
    let commit = bench.batch().unwrap();
    let answers = answers(&commit);
    assert!(matches!(
        answers[..],
        [Answer::Joined { .. }, Answer::Seated { .. }]
    ));
    let happened = entries(&commit);
    assert!(matches!(happened[0], Body::Event { by: Some(2), .. }));
    assert_eq!(bench.room().load.parked, [] as [Input; 0]);
    assert!(bench.seat(8).over_at.is_some());
    // Of one that runs it changes nothing.
    let loads = bench.loads;
    bench.tell(9, 0, Request::Reload);
    assert_eq!(bench.loads, loads);
}

#[test]
fn w10_who_asks_a_stopped_room_is_told_at_once_that_it_stands_still() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    unreadable(&mut bench, true);
    bench.crash();
    for asks in [
        Request::Attached { view: true },
        Request::Attached { view: false },
        Request::View,
        Request::Look,
    ] {
        assert!(is_busy(&bench.tell(7, 1, asks.clone()), 0), "{asks:?}");
    }
    let user = "billing".into();
    let data = payload(&Action::Add(1));
    assert!(is_busy(&bench.tell(9, 0, Request::Post { user, data }), 1));
}

#[test]
fn w6_what_must_not_be_lost_waits_for_a_version_that_can_read_the_room() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(8, Join);
    let before = bench.room().clone();
    newer(&mut bench);
    bench.tell(7, 1, Request::Detached);
    bench.tell(7, 2, Request::Attached { view: true });
    let reason = "expired".into();
    let commit = bench.tell(8, 1, Request::Over { reason });
    assert_eq!(commit.rooms[0].ttl_ms, None);
    assert_eq!(bench.room().load.parked.len(), 3);
    // The newer version comes: to it, the room is as it was.
    let parked = bench.room().load.parked.clone();
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    *room = before;
    room.load.parked = parked;
    bench.crash();
    let commit = bench.tell(7, 2, Request::View);
    let happened = entries(&commit);
    assert_eq!(happened[0], event(None, None, r#"{"online":[1,false]}"#));
    assert_eq!(happened[1], event(None, None, r#"{"online":[1,true]}"#));
    assert!(matches!(happened[2], Body::Event { by: Some(2), .. }));
    assert_eq!(bench.room().load.parked, [] as [Input; 0]);
    assert!(bench.seat(8).over_at.is_some());
}

#[test]
fn w6_a_room_with_parked_inputs_goes_on_by_itself_where_it_can_be_read() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(8, Join);
    let before = bench.room().clone();
    newer(&mut bench);
    let reason = "expired".into();
    bench.tell(8, 1, Request::Over { reason });
    // A worker that cannot read it either looks once, and then not at every turn.
    bench.crash();
    assert!(bench.batch().is_none());
    let loads = bench.loads;
    assert!(bench.core.next_wake_ms() >= Some(bench.now_ms + 1_000));
    bench.now_ms += 999;
    assert!(bench.batch().is_none());
    assert_eq!(bench.loads, loads);
    // The newer version comes, and nobody says anything.
    let parked = bench.room().load.parked.clone();
    let wake_ms = bench.room().wake_ms;
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    *room = before;
    room.load.parked = parked;
    room.wake_ms = wake_ms;
    bench.crash();
    let commit = bench.batch().unwrap();
    assert!(matches!(
        entries(&commit)[..],
        [Body::Event { by: Some(2), .. }]
    ));
    assert_eq!(bench.room().load.parked, [] as [Input; 0]);
    assert!(bench.seat(8).over_at.is_some());
    assert_eq!(bench.room().wake_ms, None, "the room itself wants none");
}

#[test]
fn w6_parked_inputs_stay_bounded() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    newer(&mut bench);
    for generation in 2..50 {
        bench.tell(7, generation, Request::Attached { view: true });
        let reason = "expired".into();
        bench.tell(8, 1, Request::Over { reason });
    }
    bench.crash();
    bench.tell(7, 50, Request::Attached { view: true });
    assert_eq!(bench.room().load.parked.len(), 2);
}

#[test]
fn w6_a_room_whose_log_cannot_be_read_is_left_alone() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    room.unreadable = true;
    bench.crash();
    let commit = bench.tell(7, 2, Request::Detached);
    assert_eq!(commit.rooms[0].prev, bench.log()[0].pos);
    assert_eq!(bench.room().load.parked.len(), 1);
    // Whoever takes over knows what is parked already.
    for _ in 0..3 {
        bench.crash();
        bench.tell(7, 2, Request::Detached);
    }
    assert_eq!(bench.room().load.parked.len(), 1);
}

#[test]
fn w6_a_log_with_a_hole_is_not_folded() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(7, Act(Action::Add(1)));
    bench.do_(7, Act(Action::Add(1)));
    let room = bench.shelf.rooms.get_mut(&ROOM.parse().unwrap()).unwrap();
    room.load.entries.remove(1);
    bench.crash();
    let commit = bench.tell(7, 1, request(4, Act(Action::Add(1))));
    assert!(matches!(answers(&commit)[..], [Answer::NotTaken { .. }]));
}

#[test]
fn w6_a_room_of_a_kind_that_only_others_know_is_left_alone() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.registry = Registry::new();
    bench.crash();
    let commit = bench.tell(7, 1, request(2, Act(Action::Add(1))));
    match &answers(&commit)[..] {
        [Answer::NotTaken { code, .. }] => assert_eq!(code, "busy"),
        other => panic!("{other:?}"),
    }
    bench.tell(7, 1, Request::Detached);
    assert_eq!(bench.room().load.parked.len(), 1);
}

#[test]
fn w6_an_input_that_cannot_be_read_is_kept_and_the_others_go_on() {
    let mut bench = Bench::new();
    bench.append_raw(Err("{from: the future}".into()));
    bench.post(7, Join);
    bench.append_raw(Err("{and: another}".into()));
    let commit = bench.batch().unwrap();
    assert!(matches!(answers(&commit)[..], [Answer::Joined { .. }]));
    assert_eq!(
        bench.shelf.unread_texts(),
        ["{from: the future}", "{and: another}"]
    );
    assert_eq!(bench.shelf.cursor.topic.seq, 2, "it is not read again");
}

/// A worker of the version that wrote what stands there takes over.
fn now_readable(bench: &mut Bench, inputs: Vec<Input>) {
    let unread = std::mem::take(&mut bench.shelf.unread);
    let kept = unread.into_iter().skip(inputs.len());
    bench.shelf.unread = inputs.into_iter().map(Ok).chain(kept).collect();
    bench.crash();
}

#[test]
fn w6_inputs_that_were_kept_are_taken_up_by_a_worker_that_can_read_them() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.do_(8, Join);
    for raw in ["an end", "an act", "of a version beyond"] {
        bench.append_raw(Err(raw.into()));
    }
    bench.batch();
    bench.crash();
    assert!(bench.batch().is_none(), "nothing can be read yet");
    let reason = "expired".into();
    let end = input(8, 1, Request::Over { reason });
    let act = input(7, 1, request(2, Act(Action::Add(5))));
    now_readable(&mut bench, vec![end, act]);
    let commit = bench.batch().unwrap();
    let happened = entries(&commit);
    assert!(matches!(happened[0], Body::Event { by: Some(2), .. }));
    assert_eq!(happened[1], event(Some(1), Some(2), r#"{"added":5}"#));
    assert!(bench.seat(8).over_at.is_some());
    assert_eq!(bench.shelf.unread_texts(), ["of a version beyond"]);
    assert!(bench.batch().is_none());
}

#[test]
fn w6_kept_inputs_of_sessions_that_a_room_does_not_know_come_too_late() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    bench.append_raw(Err("a join".into()));
    bench.batch();
    // By now the session may be long over, and its room has forgotten it: nobody would ever end it.
    now_readable(&mut bench, vec![input(9, 1, request(1, Join))]);
    let commit = bench.batch().unwrap();
    assert_eq!(entries(&commit), []);
    assert_eq!(bench.shelf.unread_texts(), [] as [&str; 0]);
    assert!(bench.room().load.seats.iter().all(|(of, _)| *of == sid(7)));
}

#[test]
fn w6_more_than_is_read_at_once_is_taken_up_all_the_same() {
    let mut bench = Bench::new();
    bench.do_(7, Join);
    let act = |n| input(7, 1, request(n, Act(Action::Add(1))));
    for _ in 0..600 {
        bench.append_raw(Err("?".into()));
    }
    bench.append_raw(Err("of a version beyond".into()));
    bench.batch();
    now_readable(&mut bench, (2..602).map(act).collect());
    while bench.batch().is_some() {}
    assert_eq!(bench.shelf.unread_texts(), ["of a version beyond"]);
    assert_eq!(bench.state(7).total, 600);
}
