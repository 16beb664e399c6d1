//! The removal of a room's data (E2), and its loss (W14).

use std::time::Duration;

use outlast_protocol::{Pos, Sid};

use super::{
    Harness,
    fixture::{Writer, act, at, events, more, neighbours, room, unchanged},
    rooms::{full_seat, snapshot},
};
use crate::{LogSlice, RoomCommit, RoomLoad};

pub async fn e2_what_is_trimmed_is_told_by_the_first_off(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    writer.write(more(&room, Pos::START, 10)).await;
    let trim = |below| RoomCommit {
        trim_below: Some(below),
        ..unchanged(&room, at(10))
    };
    writer.write(trim(6)).await;
    // Someone who stood at 3 sees that what comes next is no longer there.
    let read = store.read_log(&room, 4, 3).await.unwrap();
    let expected = LogSlice {
        entries: events(at(5), 3),
        first_off: 6,
        last: at(10),
    };
    assert_eq!(read, expected);
    let tail = store.read_tail(&room, 99).await.unwrap();
    assert_eq!(tail.entries, events(at(5), 5));

    // Lower than before: nothing comes back, nothing goes.
    writer.write(trim(2)).await;
    assert_eq!(store.read_log(&room, 4, 3).await, Ok(expected));
    let loaded = store.load(&room).await.unwrap();
    assert_eq!((loaded.first_off, loaded.entries), (6, events(at(5), 5)));
}

pub async fn e2_the_last_entry_always_stays(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    // A room without entries has nothing to lose.
    let trim = |behind| RoomCommit {
        trim_below: Some(1_000),
        ..unchanged(&room, behind)
    };
    writer.write(trim(Pos::START)).await;
    assert_eq!(store.read_tail(&room, 9).await, Ok(LogSlice::default()));

    writer
        .write(RoomCommit {
            trim_below: Some(1_000),
            ..more(&room, Pos::START, 4)
        })
        .await;
    let expected = LogSlice {
        entries: events(at(3), 1),
        first_off: 4,
        last: at(4),
    };
    assert_eq!(store.read_tail(&room, 9).await, Ok(expected.clone()));
    writer.write(trim(at(4))).await;
    assert_eq!(store.read_log(&room, 0, 9).await, Ok(expected));
    writer.write(more(&room, at(4), 1)).await;
    assert_eq!(
        store.read_log(&room, 0, 9).await.unwrap().entries,
        events(at(3), 2)
    );
}

pub async fn w14_a_log_that_is_gone_is_told_from_one_that_never_was(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    let full = RoomCommit {
        snapshot: Some(snapshot(3)),
        ..more(&room, Pos::START, 5)
    };
    writer.write(full).await;
    harness.lose_log(&room).await;

    let nothing = LogSlice {
        entries: Vec::new(),
        first_off: 0,
        last: at(5),
    };
    for from in [0, 1, 4, 5, 9] {
        assert_eq!(store.read_log(&room, from, 9).await, Ok(nothing.clone()));
    }
    assert_eq!(store.read_tail(&room, 9).await, Ok(nothing));
    let load = store.load(&room).await.unwrap();
    assert_eq!((load.entries, load.first_off), (Vec::new(), 0));
    assert_eq!((load.last, load.snapshot), (at(5), Some(snapshot(3))));

    // It goes on from where it ended: nothing is numbered twice.
    writer.write(more(&room, at(5), 1)).await;
    let log = store.read_log(&room, 1, 9).await.unwrap();
    assert_eq!(
        (log.entries, log.first_off, log.last),
        (events(at(5), 1), 6, at(6))
    );
}

pub async fn e2_a_rooms_time_runs_out(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [room, neighbour] = neighbours(store.layout());
    let mut writer = Writer::of(&store, &room).await;
    let full = |room| RoomCommit {
        seats: vec![(Sid::nil(), Some(full_seat()))],
        head: Some("head".into()),
        snapshot: Some(snapshot(2)),
        park: vec![act(room, 1)],
        wake_ms: Some(1),
        ..more(room, Pos::START, 4)
    };
    writer
        .commit(writer.commit_of(vec![full(&room), full(&neighbour)]))
        .await;
    let ending = |ttl_ms| RoomCommit {
        ttl_ms: Some(ttl_ms),
        wake_ms: Some(1),
        ..unchanged(&room, at(4))
    };
    writer.write(ending(600_000)).await;
    assert_eq!(store.load(&room).await.unwrap().last, at(4));
    writer.write(ending(100)).await;
    harness.pass(Duration::from_millis(200)).await;
    assert_eq!(store.load(&room).await, Ok(RoomLoad::default()));
    assert_eq!(store.read_log(&room, 0, 9).await, Ok(LogSlice::default()));
    assert_eq!(store.load(&neighbour).await.unwrap().last, at(4));

    // It begins anew, and nothing of what was comes back.
    writer.write(more(&room, Pos::START, 1)).await;
    let expected = RoomLoad {
        entries: events(Pos::START, 1),
        last: at(1),
        first_off: 1,
        ..RoomLoad::default()
    };
    assert_eq!(store.load(&room).await, Ok(expected));
    let wakes = store.wakes(writer.partition, 9).await;
    assert_eq!(wakes, Ok(vec![(neighbour, 1)]));
}

pub async fn e2_a_rooms_time_is_stopped(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    writer
        .write(RoomCommit {
            seats: vec![(Sid::nil(), Some(full_seat()))],
            snapshot: Some(snapshot(2)),
            park: vec![act(&room, 1)],
            ttl_ms: Some(4_000),
            ..more(&room, Pos::START, 4)
        })
        .await;
    let before = store.load(&room).await.unwrap();
    writer.write(unchanged(&room, at(4))).await;
    harness.pass(Duration::from_millis(4_500)).await;
    assert_eq!(store.load(&room).await, Ok(before));
}
