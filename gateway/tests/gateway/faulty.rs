use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Agreement, Announcements, Audits, Commit, Committed, Cursor, Deadline, Health, HeartbeatReply,
    Holder, Input, Layout, Lease, LeaseHolder, LeaseName, Leases, Listener, LogSlice, Membership,
    Mended, Node, NodeId, NoteChange, Notes, Nudge, PartitionId, RecordIndexes, RecordRead,
    RecordWrite, Records, Role, RoomLoad, Rooms, SeatRead, ShardId, SharedStore, Store, StoreError,
    StoreEvent, Subscriptions, Terms, Topic, TopicEntry, TopicId, WriteOutcome,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// A store that fails where a test wants it to, and answers otherwise.
pub struct Faulty {
    inner: SharedStore,
    faults: Arc<Faults>,
}

/// What comes of a request that does not reach its partition.
#[derive(Clone, Copy)]
pub enum Cut {
    Refused,
    /// It waits until the partition is reached again.
    Unanswered,
}

/// What fails.
#[derive(Default)]
pub struct Faults {
    /// The entries of this room are neither announced nor read.
    pub hidden: Mutex<Option<RoomName>>,
    /// Nothing of this partition is reached.
    pub cut_off: Mutex<Option<(PartitionId, Cut)>>,
    /// This is refused, with this error.
    pub refused: Mutex<Option<(&'static str, StoreError)>>,
    /// The number of refusals.
    pub refusals: AtomicUsize,
}

impl Faulty {
    pub fn over(inner: SharedStore) -> (SharedStore, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        let store = Faulty {
            inner,
            faults: faults.clone(),
        };
        (Arc::new(store), faults)
    }
}

impl Faults {
    async fn reach(&self, partition: PartitionId) -> Result<(), StoreError> {
        loop {
            match *self.cut_off.lock() {
                Some((cut_off, Cut::Refused)) if cut_off == partition => {
                    return Err(StoreError::Unavailable("a node is down".to_owned()));
                }
                Some((cut_off, Cut::Unanswered)) if cut_off == partition => {}
                Some(_) | None => return Ok(()),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn read(&self, room: &RoomName) -> Result<(), StoreError> {
        match self.hides(room) {
            true => Err(StoreError::Unavailable("the log is hidden".to_owned())),
            false => Ok(()),
        }
    }

    fn refuse(&self, name: &str) -> Result<(), StoreError> {
        match &*self.refused.lock() {
            Some((refused, error)) if *refused == name => {
                self.refusals.fetch_add(1, Ordering::SeqCst);
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }

    fn hides(&self, room: &RoomName) -> bool {
        self.hidden.lock().as_ref() == Some(room)
    }
}

/// What is not refused is passed on as it is.
macro_rules! passes {
    ($trait:ident { $(fn $name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)+ }) => {
        #[async_trait]
        impl $trait for Faulty {
            $(async fn $name(&self, $($arg: $of),*) -> Result<$answer, StoreError> {
                self.faults.refuse(stringify!($name))?;
                self.inner.$name($($arg),*).await
            })+
        }
    };
}

#[async_trait]
impl Topic for Faulty {
    async fn append(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), StoreError> {
        self.faults.reach(partition).await?;
        self.inner.append(partition, deadline, inputs).await
    }

    async fn arrive(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<SeatRead>>, StoreError> {
        self.faults.reach(partition).await?;
        self.inner.arrive(partition, deadline, inputs).await
    }

    async fn read_topic(
        &self,
        partition: PartitionId,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, StoreError> {
        self.inner.read_topic(partition, after, max, wait).await
    }
}

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

#[async_trait]
impl Announcements for Faulty {
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), StoreError> {
        let (subscriptions, inner) = self.inner.listen(me).await?;
        let faults = self.faults.clone();
        Ok((subscriptions, Box::new(HardOfHearing { inner, faults })))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), StoreError> {
        self.inner.nudge(to, nudge).await
    }
}

struct HardOfHearing {
    inner: Box<dyn Listener>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Listener for HardOfHearing {
    async fn next(&mut self) -> StoreEvent {
        loop {
            match self.inner.next().await {
                StoreEvent::Room(news) if self.faults.hides(&news.room) => {}
                heard => return heard,
            }
        }
    }
}

#[async_trait]
impl Rooms for Faulty {
    async fn cursor(&self, partition: PartitionId) -> Result<Cursor, StoreError> {
        self.inner.cursor(partition).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        self.inner.commit(commit).await
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, StoreError> {
        self.inner.load(room).await
    }

    async fn unread(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, StoreError> {
        self.inner.unread(partition, max).await
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, StoreError> {
        self.inner.parked(room).await
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        self.faults.read(room)?;
        self.inner.read_log(room, from_off, max).await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<LogSlice, StoreError> {
        self.faults.read(room)?;
        self.faults.reach(self.layout().partition(room)).await?;
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

impl Store for Faulty {
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
