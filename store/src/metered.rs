//! A store whose requests are counted.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::{Counter, Histogram};
use outlast_protocol::{RoomName, Sid};
use tokio::{sync::watch, time::Instant};

use crate::{
    Agreement, Announcements, Audits, Commit, Committed, Cursor, Deadline, Health, HeartbeatReply,
    Holder, Input, Layout, Lease, LeaseHolder, LeaseName, Leases, Listener, LogSlice, Membership,
    Mended, Node, NodeId, NoteChange, Notes, Nudge, PartitionId, RecordIndexes, RecordRead,
    RecordWrite, Records, Role, RoomLoad, Rooms, SeatRead, ShardId, SharedStore, Store, StoreError,
    Subscriptions, Terms, Topic, TopicEntry, TopicId, WriteOutcome, telemetry,
};

/// The same store, with its requests and its leases counted at `/metrics`. Within a runtime.
pub fn metered(inner: SharedStore) -> SharedStore {
    telemetry::METRICS
        .iter()
        .for_each(telemetry::Metric::describe);
    tokio::spawn(show_refusals(inner.health()));
    Arc::new(Metered {
        inner,
        read: Meter::new("read"),
        write: Meter::new("write"),
        due: Meter::new("due"),
        waiting: Meter::new("waiting"),
        owners: Meter::new("owners"),
        owned: Meter::new("owned"),
        grouped: Meter::new("grouped"),
        audit: Meter::new("audit"),
        mend: Meter::new("mend"),
        terms: Meter::new("terms"),
        holders: Meter::new("holders"),
        append: Meter::new("append"),
        arrive: Meter::new("arrive"),
        read_topic: Meter::new("read_topic"),
        cursor: Meter::new("cursor"),
        commit: Meter::new("commit"),
        load: Meter::new("load"),
        read_log: Meter::new("read_log"),
        read_tail: Meter::new("read_tail"),
        unread: Meter::new("unread"),
        parked: Meter::new("parked"),
        wakes: Meter::new("wakes"),
        notes: Meter::new("notes"),
        note: Meter::new("note"),
        claim: Meter::new("claim"),
        renew: Meter::new("renew"),
        release: Meter::new("release"),
        lease_holders: Meter::new("lease_holders"),
        heartbeat: Meter::new("heartbeat"),
        nodes: Meter::new("nodes"),
        deregister: Meter::new("deregister"),
        nudge: Meter::new("nudge"),
        subscribe: Meter::new("subscribe"),
    })
}

/// Tells whether the store takes nothing new, for as long as there is the store.
async fn show_refusals(mut health: watch::Receiver<Health>) {
    let refuses = metrics::gauge!(telemetry::REFUSES);
    loop {
        refuses.set(match *health.borrow_and_update() {
            Health::Full | Health::Refusing => 1.0,
            Health::Up | Health::Down => 0.0,
        });
        if health.changed().await.is_err() {
            return;
        }
    }
}

struct Metered {
    inner: SharedStore,
    read: Meter,
    write: Meter,
    due: Meter,
    waiting: Meter,
    owners: Meter,
    owned: Meter,
    grouped: Meter,
    audit: Meter,
    mend: Meter,
    terms: Meter,
    holders: Meter,
    append: Meter,
    arrive: Meter,
    read_topic: Meter,
    cursor: Meter,
    commit: Meter,
    load: Meter,
    read_log: Meter,
    read_tail: Meter,
    unread: Meter,
    parked: Meter,
    wakes: Meter,
    notes: Meter,
    note: Meter,
    claim: Meter,
    renew: Meter,
    release: Meter,
    lease_holders: Meter,
    heartbeat: Meter,
    nodes: Meter,
    deregister: Meter,
    nudge: Meter,
    subscribe: Meter,
}

/// One kind of request.
#[derive(Clone)]
struct Meter {
    requests: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Meter {
    fn new(request: &'static str) -> Self {
        Meter {
            requests: metrics::counter!(telemetry::REQUESTS, "request" => request),
            failed: metrics::counter!(telemetry::FAILED, "request" => request),
            seconds: metrics::histogram!(telemetry::SECONDS, "request" => request),
        }
    }

    async fn time<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let answer = self.count(request).await;
        self.seconds.record(start.elapsed());
        answer
    }

    async fn count<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.requests.increment(1);
        let answer = request.await;
        if answer.is_err() {
            self.failed.increment(1);
        }
        answer
    }
}

fn lease(name: LeaseName, outcome: &'static str) {
    let lease = match name {
        LeaseName::Partition(_) => "partition",
        LeaseName::Shard(_) => "shard",
    };
    metrics::counter!(telemetry::LEASES, "lease" => lease, "outcome" => outcome).increment(1);
}

impl Store for Metered {
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

#[async_trait]
impl Records for Metered {
    async fn read(&self, shard: ShardId, sid: &Sid) -> Result<RecordRead, StoreError> {
        self.read.time(self.inner.read(shard, sid)).await
    }

    async fn write(&self, shard: ShardId, write: RecordWrite) -> Result<WriteOutcome, StoreError> {
        self.write.time(self.inner.write(shard, write)).await
    }

    async fn due(&self, shard: ShardId, max: usize) -> Result<Vec<Sid>, StoreError> {
        self.due.time(self.inner.due(shard, max)).await
    }

    async fn waiting(&self, shard: ShardId) -> Result<u64, StoreError> {
        self.waiting.time(self.inner.waiting(shard)).await
    }

    async fn owners(&self, shard: ShardId) -> Result<Vec<NodeId>, StoreError> {
        self.owners.time(self.inner.owners(shard)).await
    }

    async fn owned(
        &self,
        shard: ShardId,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        self.owned.time(self.inner.owned(shard, owner, max)).await
    }

    async fn grouped(
        &self,
        shard: ShardId,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let grouped = self.inner.grouped(shard, group, max);
        self.grouped.time(grouped).await
    }
}

#[async_trait]
impl Audits for Metered {
    async fn owned_after(
        &self,
        shard: ShardId,
        owner: &NodeId,
        after: Option<Sid>,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let page = self.inner.owned_after(shard, owner, after, max);
        self.audit.time(page).await
    }

    async fn grouped_after(
        &self,
        shard: ShardId,
        after: Option<&(String, Sid)>,
        max: usize,
    ) -> Result<Vec<(String, Sid)>, StoreError> {
        let page = self.inner.grouped_after(shard, after, max);
        self.audit.time(page).await
    }

    async fn mend(
        &self,
        shard: ShardId,
        seen: &[RecordIndexes],
    ) -> Result<Vec<Mended>, StoreError> {
        self.mend.time(self.inner.mend(shard, seen)).await
    }

    async fn holders(
        &self,
        shard: ShardId,
        sids: &[Sid],
    ) -> Result<Vec<Option<Holder>>, StoreError> {
        self.holders.time(self.inner.holders(shard, sids)).await
    }
}

#[async_trait]
impl Agreement for Metered {
    async fn agree(&self, ours: Terms) -> Result<Terms, StoreError> {
        self.terms.time(self.inner.agree(ours)).await
    }

    async fn uphold(&self, ours: Terms) -> Result<Terms, StoreError> {
        self.terms.time(self.inner.uphold(ours)).await
    }

    async fn decree(&self, ours: Terms) -> Result<(), StoreError> {
        self.terms.time(self.inner.decree(ours)).await
    }
}

#[async_trait]
impl Topic for Metered {
    async fn append(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), StoreError> {
        let append = self.inner.append(partition, deadline, inputs);
        self.append.time(append).await
    }

    async fn arrive(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<SeatRead>>, StoreError> {
        let arrive = self.inner.arrive(partition, deadline, inputs);
        self.arrive.time(arrive).await
    }

    async fn read_topic(
        &self,
        partition: PartitionId,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, StoreError> {
        let read = self.inner.read_topic(partition, after, max, wait);
        self.read_topic.count(read).await
    }
}

#[async_trait]
impl Rooms for Metered {
    async fn cursor(&self, partition: PartitionId) -> Result<Cursor, StoreError> {
        self.cursor.time(self.inner.cursor(partition)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        self.commit.time(self.inner.commit(commit)).await
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, StoreError> {
        self.load.time(self.inner.load(room)).await
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        let read = self.inner.read_log(room, from_off, max);
        self.read_log.time(read).await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<LogSlice, StoreError> {
        self.read_tail.time(self.inner.read_tail(room, max)).await
    }

    async fn unread(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, StoreError> {
        self.unread.time(self.inner.unread(partition, max)).await
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, StoreError> {
        self.parked.time(self.inner.parked(room)).await
    }

    async fn wakes(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, StoreError> {
        self.wakes.time(self.inner.wakes(partition, max)).await
    }
}

#[async_trait]
impl Notes for Metered {
    async fn notes(&self, partition: PartitionId) -> Result<Vec<(String, String)>, StoreError> {
        self.notes.time(self.inner.notes(partition)).await
    }

    async fn note(
        &self,
        partition: PartitionId,
        epoch: u64,
        changes: &[NoteChange],
    ) -> Result<(), StoreError> {
        let note = self.inner.note(partition, epoch, changes);
        self.note.time(note).await
    }
}

#[async_trait]
impl Leases for Metered {
    async fn claim(
        &self,
        name: LeaseName,
        owner: &NodeId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let claimed = self.claim.time(self.inner.claim(name, owner, ttl)).await;
        if let Ok(Some(_)) = &claimed {
            lease(name, "claimed");
        }
        claimed
    }

    async fn renew(
        &self,
        leases: &[(LeaseName, u64)],
        ttl: Duration,
    ) -> Result<(u64, Vec<bool>), StoreError> {
        let renewed = self.renew.time(self.inner.renew(leases, ttl)).await;
        if let Ok((_, held)) = &renewed {
            let lost = leases.iter().zip(held).filter(|(_, held)| !**held);
            lost.for_each(|((name, _), _)| lease(*name, "lost"));
        }
        renewed
    }

    async fn release(&self, name: LeaseName, epoch: u64) -> Result<(), StoreError> {
        let released = self.release.time(self.inner.release(name, epoch)).await;
        if released.is_ok() {
            lease(name, "released");
        }
        released
    }

    async fn lease_holders(&self, names: &[LeaseName]) -> Result<Vec<LeaseHolder>, StoreError> {
        self.lease_holders
            .time(self.inner.lease_holders(names))
            .await
    }
}

#[async_trait]
impl Membership for Metered {
    async fn heartbeat(&self, id: &NodeId, role: Role) -> Result<HeartbeatReply, StoreError> {
        self.heartbeat.time(self.inner.heartbeat(id, role)).await
    }

    async fn nodes(&self) -> Result<(u64, Vec<Node>), StoreError> {
        self.nodes.time(self.inner.nodes()).await
    }

    async fn deregister(&self, id: &NodeId, heard_ms: Option<u64>) -> Result<bool, StoreError> {
        self.deregister
            .time(self.inner.deregister(id, heard_ms))
            .await
    }
}

#[async_trait]
impl Announcements for Metered {
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), StoreError> {
        let (subscriptions, listener) = self.inner.listen(me).await?;
        let subscriptions = Arc::new(MeteredSubscriptions {
            inner: subscriptions,
            subscribe: self.subscribe.clone(),
        });
        Ok((subscriptions, listener))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), StoreError> {
        self.nudge.time(self.inner.nudge(to, nudge)).await
    }
}

struct MeteredSubscriptions {
    inner: Arc<dyn Subscriptions>,
    subscribe: Meter,
}

#[async_trait]
impl Subscriptions for MeteredSubscriptions {
    async fn subscribe(&self, room: &RoomName) -> Result<(), StoreError> {
        self.subscribe.time(self.inner.subscribe(room)).await
    }

    fn unsubscribe(&self, room: &RoomName) {
        self.inner.unsubscribe(room);
    }
}
