use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use metrics::Gauge;
use outlast_broker::{
    self as broker, BrokerError, Commit, Entry, Input, LeaseName, SharedBroker, TopicEntry, TopicId,
};
use outlast_protocol::{NUMBER_MAX, Pos, RoomName};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug_span};

use crate::{
    Registry, Settings,
    audit::Audit,
    clock::StoreClock,
    host::Loaded,
    partition::{Partition, UNREAD_MAX, WAKES_MAX, Want},
    reach::Reach,
    telemetry,
};

/// The longest wait for an input before it is begun anew.
const READ_WAIT: Duration = Duration::from_millis(250);

/// How many rooms are loaded at the same time.
const LOADS_MAX: usize = 16;

/// How many log entries are read at a time.
const LOG_PAGE: usize = 1_000;

/// The wait before a partition is taken up again that has come apart from the store.
const REOPEN_WAIT: Duration = Duration::from_millis(100);

/// Runs one partition under one lease: reads its topic, loads rooms, commits, and so on.
pub(crate) struct Runner {
    pub(crate) broker: SharedBroker,
    pub(crate) registry: Registry,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<StoreClock>,
    pub(crate) reach: Reach,
    pub(crate) partition: broker::Partition,
    pub(crate) epoch: u64,
}

/// A read of the topic that is under way.
type Reading<'a> = BoxFuture<'a, Result<Vec<TopicEntry>, BrokerError>>;

/// How running a partition has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to stop, and has given the lease up.
    Released,
    /// Somebody else holds the lease.
    Lost,
}

impl Runner {
    /// Runs the partition until `stop`, or until the lease is lost.
    pub(crate) async fn run(self, stop: CancellationToken) -> End {
        loop {
            match self.serve(&stop).await {
                Ok(()) => return self.release().await,
                Err(error) if self.is_held().await => {
                    // The store has lost writes that it had acknowledged, say: what it holds now counts.
                    tracing::error!(
                        partition = self.partition.0, %error, "memory and store differ; starting afresh"
                    );
                    tokio::time::sleep(REOPEN_WAIT).await;
                }
                Err(error) => {
                    tracing::warn!(partition = self.partition.0, %error, "lost a partition");
                    return End::Lost;
                }
            }
        }
    }

    /// Serves from what the store holds. An error means that this memory is of no use any more.
    async fn serve(&self, stop: &CancellationToken) -> Result<(), BrokerError> {
        // Until the first batch is done: from then on its rooms are served.
        let mut takeover =
            debug_span!("takeover", partition = self.partition.0, epoch = self.epoch);
        let mut core = self.open().instrument(takeover.clone()).await?;
        let rooms = RoomsGauge::of(self.partition);
        let audit = Audit::start(self.broker.clone(), self.clock.clone(), self.partition);
        let mut reading = None;
        while !stop.is_cancelled() {
            let entries = match core.is_behind() {
                true => Vec::new(),
                false => {
                    let wake_ms = core.next_wake_ms();
                    self.next(&mut reading, core.read_after(), wake_ms, stop)
                        .await?
                }
            };
            metrics::counter!(telemetry::INPUTS).increment(entries.len() as u64);
            core.begin(entries, self.clock.now_ms(), rand::random());
            let span = std::mem::replace(&mut takeover, Span::none());
            self.finish_batch(&mut core).instrument(span).await?;
            rooms.0.set(core.rooms_in_memory() as f64);
            if audit.is_idle()
                && let Some(look) = core.look(self.clock.now_ms())
            {
                audit.look(look);
            }
        }
        match core.hand_over(self.clock.now_ms(), rand::random()) {
            Some(commit) => self.commit(&commit).await,
            None => Ok(()),
        }
    }

    async fn open(&self) -> Result<Partition, BrokerError> {
        let cursor = self
            .reach
            .insist("cursor", || self.broker.cursor(self.partition))
            .await?;
        Ok(Partition::new(
            self.partition,
            self.epoch,
            cursor,
            self.registry.clone(),
            self.settings.clone(),
        ))
    }

    /// Waits for inputs, but no longer than until a room is to be woken, or until `stop`.
    ///
    /// A read that has come to nothing by then goes on, and is heeded next time: an idle Redis ends a
    /// wait up to 100 ms late, and one that is given up costs a connection.
    async fn next<'a>(
        &'a self,
        reading: &mut Option<Reading<'a>>,
        after: TopicId,
        wake_ms: Option<u64>,
        stop: &CancellationToken,
    ) -> Result<Vec<TopicEntry>, BrokerError> {
        let read = reading.get_or_insert_with(|| self.read(after).boxed());
        let entries = tokio::select! {
            // Inputs come first; what is due is done along with them.
            biased;
            entries = read => entries?,
            () = self.clock.reaches(wake_ms) => return Ok(Vec::new()),
            () = stop.cancelled() => return Ok(Vec::new()),
        };
        *reading = None;
        Ok(entries)
    }

    async fn read(&self, after: TopicId) -> Result<Vec<TopicEntry>, BrokerError> {
        let max = self.settings.batch_max;
        let read = || {
            self.broker
                .read_topic(self.partition, after, max, READ_WAIT)
        };
        self.reach.insist("read", read).await
    }

    async fn finish_batch(&self, core: &mut Partition) -> Result<(), BrokerError> {
        loop {
            match core.advance() {
                Want::Wakes => core.wakes_read(self.wakes().await?),
                Want::Unread => core.unread_read(self.unread().await?),
                Want::Load(rooms) => {
                    let mut loads = stream::iter(rooms)
                        .map(|room| async { (self.load(&room).await, room) })
                        .buffered(LOADS_MAX);
                    while let Some((loaded, room)) = loads.next().await {
                        core.loaded(room, loaded?);
                    }
                }
                Want::ReadLog(room) => core.log_read(self.read_log(&room).await?),
                Want::Commit(commit) => return self.commit(&commit).await,
                Want::Nothing => return Ok(()),
            }
        }
    }

    async fn wakes(&self) -> Result<Vec<(RoomName, u64)>, BrokerError> {
        let wakes = || self.broker.wakes(self.partition, WAKES_MAX);
        self.reach.insist("wakes", wakes).await
    }

    async fn unread(&self) -> Result<Vec<Result<Input, String>>, BrokerError> {
        let unread = || self.broker.unread(self.partition, UNREAD_MAX);
        self.reach.insist("unread", unread).await
    }

    async fn load(&self, room: &RoomName) -> Result<Loaded, BrokerError> {
        match self.reach.insist("load", || self.broker.load(room)).await {
            Ok(load) => Ok(Loaded::Room(load)),
            Err(BrokerError::Unreadable(reason)) => {
                let last = self.log_end(room).await?;
                let parked = self.reach.insist("parked", || self.broker.parked(room));
                Ok(Loaded::Unreadable {
                    last,
                    parked: parked.await?,
                    reason,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Where a log ends whose entries cannot be read.
    async fn log_end(&self, room: &RoomName) -> Result<Pos, BrokerError> {
        let beyond = self
            .reach
            .insist("log", || self.broker.read_log(room, NUMBER_MAX, 1))
            .await?;
        Ok(beyond.last)
    }

    async fn read_log(&self, room: &RoomName) -> Result<Vec<Entry>, BrokerError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let from = entries.last().map_or(1, |entry| entry.pos.off + 1);
            let page = self
                .reach
                .insist("log", || self.broker.read_log(room, from, LOG_PAGE))
                .await?;
            let end = page
                .entries
                .last()
                .is_none_or(|entry| entry.pos == page.last);
            entries.extend(page.entries);
            if end {
                return Ok(entries);
            }
        }
    }

    /// Commits, however often it takes until the store says what has become of it (W2).
    async fn commit(&self, commit: &Commit) -> Result<(), BrokerError> {
        let start = Instant::now();
        let entries: usize = commit.rooms.iter().map(|room| room.entries.len()).sum();
        let span = debug_span!(
            "commit",
            partition = self.partition.0,
            rooms = commit.rooms.len(),
            entries,
            replies = commit.replies.len(),
        );
        self.reach
            .insist("commit", || self.broker.commit(commit))
            .instrument(span)
            .await?;
        metrics::counter!(telemetry::COMMITS).increment(1);
        metrics::histogram!(telemetry::COMMIT_SECONDS).record(start.elapsed());
        metrics::histogram!(telemetry::COMMIT_ENTRIES).record(entries as f64);
        Ok(())
    }

    async fn is_held(&self) -> bool {
        let lease = [(LeaseName::Partition(self.partition), self.epoch)];
        let ttl = Duration::from_millis(self.settings.lease_ms);
        let renewed = self
            .reach
            .insist("renew", || self.broker.renew(&lease, ttl))
            .await;
        renewed.is_ok_and(|(_, held)| held == [true])
    }

    /// Gives the lease up, so that another worker can go on at once (W4).
    async fn release(&self) -> End {
        let name = LeaseName::Partition(self.partition);
        if let Err(error) = self.broker.release(name, self.epoch).await {
            tracing::warn!(partition = self.partition.0, %error, "a lease is left to expire");
        }
        End::Released
    }
}

/// Tells how many rooms of a partition are in memory, and that there are none when it is dropped.
struct RoomsGauge(Gauge);

impl RoomsGauge {
    fn of(partition: broker::Partition) -> Self {
        RoomsGauge(metrics::gauge!(telemetry::ROOMS, "partition" => partition.0.to_string()))
    }
}

impl Drop for RoomsGauge {
    fn drop(&mut self) {
        self.0.set(0.0);
    }
}
