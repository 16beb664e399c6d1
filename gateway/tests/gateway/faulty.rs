use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use outlast_broker::{
    Agreement, Announcements, Audits, Beat, Broker, BrokerError, Commit, Committed, Cursor,
    Deadline, Health, Heard, Holder, Input, Layout, Lease, LeaseName, Leases, Listener, Member,
    Membership, Mended, NodeId, NoteChange, Notes, Nudge, Partition, Read, Records, Role, RoomLoad,
    Rooms, Seen, Shard, SharedBroker, Standing, Stretch, Subscriptions, Survey, Terms, Topic,
    TopicEntry, TopicId, Write, Written,
};
use outlast_protocol::{RoomName, Sid};
use parking_lot::Mutex;
use tokio::sync::watch;

/// A store that fails where a test wants it to, and answers otherwise.
pub struct Faulty {
    inner: SharedBroker,
    faults: Arc<Faults>,
}

/// What fails.
#[derive(Default)]
pub struct Faults {
    /// The entries of this room are neither announced nor read.
    pub hidden: Mutex<Option<RoomName>>,
}

impl Faulty {
    pub fn over(inner: SharedBroker) -> (SharedBroker, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        let store = Faulty {
            inner,
            faults: faults.clone(),
        };
        (Arc::new(store), faults)
    }
}

impl Faults {
    fn read(&self, room: &RoomName) -> Result<(), BrokerError> {
        match self.hides(room) {
            true => Err(BrokerError::Unavailable("the log is hidden".to_owned())),
            false => Ok(()),
        }
    }

    fn hides(&self, room: &RoomName) -> bool {
        self.hidden.lock().as_ref() == Some(room)
    }
}

/// Everything is passed on as it is.
macro_rules! passes {
    ($trait:ident { $(fn $name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)+ }) => {
        #[async_trait]
        impl $trait for Faulty {
            $(async fn $name(&self, $($arg: $of),*) -> Result<$answer, BrokerError> {
                self.inner.$name($($arg),*).await
            })+
        }
    };
}

passes!(Topic {
    fn append(partition: Partition, deadline: Deadline, inputs: Vec<Input>) -> ();
    fn arrive(partition: Partition, deadline: Deadline, inputs: Vec<Input>) -> Vec<Option<Standing>>;
    fn read_topic(partition: Partition, after: TopicId, max: usize, wait: Duration) -> Vec<TopicEntry>;
});
passes!(Notes {
    fn notes(partition: Partition) -> Vec<(String, String)>;
    fn note(partition: Partition, epoch: u64, changes: &[NoteChange]) -> ();
});
passes!(Leases {
    fn claim(name: LeaseName, owner: &NodeId, ttl: Duration) -> Option<Lease>;
    fn renew(leases: &[(LeaseName, u64)], ttl: Duration) -> (u64, Vec<bool>);
    fn release(name: LeaseName, epoch: u64) -> ();
    fn survey(names: &[LeaseName]) -> Vec<Survey>;
});
passes!(Membership {
    fn beat(id: &NodeId, role: Role) -> Beat;
    fn members() -> (u64, Vec<Member>);
    fn strike(id: &NodeId, heard_ms: Option<u64>) -> bool;
});
passes!(Records {
    fn read(shard: Shard, sid: &Sid) -> Read;
    fn write(shard: Shard, write: Write) -> Written;
    fn due(shard: Shard, max: usize) -> Vec<Sid>;
    fn waiting(shard: Shard) -> u64;
    fn owners(shard: Shard) -> Vec<NodeId>;
    fn owned(shard: Shard, owner: &NodeId, max: usize) -> Vec<Sid>;
    fn grouped(shard: Shard, group: &str, max: usize) -> Vec<Sid>;
});
passes!(Audits {
    fn owned_after(shard: Shard, owner: &NodeId, after: Option<Sid>, max: usize) -> Vec<Sid>;
    fn grouped_after(shard: Shard, after: Option<&(String, Sid)>, max: usize) -> Vec<(String, Sid)>;
    fn mend(shard: Shard, seen: &[Seen]) -> Vec<Mended>;
    fn holders(shard: Shard, sids: &[Sid]) -> Vec<Option<Holder>>;
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
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), BrokerError> {
        let (subscriptions, inner) = self.inner.listen(me).await?;
        let faults = self.faults.clone();
        Ok((subscriptions, Box::new(HardOfHearing { inner, faults })))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), BrokerError> {
        self.inner.nudge(to, nudge).await
    }
}

struct HardOfHearing {
    inner: Box<dyn Listener>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Listener for HardOfHearing {
    async fn hear(&mut self) -> Heard {
        loop {
            match self.inner.hear().await {
                Heard::Room(news) if self.faults.hides(&news.room) => {}
                heard => return heard,
            }
        }
    }
}

#[async_trait]
impl Rooms for Faulty {
    async fn cursor(&self, partition: Partition) -> Result<Cursor, BrokerError> {
        self.inner.cursor(partition).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, BrokerError> {
        self.inner.commit(commit).await
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, BrokerError> {
        self.inner.load(room).await
    }

    async fn unread(
        &self,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, BrokerError> {
        self.inner.unread(partition, max).await
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, BrokerError> {
        self.inner.parked(room).await
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<Stretch, BrokerError> {
        self.faults.read(room)?;
        self.inner.read_log(room, from_off, max).await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<Stretch, BrokerError> {
        self.faults.read(room)?;
        self.inner.read_tail(room, max).await
    }

    async fn wakes(
        &self,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, BrokerError> {
        self.inner.wakes(partition, max).await
    }
}

impl Broker for Faulty {
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
