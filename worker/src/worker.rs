//! A worker among the others: which partitions it holds, and which it should.

mod held_partitions;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use outlast_protocol::RoomName;
use outlast_store::{
    Heartbeats, Lease, LeaseName, Listener, Node, NodeId, Nudge, Role, SharedStore, StoreError,
    StoreEvent,
    balance::{self, Balance},
};
use tokio::{sync::Semaphore, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::held_partitions::HeldPartitions;
use crate::{
    Registry, WorkerSettings,
    retry::{StoreRetry, Trouble},
    runner::Runner,
    telemetry,
    watch::{Overrun, TICKS_PER_STEP, TICKS_UNTIL_LOST, Watch, Watchdog},
};

/// The number of heartbeats that fit into a lease.
const BEATS_PER_LEASE: u32 = 5;

/// For how many leases a worker may be silent before the others strike it off.
const LEASES_UNTIL_STRUCK: u64 = 10;

/// Runs rooms until `shutdown`: holds a fair share of the partitions, and hands them over at the end.
///
/// A store that is out of reach is waited for, at the start as at any time. Dropping the future is
/// dying: the others take over when the leases have expired (W4).
///
/// # Errors
/// Where the store refuses for good to be listened to, or a room's code has taken a thread and does not give it back.
pub async fn run(
    store: SharedStore,
    registry: Registry,
    settings: WorkerSettings,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    telemetry::describe();
    let reach = StoreRetry::default();
    let me = NodeId::random();
    let (_, mut ear) = reach.retry("listen", || store.listen(&me)).await?;
    let mut fleet = Worker::new(store, registry, settings, reach, me);
    let ended = fleet.work(ear.as_mut(), &shutdown).await;
    fleet.hand_over().await;
    ended
}

/// Why a worker has come to its end.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store refuses for good what a worker needs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread is lost, and the process with it.
    #[error(
        "the code of room {0} has taken a thread and does not give it back: the process ends, so that another can be \
         started"
    )]
    Stuck(RoomName),
}

/// A room's code that has not come back.
struct Stuck {
    watch: Arc<Watch>,
    step: u64,
    room: RoomName,
    /// In the watchdog's ticks, for the log.
    since: u64,
}

struct Worker {
    store: SharedStore,
    me: NodeId,
    registry: Registry,
    settings: Arc<WorkerSettings>,
    heartbeats: Heartbeats,
    balance: Balance,
    holdings: HeldPartitions,
    next_beat: Instant,
    watchdog: Watchdog,
    right: Arc<Semaphore>,
    stuck: Vec<Stuck>,
    reach: StoreRetry,
    trouble: Trouble,
}

impl Worker {
    fn new(
        store: SharedStore,
        registry: Registry,
        settings: WorkerSettings,
        reach: StoreRetry,
        me: NodeId,
    ) -> Self {
        Worker {
            watchdog: Watchdog::start(Duration::from_millis(settings.step_ms)),
            right: Arc::new(Semaphore::new(1)),
            stuck: Vec::new(),
            balance: Balance::new(me.clone()),
            heartbeats: Heartbeats::default(),
            settings: Arc::new(settings),
            holdings: HeldPartitions::default(),
            next_beat: Instant::now(),
            trouble: Trouble::none(&reach),
            reach,
            store,
            me,
            registry,
        }
    }

    async fn work(
        &mut self,
        ear: &mut dyn Listener,
        shutdown: &CancellationToken,
    ) -> Result<(), WorkerError> {
        // Often enough that a lease which expires is noticed within a small part of its length.
        let period = Duration::from_millis((self.settings.lease_ms / 20).clamp(20, 100));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                overrun = self.watchdog.next_overrun() => self.overrun(overrun),
                ended = self.holdings.next_end() => self.holdings.ended(ended),
                _ = ticks.tick() => {
                    self.look_after_stuck()?;
                    self.turn().await;
                }
                heard = ear.next() => match heard {
                    StoreEvent::Nudge(Nudge::Released) => self.turn().await,
                    StoreEvent::Nudge(Nudge::TakenOver { .. } | Nudge::Over { .. })
                    | StoreEvent::Room(_)
                    | StoreEvent::Reply(_)
                    | StoreEvent::Missed => {}
                },
            }
        }
    }

    /// A room's code does not come back: its partition is given up, and with it what that code may still do. Whoever
    /// takes it over finds noted what it was.
    fn overrun(&mut self, overrun: Overrun) {
        let Overrun {
            watch,
            step,
            since,
            suspect,
            room,
        } = overrun;
        if watch.steps() != step {
            tracing::warn!(%room, "room code returned late, before its partition was given up");
            return;
        }
        watch.hear();
        let (partition, epoch) = (watch.partition, watch.epoch);
        tracing::error!(
            %room,
            ?suspect,
            partition = partition.0,
            step_ms = self.settings.step_ms,
            "room code does not return in time; giving up its partition"
        );
        metrics::counter!(telemetry::OVERRUNS).increment(1);
        self.holdings.abandon(partition, epoch);
        watch.end_trial(&self.right);
        self.stuck.push(Stuck {
            watch,
            step,
            room,
            since,
        });
        let (store, reach, lease) = (self.store.clone(), self.reach.clone(), self.lease());
        let give_up = async move {
            let condemned = [suspect.condemned()];
            reach
                .retry("note", || store.note(partition, epoch, &condemned))
                .await?;
            store.release(LeaseName::Partition(partition), epoch).await
        };
        tokio::spawn(async move {
            match tokio::time::timeout(lease, give_up).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(partition = partition.0, %error, "releasing a lease failed; it will expire");
                }
                Err(_) => tracing::warn!(
                    partition = partition.0,
                    "releasing a lease failed; it will expire"
                ),
            }
        });
    }

    /// Forgets what has come back after all.
    ///
    /// # Errors
    /// Where something will not: a thread cannot be taken away from it.
    fn look_after_stuck(&mut self) -> Result<(), WorkerError> {
        let step_ms = self.settings.step_ms;
        self.stuck.retain(|stuck| {
            let back = stuck.watch.steps() != stuck.step;
            if back {
                let ticks = stuck.watch.ticks().saturating_sub(stuck.since);
                let took_ms = ticks * step_ms / TICKS_PER_STEP;
                tracing::warn!(room = %stuck.room, took_ms, "room code returned too late");
            }
            !back
        });
        let lost = |stuck: &&Stuck| stuck.watch.counted(stuck.step) >= TICKS_UNTIL_LOST;
        match self.stuck.iter().find(lost) {
            Some(stuck) => Err(WorkerError::Stuck(stuck.room.clone())),
            None => Ok(()),
        }
    }

    /// Looks after what is held, and then at what else should be.
    async fn turn(&mut self) {
        let done = self.try_turn().await;
        if let (false, Err(error)) = (self.trouble.note("leases", &done), &done) {
            tracing::error!(%error, "store refuses lease commands");
        }
    }

    async fn try_turn(&mut self) -> Result<(), StoreError> {
        if self.next_beat <= Instant::now() {
            self.beat().await?;
        }
        let partitions = self.store.layout().all_partitions();
        let names: Vec<_> = partitions.map(LeaseName::Partition).collect();
        let survey = self.store.lease_holders(&names).await?;
        let (now_ms, members) = self.store.nodes().await?;
        let members = self.heartbeats.look(now_ms, &members);
        let live = balance::live(&members, Role::Worker, now_ms, self.settings.lease_ms);
        let kept = self.holdings.kept();
        let plan = self.balance.plan(Instant::now(), &live, &survey, &kept);
        if let Some(LeaseName::Partition(partition)) = plan.release {
            // One at a time: what is being handed over already may be enough.
            if kept.len() == self.holdings.leases().len() {
                self.holdings.hand_over(partition);
            }
        }
        self.claim(plan.claim).await?;
        self.strike_silent(&members, now_ms).await
    }

    /// Prolongs the leases, and says that this worker lives.
    async fn beat(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let leases = self.holdings.leases();
        if !leases.is_empty() {
            let (_, held) = self.store.renew(&leases, self.lease()).await?;
            for ((name, _), held) in leases.iter().zip(held) {
                if let (LeaseName::Partition(partition), false) = (name, held) {
                    self.holdings.lose(*partition);
                }
            }
        }
        self.store.heartbeat(&self.me, Role::Worker).await?;
        self.next_beat = now + self.lease() / BEATS_PER_LEASE;
        Ok(())
    }

    async fn claim(&mut self, names: Vec<LeaseName>) -> Result<(), StoreError> {
        let ttl = self.lease();
        let claims = names
            .iter()
            .map(|name| self.store.claim(*name, &self.me, ttl));
        let (mut taken, mut failed) = (0, Ok(()));
        for claimed in join_all(claims).await {
            match claimed {
                Ok(Some(lease)) => {
                    taken += 1;
                    self.start(lease);
                }
                Ok(None) => {}
                Err(error) => failed = Err(error),
            }
        }
        if taken > 0 {
            let held = self.holdings.leases().len();
            tracing::info!(taken, held, "partitions acquired");
        }
        failed
    }

    fn start(&mut self, lease: Lease) {
        if let LeaseName::Partition(partition) = lease.name {
            self.holdings.start(Runner {
                store: self.store.clone(),
                registry: self.registry.clone(),
                settings: self.settings.clone(),
                reach: self.reach.clone(),
                partition,
                epoch: lease.epoch,
                careful_until_ms: (lease.barren > 0).then_some(lease.now_ms + lease.wary_ms),
                watch: self.watchdog.watch(partition, lease.epoch),
                right: self.right.clone(),
            });
        }
    }

    /// Strikes workers off that are long gone.
    async fn strike_silent(&self, members: &[Node], now_ms: u64) -> Result<(), StoreError> {
        let silent_ms = self.settings.lease_ms * LEASES_UNTIL_STRUCK;
        for member in members {
            if member.role == Role::Worker && member.heard_ms + silent_ms < now_ms {
                let stamp_ms = self.heartbeats.stamp_ms(&member.id);
                self.store.deregister(&member.id, stamp_ms).await?;
            }
        }
        Ok(())
    }

    /// Gives everything up: the others need not wait for the leases to expire (W4).
    async fn hand_over(&mut self) {
        let lease = self.lease();
        let partitions = self.holdings.leases().len();
        tracing::info!(partitions, "handing over partitions");
        let goodbye = async {
            // First, so that nobody leaves anything to this worker. Else it would be found silent.
            self.store.deregister(&self.me, None).await.ok();
            self.holdings.hand_all_over().await;
        };
        let goodbye = goodbye.instrument(tracing::debug_span!("hand_over", partitions));
        // After that time there is nothing left to hand over.
        if tokio::time::timeout(lease, goodbye).await.is_err() {
            tracing::warn!("some partitions not handed over; their leases will expire");
        }
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.settings.lease_ms)
    }
}
