use std::time::Duration;

use outlast_protocol::{Payload, Pos, ServerFrame};
use outlast_store::{Answer, Body, Entry, Outcome, OutcomeBody, Request};

use super::{ME, Turn, World};
use crate::hub::Cursor;

#[test]
fn r6_a_room_that_a_join_did_not_reach_is_left_alone_for_a_while() {
    let World { mut room, now, .. } = World::new(1);
    let pause = Duration::from_millis(500);
    room.unreached(now);
    assert!(room.is_out_of_reach(now) && room.reach_at().is_none());
    assert!(!room.is_out_of_reach(now + pause));
    room.unreached(now + pause);
    assert!(room.is_out_of_reach(now + 2 * pause));
}

#[test]
fn r6_what_a_room_answers_while_it_owes_an_outcome_is_told_after_that() {
    let mut world = World::new(1);
    let joined = Pos { off: 1, tag: 1 };
    let left = |n| {
        let reason = "left".to_owned();
        let body = OutcomeBody::Left { reason };
        let pos = Pos { off: 2, tag: 2 };
        Answer::Outcome(Outcome { n, pos, body })
    };
    world.core.borrow_mut().seed(joined);
    world.room.replay(ME, Cursor::new(joined), joined, None);
    let now = world.now;
    let join = Request::Join {
        n: 3,
        user: "ada".to_owned(),
        data: None,
    };
    for (n, request) in [(2, Request::Leave { n: 2 }), (3, join)] {
        world.room.forward(n, &request, now);
    }
    assert_eq!(world.room.receive(left(2), now), None);
    let again = Answer::Joined {
        n: 3,
        applied: 3,
        member: ME,
        pos: Pos { off: 3, tag: 3 },
        state: Payload::null(),
    };
    assert_eq!(world.room.receive(again, now), None);
    assert_eq!(world.room.pull(&mut world.frames, now), Turn::Done);

    let quiet = |off, n| Entry {
        pos: Pos { off, tag: off },
        at: 0,
        body: Body::Event {
            by: Some(ME),
            n: Some(n),
            quiet: true,
            data: Payload::null(),
        },
    };
    let entries = vec![quiet(2, 2), quiet(3, 3)];
    world
        .core
        .borrow_mut()
        .announce(joined, entries, Vec::new());
    while world.room.pull(&mut world.frames, now) == Turn::More {}
    let told: Vec<_> = world.frames.0.iter().map(told).collect();
    assert_eq!(told, ["live", "left 2", "joined 3"]);
}

fn told(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Live { .. } => "live".to_owned(),
        ServerFrame::Left { n: Some(n), .. } => format!("left {n}"),
        ServerFrame::Joined { n, .. } => format!("joined {n}"),
        other => panic!("{other:?}"),
    }
}
