//! A store whose requests are counted.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::{Counter, Histogram};
use outlast_protocol::{RoomName, Sid};
use tokio::{sync::watch, time::Instant};

use crate::{
    Agreement, Announcements, Audits, Beat, Broker, BrokerError, Commit, Committed, Cursor,
    Deadline, Health, Holder, Input, Layout, Lease, LeaseName, Leases, Listener, Member,
    Membership, Mended, NodeId, NoteChange, Notes, Nudge, Partition, Read, Records, Role, RoomLoad,
    Rooms, Seen, Shard, SharedBroker, Standing, Stretch, Subscriptions, Survey, Terms, Topic,
    TopicEntry, TopicId, Write, Written, telemetry,
};

/// The same store, with its requests and its leases counted at `/metrics`.
pub fn metered(inner: SharedBroker) -> SharedBroker {
    telemetry::METRICS
        .iter()
        .for_each(telemetry::Metric::describe);
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
        survey: Meter::new("survey"),
        beat: Meter::new("beat"),
        members: Meter::new("members"),
        strike: Meter::new("strike"),
        nudge: Meter::new("nudge"),
        subscribe: Meter::new("subscribe"),
    })
}

struct Metered {
    inner: SharedBroker,
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
    survey: Meter,
    beat: Meter,
    members: Meter,
    strike: Meter,
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
        request: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        let start = Instant::now();
        let answer = self.count(request).await;
        self.seconds.record(start.elapsed());
        answer
    }

    async fn count<T>(
        &self,
        request: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        self.requests.increment(1);
        let answer = request.await;
        if answer.is_err() {
            self.failed.increment(1);
        }
        answer
    }
}

fn lease(name: LeaseName, how: &'static str) {
    let of = match name {
        LeaseName::Partition(_) => "partition",
        LeaseName::Shard(_) => "shard",
    };
    metrics::counter!(telemetry::LEASES, "of" => of, "how" => how).increment(1);
}

impl Broker for Metered {
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
    async fn read(&self, shard: Shard, sid: &Sid) -> Result<Read, BrokerError> {
        self.read.time(self.inner.read(shard, sid)).await
    }

    async fn write(&self, shard: Shard, write: Write) -> Result<Written, BrokerError> {
        self.write.time(self.inner.write(shard, write)).await
    }

    async fn due(&self, shard: Shard, max: usize) -> Result<Vec<Sid>, BrokerError> {
        self.due.time(self.inner.due(shard, max)).await
    }

    async fn waiting(&self, shard: Shard) -> Result<u64, BrokerError> {
        self.waiting.time(self.inner.waiting(shard)).await
    }

    async fn owners(&self, shard: Shard) -> Result<Vec<NodeId>, BrokerError> {
        self.owners.time(self.inner.owners(shard)).await
    }

    async fn owned(
        &self,
        shard: Shard,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        self.owned.time(self.inner.owned(shard, owner, max)).await
    }

    async fn grouped(
        &self,
        shard: Shard,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        let grouped = self.inner.grouped(shard, group, max);
        self.grouped.time(grouped).await
    }
}

#[async_trait]
impl Audits for Metered {
    async fn owned_after(
        &self,
        shard: Shard,
        owner: &NodeId,
        after: Option<Sid>,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        let page = self.inner.owned_after(shard, owner, after, max);
        self.audit.time(page).await
    }

    async fn grouped_after(
        &self,
        shard: Shard,
        after: Option<&(String, Sid)>,
        max: usize,
    ) -> Result<Vec<(String, Sid)>, BrokerError> {
        let page = self.inner.grouped_after(shard, after, max);
        self.audit.time(page).await
    }

    async fn mend(&self, shard: Shard, seen: &[Seen]) -> Result<Vec<Mended>, BrokerError> {
        self.mend.time(self.inner.mend(shard, seen)).await
    }

    async fn holders(
        &self,
        shard: Shard,
        sids: &[Sid],
    ) -> Result<Vec<Option<Holder>>, BrokerError> {
        self.holders.time(self.inner.holders(shard, sids)).await
    }
}

#[async_trait]
impl Agreement for Metered {
    async fn agree(&self, ours: Terms) -> Result<Terms, BrokerError> {
        self.terms.time(self.inner.agree(ours)).await
    }

    async fn decree(&self, ours: Terms) -> Result<(), BrokerError> {
        self.terms.time(self.inner.decree(ours)).await
    }
}

#[async_trait]
impl Topic for Metered {
    async fn append(
        &self,
        partition: Partition,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), BrokerError> {
        let append = self.inner.append(partition, deadline, inputs);
        self.append.time(append).await
    }

    async fn arrive(
        &self,
        partition: Partition,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<Standing>>, BrokerError> {
        let arrive = self.inner.arrive(partition, deadline, inputs);
        self.arrive.time(arrive).await
    }

    async fn read_topic(
        &self,
        partition: Partition,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, BrokerError> {
        let read = self.inner.read_topic(partition, after, max, wait);
        self.read_topic.count(read).await
    }
}

#[async_trait]
impl Rooms for Metered {
    async fn cursor(&self, partition: Partition) -> Result<Cursor, BrokerError> {
        self.cursor.time(self.inner.cursor(partition)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, BrokerError> {
        self.commit.time(self.inner.commit(commit)).await
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, BrokerError> {
        self.load.time(self.inner.load(room)).await
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<Stretch, BrokerError> {
        let read = self.inner.read_log(room, from_off, max);
        self.read_log.time(read).await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<Stretch, BrokerError> {
        self.read_tail.time(self.inner.read_tail(room, max)).await
    }

    async fn unread(
        &self,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, BrokerError> {
        self.unread.time(self.inner.unread(partition, max)).await
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, BrokerError> {
        self.parked.time(self.inner.parked(room)).await
    }

    async fn wakes(
        &self,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, BrokerError> {
        self.wakes.time(self.inner.wakes(partition, max)).await
    }
}

#[async_trait]
impl Notes for Metered {
    async fn notes(&self, partition: Partition) -> Result<Vec<(String, String)>, BrokerError> {
        self.notes.time(self.inner.notes(partition)).await
    }

    async fn note(
        &self,
        partition: Partition,
        epoch: u64,
        changes: &[NoteChange],
    ) -> Result<(), BrokerError> {
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
    ) -> Result<Option<Lease>, BrokerError> {
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
    ) -> Result<(u64, Vec<bool>), BrokerError> {
        let renewed = self.renew.time(self.inner.renew(leases, ttl)).await;
        if let Ok((_, held)) = &renewed {
            let lost = leases.iter().zip(held).filter(|(_, held)| !**held);
            lost.for_each(|((name, _), _)| lease(*name, "lost"));
        }
        renewed
    }

    async fn release(&self, name: LeaseName, epoch: u64) -> Result<(), BrokerError> {
        let released = self.release.time(self.inner.release(name, epoch)).await;
        if released.is_ok() {
            lease(name, "released");
        }
        released
    }

    async fn survey(&self, names: &[LeaseName]) -> Result<Vec<Survey>, BrokerError> {
        self.survey.time(self.inner.survey(names)).await
    }
}

#[async_trait]
impl Membership for Metered {
    async fn beat(&self, id: &NodeId, role: Role) -> Result<Beat, BrokerError> {
        self.beat.time(self.inner.beat(id, role)).await
    }

    async fn members(&self) -> Result<(u64, Vec<Member>), BrokerError> {
        self.members.time(self.inner.members()).await
    }

    async fn strike(&self, id: &NodeId, heard_ms: Option<u64>) -> Result<bool, BrokerError> {
        self.strike.time(self.inner.strike(id, heard_ms)).await
    }
}

#[async_trait]
impl Announcements for Metered {
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), BrokerError> {
        let (subscriptions, listener) = self.inner.listen(me).await?;
        let subscriptions = Arc::new(MeteredSubscriptions {
            inner: subscriptions,
            subscribe: self.subscribe.clone(),
        });
        Ok((subscriptions, listener))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), BrokerError> {
        self.nudge.time(self.inner.nudge(to, nudge)).await
    }
}

struct MeteredSubscriptions {
    inner: Arc<dyn Subscriptions>,
    subscribe: Meter,
}

#[async_trait]
impl Subscriptions for MeteredSubscriptions {
    async fn subscribe(&self, room: &RoomName) -> Result<(), BrokerError> {
        self.subscribe.time(self.inner.subscribe(room)).await
    }

    fn unsubscribe(&self, room: &RoomName) {
        self.inner.unsubscribe(room);
    }
}
