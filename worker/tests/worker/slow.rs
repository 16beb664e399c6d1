//! A store that does not give one room for a while, and answers otherwise.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Agreement, Announcements, Answer, Audits, Commit, Committed, Cursor, Deadline, Health,
    HeartbeatReply, Holder, Input, Layout, Lease, LeaseHolder, LeaseName, Leases, Listener,
    LogSlice, Membership, Mended, Node, NodeId, NoteChange, Notes, Nudge, PartitionId,
    RecordIndexes, RecordRead, RecordWrite, Records, Request, Role, RoomLoad, Rooms, SeatRead,
    ShardId, SharedStore, Store, StoreError, Subscriptions, Terms, Topic, TopicEntry, TopicId,
    WriteOutcome,
};
use tokio::sync::watch;

use crate::{
    client::Client,
    workers::{Worker, store},
};

/// Fails to give a room for as long as that is asked of it, or to answer anything about rooms.
struct Slow {
    inner: SharedStore,
    room: RoomName,
    fails: AtomicBool,
    away: AtomicBool,
    asked: AtomicBool,
}

impl Slow {
    fn new(room: &RoomName) -> Arc<Slow> {
        Arc::new(Slow {
            inner: store(),
            room: room.clone(),
            fails: AtomicBool::new(false),
            away: AtomicBool::new(false),
            asked: AtomicBool::new(false),
        })
    }

    async fn is_back(&self) {
        while self.away.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Everything is passed on as it is.
macro_rules! passes {
    ($trait:ident { $(fn $name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)+ }) => {
        #[async_trait]
        impl $trait for Slow {
            $(async fn $name(&self, $($arg: $of),*) -> Result<$answer, StoreError> {
                self.inner.$name($($arg),*).await
            })+
        }
    };
}

passes!(Topic {
    fn append(partition: PartitionId, deadline: Deadline, inputs: Vec<Input>) -> ();
    fn arrive(partition: PartitionId, deadline: Deadline, inputs: Vec<Input>) -> Vec<Option<SeatRead>>;
    fn read_topic(partition: PartitionId, after: TopicId, max: usize, wait: Duration) -> Vec<TopicEntry>;
});
passes!(Notes {
    fn notes(partition: PartitionId) -> Vec<(String, String)>;
    fn note(partition: PartitionId, epoch: u64, changes: &[NoteChange]) -> ();
});
passes!(Leases {
    fn claim(name: LeaseName, owner: &NodeId, ttl: Duration) -> Option<Lease>;
    fn renew(leases: &[(LeaseName, u64)], ttl: Duration) -> (u64, Vec<bool>);
    fn release(name: LeaseName, epoch: u64) -> ();
    fn lease_holders(names: &[LeaseName]) -> Vec<LeaseHolder>;
});
passes!(Membership {
    fn heartbeat(id: &NodeId, role: Role) -> HeartbeatReply;
    fn nodes() -> (u64, Vec<Node>);
    fn deregister(id: &NodeId, heard_ms: Option<u64>) -> bool;
});
passes!(Records {
    fn read(shard: ShardId, sid: &Sid) -> RecordRead;
    fn write(shard: ShardId, write: RecordWrite) -> WriteOutcome;
    fn due(shard: ShardId, max: usize) -> Vec<Sid>;
    fn waiting(shard: ShardId) -> u64;
    fn owners(shard: ShardId) -> Vec<NodeId>;
    fn owned(shard: ShardId, owner: &NodeId, max: usize) -> Vec<Sid>;
    fn grouped(shard: ShardId, group: &str, max: usize) -> Vec<Sid>;
});
passes!(Audits {
    fn owned_after(shard: ShardId, owner: &NodeId, after: Option<Sid>, max: usize) -> Vec<Sid>;
    fn grouped_after(shard: ShardId, after: Option<&(String, Sid)>, max: usize) -> Vec<(String, Sid)>;
    fn mend(shard: ShardId, seen: &[RecordIndexes]) -> Vec<Mended>;
    fn holders(shard: ShardId, sids: &[Sid]) -> Vec<Option<Holder>>;
});
passes!(Agreement {
    fn agree(ours: Terms) -> Terms;
    fn decree(ours: Terms) -> ();
});
passes!(Announcements {
    fn listen(me: &NodeId) -> (Arc<dyn Subscriptions>, Box<dyn Listener>);
    fn nudge(to: Option<&NodeId>, nudge: &Nudge) -> ();
});

#[async_trait]
impl Rooms for Slow {
    async fn cursor(&self, partition: PartitionId) -> Result<Cursor, StoreError> {
        self.is_back().await;
        self.inner.cursor(partition).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        self.inner.commit(commit).await
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, StoreError> {
        self.asked.store(true, SeqCst);
        self.is_back().await;
        match *room == self.room && self.fails.load(SeqCst) {
            true => Err(StoreError::Unavailable("the answer broke off".into())),
            false => self.inner.load(room).await,
        }
    }

    async fn unread(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, StoreError> {
        self.inner.unread(partition, max).await
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, StoreError> {
        self.is_back().await;
        self.inner.parked(room).await
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        self.is_back().await;
        self.inner.read_log(room, from_off, max).await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<LogSlice, StoreError> {
        self.inner.read_tail(room, max).await
    }

    async fn wakes(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, StoreError> {
        self.inner.wakes(partition, max).await
    }
}

impl Store for Slow {
    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }
}

/// Another room of the same partition.
fn neighbour(layout: Layout, of: &RoomName) -> String {
    let names = (0..).map(|number| format!("chat/neighbour-{number}"));
    let mut beside = names.filter(|name| {
        let room = name.parse().unwrap();
        layout.partition(&room) == layout.partition(of)
    });
    beside.next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_a_room_that_the_store_does_not_give_holds_up_no_other() {
    let room: RoomName = "chat/large".parse().unwrap();
    let slow = Slow::new(&room);
    let store: SharedStore = slow.clone();
    let worker = Worker::start(&store, 2_000);
    let mut ada = Client::joined(&store, room.as_str()).await;
    let mut bob = Client::joined(&store, &neighbour(store.layout(), &room)).await;
    worker.stop().await;

    slow.fails.store(true, SeqCst);
    let worker = Worker::start(&store, 2_000);
    ada.post("who hears me?").await;
    let start = Instant::now();
    bob.say("the others go on").await;
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    let busy = |answer: &Answer, of: u64| matches!(answer, Answer::NotTaken { n, code, .. } if *n == of && code == "busy");
    let answer = ada.answer().await;
    assert!(busy(&answer, 2), "{answer:?}");
    ada.send(Request::View).await;
    let answer = ada.answer().await;
    assert!(busy(&answer, 0), "{answer:?}");

    // And it goes on by itself (W9).
    slow.fails.store(false, SeqCst);
    let start = Instant::now();
    loop {
        ada.send(Request::View).await;
        match ada.answer().await {
            Answer::Seated { n: 1, .. } => break,
            answer => assert!(busy(&answer, 0), "{answer:?}"),
        }
        assert!(
            start.elapsed() < outlast_testkit::PATIENCE,
            "it stands still for ever"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w9_a_store_that_does_not_answer_for_a_while_stops_no_room() {
    let room: RoomName = "chat/healthy".parse().unwrap();
    let slow = Slow::new(&room);
    let store: SharedStore = slow.clone();
    let worker = Worker::start(&store, 2_000);
    let mut ada = Client::joined(&store, room.as_str()).await;
    worker.stop().await;

    slow.asked.store(false, SeqCst);
    let worker = Worker::start(&store, 2_000);
    // It holds its partitions.
    let mut bob = Client::joined(&store, &neighbour(store.layout(), &room)).await;
    bob.say("here").await;
    slow.asked.store(false, SeqCst);
    slow.away.store(true, SeqCst);
    ada.send(Request::View).await;
    let start = Instant::now();
    while !slow.asked.load(SeqCst) {
        assert!(start.elapsed() < outlast_testkit::PATIENCE, "nobody asks");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Longer than one room may take, and back as soon as somebody may have lost patience.
    tokio::time::sleep(Duration::from_millis(3_300)).await;
    slow.away.store(false, SeqCst);
    let answer = ada.answer().await;
    assert!(matches!(answer, Answer::Seated { n: 1, .. }), "{answer:?}");
    worker.stop().await;
}
