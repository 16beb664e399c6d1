//! The parts of commits in Redis.

use std::time::Duration;

use outlast_protocol::{Payload, Pos, RoomName, Sid};
use outlast_store::{
    Announcements, Committed, NodeId, Nudge, PartitionId, RoomCommit, Rooms, Seat, Snapshot,
    StoreError, StoreEvent, Topic, TopicId,
};
use outlast_testkit::RedisServer;

use crate::scene::{
    LAYOUT, TTL, append, claim, connect, entry, hear, next_commit, partition, room,
};

#[tokio::test]
async fn w2_a_commit_is_announced_with_its_replies_behind_it_and_only_once() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    let (subscriptions, mut listener) = store.listen(&me).await.unwrap();
    subscriptions.subscribe(&room()).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let commit = next_commit(&*store, epoch, &me).await;

    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    assert_eq!(store.commit(&commit).await, Ok(Committed::Before));

    let StoreEvent::Room(announcement) = hear(&mut *listener).await else {
        panic!("the room comes first");
    };
    assert_eq!(announcement.entries, commit.rooms[0].entries);
    assert_eq!(
        hear(&mut *listener).await,
        StoreEvent::Reply(commit.replies[0].1.clone())
    );
    store.nudge(None, &Nudge::Released).await.unwrap();
    assert_eq!(
        hear(&mut *listener).await,
        StoreEvent::Nudge(Nudge::Released)
    );
}

#[tokio::test]
async fn w2_a_large_commit_is_one_step_as_well() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let me = NodeId::from("gateway");
    let mut commit = next_commit(&*store, epoch, &me).await;
    let one = commit.rooms[0].clone();
    let names = (0..).map(|n| format!("chat/{n}").parse().unwrap());
    let here = names.filter(|room| LAYOUT.partition(room) == partition());
    commit.rooms = here
        .take(70)
        .map(|room| RoomCommit {
            room,
            ..one.clone()
        })
        .collect();
    let room = &mut commit.rooms[69];
    room.entries = (1..=700)
        .map(|off| entry(Pos { off, tag: 7 }, "hello"))
        .collect();
    room.seats = (0..5_000)
        .map(|n| (Sid::from_u128(n), Some(Seat::default())))
        .collect();
    room.snapshot = Some(Snapshot {
        pos: Pos { off: 500, tag: 7 },
        version: 1,
        state: Payload::of(&"x".repeat(1 << 20)).unwrap(),
    });

    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    let room = &commit.rooms[69];
    let load = store.load(&room.room).await.unwrap();
    assert_eq!(load.entries, room.entries[500..]);
    assert_eq!(load.seats.len(), 5_000);
    assert_eq!(load.snapshot, room.snapshot);
    assert_eq!(store.wakes(partition(), 99).await.unwrap().len(), 70);
}

#[tokio::test]
async fn w2_entries_that_leave_a_gap_are_refused_as_a_whole() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let mut commit = next_commit(&*store, epoch, &"gateway".into()).await;
    let again = commit.rooms[0].entries[0].clone();
    commit.rooms[0].entries.push(again);
    assert!(matches!(
        store.commit(&commit).await,
        Err(StoreError::Moved(_))
    ));
    assert_eq!(store.cursor(partition()).await, Ok(commit.from));
}

/// A script does not roll back: what goes wrong within one leaves what stands before it. Repeating that commit
/// must not be told that it has happened, and the inputs must still be there for the next one.
#[tokio::test]
async fn w2_a_commit_that_broke_off_within_has_not_happened() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let me = NodeId::from("gateway");
    append(&*store).await.unwrap();
    let read = async || {
        let all = store.read_topic(partition(), TopicId::default(), 9, Duration::ZERO);
        all.await.unwrap()
    };
    let inputs = read().await;
    let mut commit = next_commit(&*store, epoch, &me).await;
    commit.to.topic = inputs[0].id;
    let mut names = (0..).map(|n| format!("chat/{n}").parse().unwrap());
    let here = |room: &RoomName| LAYOUT.partition(room) == partition();
    let other = names.find(here).unwrap();
    let one = commit.rooms[0].clone();
    commit.rooms.push(RoomCommit {
        room: other.clone(),
        ..one
    });
    commit.unread = vec!["kept".into()];

    let PartitionId(p) = partition();
    let wrong = [
        format!("ol:{{p{p}}}:log:{other}"),
        format!("ol:{{p{p}}}:wakes"),
        format!("ol:{{p{p}}}:unread"),
    ];
    for key in &wrong {
        server.run::<()>(&["SET", key, "no such thing"]);
        for _ in 0..2 {
            let refused = store.commit(&commit).await;
            let told = matches!(
                refused,
                Err(StoreError::Unavailable(_) | StoreError::Moved(_))
            );
            assert!(told, "{key}: {refused:?}");
            assert_eq!(store.cursor(partition()).await, Ok(commit.from), "{key}");
            assert_eq!(read().await, inputs, "{key}: the inputs are still there");
        }
        server.run::<()>(&["DEL", key]);
        // Where the store has got to, as a worker finds it that starts over.
        for room in &mut commit.rooms {
            let load = store.load(&room.room).await.unwrap();
            let written = load.entries.last().map_or(Pos::START, |entry| entry.pos);
            assert_eq!(load.last, written, "{key}: a room ends where its log does");
            room.prev = load.last;
            commit.to.tag += 1;
            let pos = Pos {
                off: load.last.off + 1,
                tag: commit.to.tag,
            };
            room.entries = vec![entry(pos, "hello")];
            room.wake_ms = Some(5 + pos.off);
        }
    }
    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    assert_eq!(store.commit(&commit).await, Ok(Committed::Before));
    assert_eq!(store.wakes(partition(), 9).await.unwrap().len(), 2);
    assert_eq!(store.unread(partition(), 9).await.unwrap().len(), 1);
}
