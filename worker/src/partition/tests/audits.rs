//! Members of whom nothing is heard (S10), and what a room is told again that failed at it.

use outlast_store::Request;

use super::{
    bench::{Asked, Bench, sid},
    lab::Action,
};
use crate::partition::Silent;

use Asked::{Act, Join, Leave};

const AUDIT_MS: u64 = 1_000;

/// Everybody that one walk comes by.
fn walk(bench: &mut Bench) -> Option<(u64, Vec<Silent>)> {
    let look = bench.core.look(bench.now_ms)?;
    let (number, mut all) = (look.walk, look.members);
    while let Some(look) = bench.core.look(bench.now_ms) {
        assert_eq!(look.walk, number, "the next walk is not due yet");
        all.extend(look.members);
    }
    Some((number, all))
}

fn over() -> Request {
    Request::Over {
        reason: "expired".into(),
    }
}

#[test]
fn s10_who_has_long_been_silent_is_looked_at() {
    let mut bench = Bench::audited(AUDIT_MS);
    for room in 0..40 {
        bench.post_in(&format!("lab/{room}"), 7, Join);
    }
    bench.batch().unwrap();
    assert_eq!(
        walk(&mut bench),
        Some((1, Vec::new())),
        "they have just spoken"
    );
    assert_eq!(walk(&mut bench), None);

    bench.now_ms += AUDIT_MS;
    bench.post_in("lab/0", 7, Act(Action::Add(1)));
    bench.post_in("lab/1", 7, Leave);
    bench.batch().unwrap();
    let (number, silent) = walk(&mut bench).unwrap();
    assert_eq!((number, silent.len()), (2, 38));
    let first = silent.iter().find(|silent| silent.room.as_str() == "lab/2");
    let expected = Silent {
        room: "lab/2".parse().unwrap(),
        sid: sid(7),
        generation: 1,
        away: false,
    };
    assert_eq!(first, Some(&expected));
}

#[test]
fn s10_a_room_with_members_is_never_out_of_memory_for_long() {
    let mut bench = Bench::audited(AUDIT_MS);
    bench.do_(7, Join);
    let look_ms = bench.now_ms + 20 * AUDIT_MS;
    assert_eq!(bench.room().wake_ms, Some(look_ms));
    bench.now_ms += AUDIT_MS;
    bench.do_(7, Act(Action::Add(1)));
    assert_eq!(bench.room().wake_ms, Some(look_ms), "it is not put off");
    bench.do_(7, Act(Action::WakeAt(look_ms - 5)));
    assert_eq!(bench.room().wake_ms, Some(look_ms - 5));
    bench.now_ms = look_ms - 5;
    bench.batch().unwrap();
    assert_eq!(bench.room().wake_ms, Some(look_ms));

    bench.crash();
    assert!(bench.batch().is_none(), "nothing is due");
    assert_eq!(bench.core.rooms_in_memory(), 0);
    bench.now_ms = look_ms;
    let commit = bench.batch().unwrap();
    assert!(
        commit.rooms.iter().all(|room| room.entries.is_empty()),
        "the room hears nothing"
    );
    assert_eq!(bench.room().wake_ms, Some(look_ms + 20 * AUDIT_MS));
    let (_, silent) = walk(&mut bench).unwrap();
    assert_eq!(silent.len(), 1);

    bench.tell(7, 1, over());
    assert_eq!(
        bench.room().wake_ms,
        None,
        "where nobody is, there is nothing to look at"
    );
}

#[test]
fn s10_a_room_that_failed_to_let_a_session_go_is_told_again() {
    let mut bench = Bench::audited(AUDIT_MS);
    bench.do_(7, Join);
    bench.do_(8, Join);
    bench.do_(8, Act(Action::Deafen(true)));
    bench.tell(7, 1, over());
    assert_eq!(bench.state(8).online.len(), 2, "it would not hear");
    bench.post(7, Act(Action::Add(1)));
    bench.batch();
    assert_eq!(bench.state(8).total, 0, "S6: what is over asks for nothing");
    bench.do_(8, Act(Action::Deafen(false)));

    bench.crash();
    bench.do_(8, Act(Action::Nothing));
    bench.now_ms += AUDIT_MS;
    let (_, silent) = walk(&mut bench).unwrap();
    assert!(
        silent.iter().any(|silent| silent.sid == sid(7)),
        "{silent:?}"
    );
    bench.tell(7, 1, over());
    assert_eq!(bench.state(8).online.len(), 1);
    let log = bench.log().len();
    bench.append(super::bench::input(7, 1, over()));
    bench.batch();
    assert_eq!(bench.log().len(), log, "once");
}

#[test]
fn s10_a_room_that_failed_to_hear_who_is_away_or_back_is_told_again() {
    let mut bench = Bench::audited(AUDIT_MS);
    bench.do_(7, Join);
    bench.do_(8, Join);
    for (request, online) in [
        (Request::Detached, false),
        (Request::Attached { view: false }, true),
    ] {
        bench.do_(8, Act(Action::Deafen(true)));
        bench.append(super::bench::input(7, 1, request.clone()));
        bench.batch();
        assert_eq!(bench.state(8).online[&1], !online);
        assert_eq!(bench.seat(7).away, online, "it is told again");
        bench.do_(8, Act(Action::Deafen(false)));
        bench.tell(7, 1, request);
        assert_eq!(bench.state(8).online[&1], online);
        assert_eq!(bench.seat(7).away, !online);
    }
}
