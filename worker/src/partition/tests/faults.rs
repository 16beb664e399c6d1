use outlast_broker::{Answer, Body, Input, Request, Snapshot};

use super::{
    bench::{Asked, Bench, ROOM, answers, entries, event, input, payload, refused, request},
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

/// What a later version has left in the store.
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
fn w6_what_is_set_aside_stays_bounded() {
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
    assert_eq!(commit.rooms[0].behind, bench.log()[0].pos);
    assert_eq!(bench.room().load.parked.len(), 1);
    // Whoever takes over knows what is set aside already.
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
    assert_eq!(bench.shelf.unread, ["{from: the future}", "{and: another}"]);
    assert_eq!(bench.shelf.cursor.topic.seq, 2, "it is not read again");
}
