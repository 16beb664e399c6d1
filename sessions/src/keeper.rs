use std::{collections::VecDeque, time::Duration};

use outlast_store::{Node, NodeId, RecordIndexes, ShardId, SharedStore, StoreError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{SessionSettings, due::settle_due, records::Records, telemetry};

mod dead_gateways;
mod failure_detector;
mod outage;
mod shards;
mod sweep;
mod unreadable;

use dead_gateways::DeadGateways;
use outage::Outage;
use shards::Shards;
use sweep::Sweep;
use unreadable::Unreadable;

/// The interval at which a keeper looks at its shards when there is nothing to do.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The time that it works on its shards before it sees to its leases again.
const WORK_FOR: Duration = Duration::from_millis(200);

/// The interval at which it counts the sessions that are without a socket.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The number of sessions of a shard that it takes on at a time.
const PAGE: usize = 256;

/// Keeps sessions until it is told to stop: detaches what dead gateways held, tells rooms who is away,
/// and expires what nobody came back to. Any number of keepers share the work.
///
/// # Errors
/// None while it runs: a store that is away is waited for. When it could not take its leave of the store
/// at the end, the others take its shards over when its leases have run out.
pub async fn run_keeper(
    store: SharedStore,
    settings: SessionSettings,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    telemetry::describe();
    let pause = LOOK_EVERY.min(Duration::from_millis(settings.lease_ms / 5));
    let mut keeper = Keeper::new(Records::new(store, settings));
    let mut outage = Outage::default();
    while !shutdown.is_cancelled() {
        let round = keeper.round(&shutdown).await;
        outage.note(&round);
        if matches!(round, Ok(Work::Left)) {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
    keeper.shards.leave().await
}

/// True if anything is left to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Done,
    Left,
}

struct Keeper {
    records: Records,
    shards: Shards,
    deaths: DeadGateways,
    unreadable: Unreadable,
    /// The shards that are still to be worked on before it starts from the first again.
    queue: VecDeque<ShardId>,
    /// When it last counted.
    counted: Option<Instant>,
    sweep: Sweep,
    /// True if the store has been told how long sessions live.
    decreed: bool,
}

impl Keeper {
    fn new(records: Records) -> Self {
        Keeper {
            shards: Shards::new(&records, NodeId::random()),
            deaths: DeadGateways::default(),
            unreadable: Unreadable::default(),
            queue: VecDeque::new(),
            counted: None,
            sweep: Sweep::default(),
            decreed: false,
            records,
        }
    }

    /// Sees to its leases, and works on the shards that it holds for a while.
    async fn round(&mut self, shutdown: &CancellationToken) -> Result<Work, StoreError> {
        if !self.decreed {
            self.records.decree().await?;
            self.decreed = true;
        }
        let (now_ms, members) = match self.look_around().await {
            Ok(seen) => seen,
            Err(error) => {
                self.deaths.silence.missed();
                return Err(error);
            }
        };
        let members = self.deaths.heard(now_ms, &members);
        self.shards.share(now_ms, &members).await?;

        let work = self.work(shutdown).await?;
        self.deaths.strike(&self.records, now_ms, &members).await?;
        if let Err(error) = self.count().await {
            tracing::debug!(%error, "counting detached sessions failed");
        }
        let held = self.shards.held();
        if let Err(error) = self.sweep.turn(&self.records, &held).await {
            tracing::debug!(%error, "auditing session indexes failed; retrying later");
        }
        Ok(work)
    }

    /// Counts the sessions of its shards that are without a socket, and sees how long sessions live, if it is
    /// time to.
    async fn count(&mut self) -> Result<(), StoreError> {
        if self.counted.is_some_and(|at| at.elapsed() < COUNT_EVERY) {
            return Ok(());
        }
        self.records.uphold().await?;
        let mut detached = 0;
        for shard in self.shards.held() {
            detached += self.records.store.waiting(shard).await?;
        }
        metrics::gauge!(telemetry::DETACHED).set(detached as f64);
        self.counted = Some(Instant::now());
        Ok(())
    }

    /// Says that it is alive, and sees who else is.
    async fn look_around(&mut self) -> Result<(u64, Vec<Node>), StoreError> {
        self.shards.beat().await?;
        self.records.store.nodes().await
    }

    /// Works on its shards in turns of a page, for as long as it may; the next time it goes on where it
    /// stopped. A shard whose part of the store is away does not hold the others up.
    async fn work(&mut self, shutdown: &CancellationToken) -> Result<Work, StoreError> {
        let until = Instant::now() + WORK_FOR;
        let mut outcome = Ok(Work::Done);
        if self.queue.is_empty() {
            self.queue.extend(self.shards.held());
        }
        while let Some(shard) = self.queue.pop_front() {
            match self.work_on(shard).await {
                Ok(Work::Done) => {}
                Ok(Work::Left) => self.queue.push_back(shard),
                Err(error) => outcome = Err(error),
            }
            if Instant::now() >= until || shutdown.is_cancelled() {
                return outcome.map(|_| Work::Left);
            }
        }
        outcome
    }

    async fn work_on(&mut self, shard: ShardId) -> Result<Work, StoreError> {
        let lost = self
            .deaths
            .detach(&self.records, shard, &mut self.unreadable)
            .await?;
        let most = PAGE + self.unreadable.len();
        let due = self.records.store.due(shard, most).await?;
        let left = lost == Work::Left || due.len() == most;
        let due = self.unreadable.without(due);
        let found = settle_due(&self.records, due).await?;
        self.unreadable.add(found.unreadable);
        let astray = found.astray.into_iter().map(|sid| RecordIndexes {
            due: true,
            ..RecordIndexes::nowhere(sid)
        });
        self.records
            .mend(shard, &astray.collect::<Vec<_>>())
            .await?;
        Ok(if left { Work::Left } else { Work::Done })
    }
}
