//! The helpers of the cases; of use for what a backend has to prove besides, too.

use std::time::Duration;

use outlast_protocol::{Payload, Pos, RoomName, Sid};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    Body, Commit, Committed, Cursor, Deadline, Entry, Input, Layout, LeaseName, Listener,
    PartitionId, Request, RoomCommit, SharedStore, StoreEvent, TopicId,
};

/// Longer than anything takes, and shorter than anybody waits.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A lease that does not run out during a case.
pub const LONG: Duration = Duration::from_secs(600);

pub const NEVER: Deadline = Deadline(u64::MAX >> 12);

/// A worker that holds a partition and commits.
pub struct Writer {
    pub store: SharedStore,
    pub partition: PartitionId,
    pub epoch: u64,
    pub cursor: Cursor,
}

impl Writer {
    /// Takes the partition that a room lies in.
    pub async fn of(store: &SharedStore, room: &RoomName) -> Self {
        let partition = store.layout().partition(room);
        let name = LeaseName::Partition(partition);
        let lease = store.claim(name, &"writer".into(), LONG).await.unwrap();
        let lease = lease.expect("the partition is free");
        Writer {
            store: store.clone(),
            partition,
            epoch: lease.epoch,
            cursor: store.cursor(partition).await.unwrap(),
        }
    }

    /// A commit of what changes in rooms, from where this writer stands.
    pub fn commit_of(&self, rooms: Vec<RoomCommit>) -> Commit {
        let Cursor { topic, commits, .. } = self.cursor;
        let to = Cursor {
            topic: TopicId {
                ms: topic.ms,
                seq: topic.seq + 1,
            },
            commits: commits + 1,
            tag: commits + 1_000_000,
        };
        Commit {
            partition: self.partition,
            epoch: self.epoch,
            from: self.cursor,
            to,
            rooms,
            replies: Vec::new(),
            unread: Vec::new(),
            reread: 0,
            unnote: Vec::new(),
        }
    }

    /// Does a commit that nothing stands against.
    pub async fn commit(&mut self, commit: Commit) {
        let committed = self.store.commit(&commit).await;
        assert_eq!(committed, Ok(Committed::Now));
        self.cursor = commit.to;
    }

    /// Commits what changes in one room.
    pub async fn write(&mut self, room: RoomCommit) {
        self.commit(self.commit_of(vec![room])).await;
    }
}

/// Nothing changes in a room whose log ends at `behind`.
pub fn unchanged(room: &RoomName, behind: Pos) -> RoomCommit {
    RoomCommit {
        room: room.clone(),
        prev: behind,
        entries: Vec::new(),
        seats: Vec::new(),
        head: None,
        snapshot: None,
        trim_below: None,
        wake_ms: None,
        ttl_ms: None,
        park: Vec::new(),
        unpark: false,
        signals: Vec::new(),
    }
}

/// Adds so many entries to a room's log.
pub fn more(room: &RoomName, behind: Pos, count: u64) -> RoomCommit {
    RoomCommit {
        entries: events(behind, count),
        ..unchanged(room, behind)
    }
}

/// So many events after a position.
pub fn events(behind: Pos, count: u64) -> Vec<Entry> {
    let offs = behind.off + 1..=behind.off + count;
    offs.map(|off| event(off, json(&format!(r#"{{"said":"{off}"}}"#))))
        .collect()
}

pub fn event(off: u64, data: Payload) -> Entry {
    Entry {
        pos: at(off),
        at: 1_700_000_000_000 + off,
        body: Body::Event {
            by: Some(3),
            n: Some(off),
            quiet: false,
            data,
        },
    }
}

/// The position that [`event`] gives an `off`.
pub fn at(off: u64) -> Pos {
    match off {
        0 => Pos::START,
        _ => Pos {
            off,
            tag: 7_000 + off,
        },
    }
}

pub fn json(text: &str) -> Payload {
    Payload::from_json(text.into()).unwrap()
}

pub fn room(name: &str) -> RoomName {
    name.parse().unwrap()
}

/// So many rooms that share a partition.
pub fn neighbours<const COUNT: usize>(layout: Layout) -> [RoomName; COUNT] {
    let rooms = (0..).map(|number| room(&format!("chat/room-{number}")));
    let home = layout.partition(&room("chat/room-0"));
    let mut neighbours = rooms.filter(|room| layout.partition(room) == home);
    std::array::from_fn(|_| neighbours.next().unwrap())
}

/// An act of a session's in a room.
pub fn act(room: &RoomName, n: u64) -> Input {
    let data = json(&format!(r#"{{"say":"{n}"}}"#));
    input(room, Request::Act { n, data })
}

pub fn input(room: &RoomName, request: Request) -> Input {
    Input {
        room: room.clone(),
        sid: Sid::now_v7(),
        generation: 1,
        gateway: Some("gateway".into()),
        request,
    }
}

/// The next thing that a listener hears.
pub async fn hear(listener: &mut Box<dyn Listener>) -> StoreEvent {
    let heard = tokio::time::timeout(PATIENCE, listener.next()).await;
    heard.expect("there is something to hear")
}

/// Returns all that a listener hears before `last`.
pub async fn heard_until(listener: &mut Box<dyn Listener>, last: &StoreEvent) -> Vec<StoreEvent> {
    let mut all = Vec::new();
    loop {
        let heard = hear(listener).await;
        if heard == *last {
            return all;
        }
        all.push(heard);
    }
}

/// A generator whose seed is printed; `OUTLAST_SEED` reruns it.
pub fn seeded() -> StdRng {
    let given = std::env::var("OUTLAST_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().expect("a number"));
    println!("OUTLAST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
