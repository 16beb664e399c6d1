use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use metrics::Gauge;
use outlast_protocol::{NUMBER_MAX, Pos, RoomName};
use outlast_store::{
    self as store, Commit, Entry, Input, LeaseName, NoteChange, RoomLoad, SharedStore, StoreError,
    Throttle, TopicEntry, TopicId,
};
use tokio::{runtime::RuntimeFlavor, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug_span};

use crate::{
    Registry, WorkerSettings,
    audit::Audit,
    clock,
    host::Loaded,
    partition::{Effect, Partition, Trials, UNREAD_MAX, WAKES_MAX},
    retry::{self, StoreRetry},
    telemetry,
    watch::Watch,
};

/// The longest wait for an input before it is begun anew.
const READ_WAIT: Duration = Duration::from_millis(250);

/// The number of rooms that are loaded at the same time.
const LOADS_MAX: usize = 16;

/// The longest time that loading a room may hold up the others, where the store answers otherwise.
const LOAD_WITHIN: Duration = Duration::from_secs(3);

/// The number of log entries that are read at a time.
const LOG_PAGE: usize = 1_000;

/// The wait before a partition is taken up again that has come apart from the store.
const REOPEN_WAIT: Duration = Duration::from_millis(100);

/// Runs one partition under one lease: reads its topic, loads rooms, commits, and so on.
pub(crate) struct Runner {
    pub(crate) store: SharedStore,
    pub(crate) registry: Registry,
    pub(crate) settings: Arc<WorkerSettings>,
    pub(crate) reach: StoreRetry,
    pub(crate) partition: store::PartitionId,
    pub(crate) epoch: u64,
    /// Until when what holders before this one died of may come again, where they may have died of something.
    pub(crate) careful_until_ms: Option<u64>,
    pub(crate) watch: Arc<Watch>,
    /// The right to try something that others may have died of: of one process, one at a time, so that its death tells
    /// what it died of.
    pub(crate) right: Arc<Semaphore>,
}

/// A read of the topic that is under way.
type Reading<'a> = BoxFuture<'a, Result<Vec<TopicEntry>, StoreError>>;

/// The reason why a partition no longer runs.
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
                        partition = self.partition.0, %error, "in-memory state differs from the store; reloading the partition"
                    );
                    tokio::time::sleep(REOPEN_WAIT).await;
                }
                Err(error) => {
                    tracing::warn!(partition = self.partition.0, %error, "partition lost");
                    return End::Lost;
                }
            }
        }
    }

    /// Serves from what the store holds. An error means that this memory is of no use any more.
    async fn serve(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        // Until the first batch is done: from then on its rooms are served.
        let mut takeover =
            debug_span!("takeover", partition = self.partition.0, epoch = self.epoch);
        let mut core = self.open().instrument(takeover.clone()).await?;
        let rooms = RoomsGauge::of(self.partition);
        let audit = Audit::start(self.store.clone(), self.partition);
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
            core.begin(entries, self.store.now_ms(), rand::random());
            let span = std::mem::replace(&mut takeover, Span::none());
            self.finish_batch(&mut core).instrument(span).await?;
            rooms.set(&core);
            if audit.is_idle()
                && let Some(look) = core.look(self.store.now_ms())
            {
                audit.look(look);
            }
        }
        self.hand_over(&mut core).await
    }

    /// Writes down what the next worker would have to fold otherwise.
    async fn hand_over(&self, core: &mut Partition) -> Result<(), StoreError> {
        let Some(note) = core.begin_hand_over(self.store.now_ms()) else {
            return Ok(());
        };
        self.note(&[note]).await?;
        let commit = core.hand_over(self.store.now_ms(), rand::random());
        self.commit(&commit).await
    }

    async fn open(&self) -> Result<Partition, StoreError> {
        let cursor = self
            .reach
            .retry("cursor", || self.store.cursor(self.partition))
            .await?;
        let notes = self
            .reach
            .retry("notes", || self.store.notes(self.partition))
            .await?;
        let trials = Trials::read(notes, self.careful_until_ms);
        if trials.is_careful() {
            tracing::info!(
                partition = self.partition.0,
                "tries with care: those who held the partition before may have died of what comes next"
            );
        }
        Ok(Partition::new(
            self.partition,
            self.epoch,
            cursor,
            self.registry.clone(),
            self.settings.clone(),
            trials,
            self.watch.clone(),
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
    ) -> Result<Vec<TopicEntry>, StoreError> {
        let read = reading.get_or_insert_with(|| self.read(after).boxed());
        let entries = tokio::select! {
            // Inputs come first; what is due is done along with them.
            biased;
            entries = read => entries?,
            () = clock::reaches(&self.store, wake_ms) => return Ok(Vec::new()),
            () = stop.cancelled() => return Ok(Vec::new()),
        };
        *reading = None;
        Ok(entries)
    }

    async fn read(&self, after: TopicId) -> Result<Vec<TopicEntry>, StoreError> {
        let max = self.settings.batch_max;
        let read = || self.store.read_topic(self.partition, after, max, READ_WAIT);
        self.reach.retry("read", read).await
    }

    async fn finish_batch(&self, core: &mut Partition) -> Result<(), StoreError> {
        let mut trial = None;
        loop {
            match aside(core.is_careful(), || core.advance()) {
                Effect::Note(changes) => {
                    if trial.is_none() && core.is_careful() {
                        trial = Some(Trial::begin(&self.watch, &self.right).await);
                    }
                    self.note(&changes).await?;
                }
                Effect::Wakes => core.wakes_read(self.wakes().await?),
                Effect::Unread => core.unread_read(self.unread().await?),
                Effect::Load(rooms) => {
                    let rooms: Vec<_> = rooms
                        .into_iter()
                        .map(|room| (core.quarantined(&room).map(str::to_owned), room))
                        .collect();
                    let mut loads = stream::iter(rooms)
                        .map(|(why_not, room)| async { (self.load(&room, why_not).await, room) })
                        .buffered(LOADS_MAX);
                    while let Some((loaded, room)) = loads.next().await {
                        let loaded = loaded?;
                        let now_ms = self.store.now_ms();
                        aside(core.is_careful(), || core.loaded(room, loaded, now_ms));
                    }
                }
                Effect::ReadLog(room) => core.log_read(self.read_log(&room).await?),
                Effect::Commit(commit) => return self.commit(&commit).await,
                Effect::Nothing => return Ok(()),
            }
        }
    }

    async fn wakes(&self) -> Result<Vec<(RoomName, u64)>, StoreError> {
        let wakes = || self.store.wakes(self.partition, WAKES_MAX);
        self.reach.retry("wakes", wakes).await
    }

    async fn unread(&self) -> Result<Vec<Result<Input, String>>, StoreError> {
        let unread = || self.store.unread(self.partition, UNREAD_MAX);
        self.reach.retry("unread", unread).await
    }

    async fn note(&self, changes: &[NoteChange]) -> Result<(), StoreError> {
        let note = || self.store.note(self.partition, self.epoch, changes);
        self.reach.retry("note", note).await
    }

    /// Loads a room; of one that is not to be loaded only what a room is worth that stands still.
    async fn load(&self, room: &RoomName, why_not: Option<String>) -> Result<Loaded, StoreError> {
        if let Some(reason) = why_not {
            return self.stopped(room, reason).await;
        }
        let answers = retry::answers_for(LOAD_WITHIN, || self.store.cursor(self.partition));
        let reason = tokio::select! {
            biased;
            load = self.reach.retry("load", || self.store.load(room)) => match load {
                Ok(load) => {
                    warn_of_lost_log(room, &load);
                    return Ok(Loaded::Room(load));
                }
                Err(StoreError::Unreadable(reason)) => reason,
                Err(error) => return Err(error),
            },
            answers = answers => {
                answers?;
                format!("the store does not give it within {LOAD_WITHIN:?}")
            }
        };
        self.stopped(room, reason).await
    }

    /// Returns a stopped room, as it is loaded.
    async fn stopped(&self, room: &RoomName, reason: String) -> Result<Loaded, StoreError> {
        let last = self.log_end(room).await?;
        let parked = self.reach.retry("parked", || self.store.parked(room));
        Ok(Loaded::Unreadable {
            last,
            parked: parked.await?,
            reason,
        })
    }

    /// Where a log ends whose entries cannot be read.
    async fn log_end(&self, room: &RoomName) -> Result<Pos, StoreError> {
        let beyond = self
            .reach
            .retry("log", || self.store.read_log(room, NUMBER_MAX, 1))
            .await?;
        Ok(beyond.last)
    }

    async fn read_log(&self, room: &RoomName) -> Result<Vec<Entry>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let from = entries.last().map_or(1, |entry| entry.pos.off + 1);
            let page = self
                .reach
                .retry("log", || self.store.read_log(room, from, LOG_PAGE))
                .await;
            let page = match page {
                Ok(page) => page,
                // Whoever repeats an act whose outcome stands there is told that it is unknown; the room goes on.
                Err(StoreError::Unreadable(reason)) => {
                    tracing::error!(%room, reason, "old log entries of a room cannot be read");
                    return Ok(entries);
                }
                Err(error) => return Err(error),
            };
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
    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let (start, tries) = (Instant::now(), AtomicU32::new(0));
        let entries: usize = commit.rooms.iter().map(|room| room.entries.len()).sum();
        let span = debug_span!(
            "commit",
            partition = self.partition.0,
            rooms = commit.rooms.len(),
            entries,
            replies = commit.replies.len(),
        );
        self.reach
            .retry("commit", || {
                let tries = tries.fetch_add(1, Ordering::Relaxed);
                async move {
                    if tries == 1 {
                        self.clear_notes(commit).await;
                    }
                    self.store.commit(commit).await
                }
            })
            .instrument(span)
            .await?;
        metrics::counter!(telemetry::COMMITS).increment(1);
        metrics::histogram!(telemetry::COMMIT_SECONDS).record(start.elapsed());
        metrics::histogram!(telemetry::COMMIT_ENTRIES).record(entries as f64);
        Ok(())
    }

    /// Takes away what the commit would, where that has to wait: no code of a room runs any more, and whoever dies
    /// meanwhile dies of something else (W12). A store that is full takes this still.
    async fn clear_notes(&self, commit: &Commit) {
        let notes = commit.unnote.iter().map(|name| (name.clone(), None));
        let notes: Vec<_> = notes.collect();
        if notes.is_empty() {
            return;
        }
        if let Err(error) = self.store.note(self.partition, self.epoch, &notes).await {
            tracing::debug!(partition = self.partition.0, %error, "clearing notes failed; the commit clears them");
        }
    }

    async fn is_held(&self) -> bool {
        let lease = [(LeaseName::Partition(self.partition), self.epoch)];
        let ttl = Duration::from_millis(self.settings.lease_ms);
        let renewed = self
            .reach
            .retry("renew", || self.store.renew(&lease, ttl))
            .await;
        renewed.is_ok_and(|(_, held)| held == [true])
    }

    /// Gives the lease up, so that another worker can go on at once (W4).
    async fn release(&self) -> End {
        let name = LeaseName::Partition(self.partition);
        if let Err(error) = self.store.release(name, self.epoch).await {
            tracing::warn!(partition = self.partition.0, %error, "releasing a lease failed; it will expire");
        }
        End::Released
    }
}

/// A store may lose any number of logs at once.
static LOST: Throttle = Throttle::every(Duration::from_secs(1));

/// Says so where a log is gone that had entries (W14).
fn warn_of_lost_log(room: &RoomName, load: &RoomLoad) {
    if load.first_off == 0 && load.last != Pos::START && LOST.passes() {
        let snapshot = load.snapshot.as_ref().map(|snapshot| snapshot.pos.off);
        tracing::warn!(
            %room,
            end = load.last.off,
            snapshot,
            "the store has lost a room's log: its clients are sent a snapshot (diverged). Nothing of its state is lost where the \
             snapshot includes the end; else it is stopped. Find out who deletes keys, and restore the data"
        );
    }
}

/// Runs a room's code; with care, where it blocks no thread that others need.
fn aside<T>(careful: bool, code: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    match careful && flavor == RuntimeFlavor::MultiThread {
        true => tokio::task::block_in_place(code),
        false => code(),
    }
}

/// The right to try something, until it is dropped, or the watchdog finds that it does not come back.
struct Trial<'a> {
    watch: &'a Watch,
    right: &'a Semaphore,
}

impl<'a> Trial<'a> {
    async fn begin(watch: &'a Watch, right: &'a Semaphore) -> Self {
        // It is never closed.
        if let Ok(permit) = right.acquire().await {
            permit.forget();
            watch.begin_trial();
        }
        Trial { watch, right }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.watch.end_trial(self.right);
    }
}

/// Tells how many rooms of a partition are in memory and how many of them stand still, and that there are none when it
/// is dropped.
struct RoomsGauge {
    rooms: Gauge,
    stopped: Gauge,
}

impl RoomsGauge {
    fn of(partition: store::PartitionId) -> Self {
        let p = partition.0.to_string();
        RoomsGauge {
            rooms: metrics::gauge!(telemetry::ROOMS, "partition" => p.clone()),
            stopped: metrics::gauge!(telemetry::STANDING, "partition" => p),
        }
    }

    fn set(&self, core: &Partition) {
        self.rooms.set(core.rooms_in_memory() as f64);
        self.stopped.set(core.rooms_stopped() as f64);
    }
}

impl Drop for RoomsGauge {
    fn drop(&mut self) {
        self.rooms.set(0.0);
        self.stopped.set(0.0);
    }
}
