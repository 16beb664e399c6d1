use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join_all};
use outlast_broker::{
    BrokerError, Heard, Lease, LeaseName, Listener, Member, NodeId, Nudge, Partition, Role,
    SharedBroker,
    balance::{self, Balance},
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Registry, Settings,
    clock::StoreClock,
    reach::{Reach, insist},
    runner::{End, Runner},
    telemetry,
};

/// How many heartbeats fit into a lease.
const BEATS_PER_LEASE: u64 = 5;

/// For how many leases a worker may be silent before the others strike it off.
const LEASES_UNTIL_STRUCK: u64 = 10;

/// Runs rooms until `shutdown`: holds a fair share of the partitions, and hands them over at the end.
///
/// A store that is out of reach is waited for, at the start as at any time.
///
/// # Errors
/// Where the store refuses for good to be listened to.
pub async fn run(
    broker: SharedBroker,
    registry: Registry,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), BrokerError> {
    telemetry::describe();
    let me = NodeId::random();
    let (_, mut ear) = insist("listen", || broker.listen(&me)).await?;
    let mut fleet = Fleet::new(broker, me, registry, settings);
    fleet.work(ear.as_mut(), &shutdown).await;
    fleet.hand_over().await;
    Ok(())
}

/// A worker among the others: what it holds, and what it should.
struct Fleet {
    broker: SharedBroker,
    me: NodeId,
    registry: Registry,
    settings: Arc<Settings>,
    clock: Arc<StoreClock>,
    balance: Balance,
    held: BTreeMap<Partition, Held>,
    runners: JoinSet<(Partition, u64, Option<End>)>,
    next_beat: Instant,
    reach: Reach,
}

/// A partition that this worker holds.
struct Held {
    epoch: u64,
    stop: CancellationToken,
    abort: AbortHandle,
}

impl Fleet {
    fn new(broker: SharedBroker, me: NodeId, registry: Registry, settings: Settings) -> Self {
        Fleet {
            balance: Balance::new(me.clone()),
            clock: Arc::new(StoreClock::new(0)),
            settings: Arc::new(settings),
            held: BTreeMap::new(),
            runners: JoinSet::new(),
            next_beat: Instant::now(),
            reach: Reach::default(),
            broker,
            me,
            registry,
        }
    }

    async fn work(&mut self, ear: &mut dyn Listener, shutdown: &CancellationToken) {
        // Often enough that a lease which expires is noticed within a small part of its length.
        let period = Duration::from_millis((self.settings.lease_ms / 20).clamp(20, 100));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(ended) = self.runners.join_next() => match ended {
                    Ok((partition, epoch, end)) => self.ended(partition, epoch, end).await,
                    Err(_aborted) => {}
                },
                _ = ticks.tick() => self.turn().await,
                heard = ear.hear() => match heard {
                    Heard::Nudge(Nudge::Released) => self.turn().await,
                    Heard::Nudge(Nudge::TakenOver { .. } | Nudge::Over { .. })
                    | Heard::Room(_)
                    | Heard::Reply(_)
                    | Heard::Missed => {}
                },
            }
        }
    }

    /// Looks after what is held, and then at what else should be.
    async fn turn(&mut self) {
        let done = self.try_turn().await;
        self.reach.note("leases", &done);
        metrics::gauge!(telemetry::PARTITIONS).set(self.held.len() as f64);
    }

    async fn try_turn(&mut self) -> Result<(), BrokerError> {
        if self.next_beat <= Instant::now() {
            self.beat().await?;
        }
        let names: Vec<_> = self.broker.layout().all_partitions().collect();
        let names: Vec<_> = names.into_iter().map(LeaseName::Partition).collect();
        let survey = self.broker.survey(&names).await?;
        let (now_ms, members) = self.broker.members().await?;
        let live = balance::live(&members, Role::Worker, now_ms, self.settings.lease_ms);
        let keeping = self
            .held
            .iter()
            .filter(|(_, held)| !held.stop.is_cancelled());
        let mine: Vec<_> = keeping.map(|(p, _)| LeaseName::Partition(*p)).collect();
        let plan = self.balance.plan(Instant::now(), &live, &survey, &mine);
        self.claim(plan.claim).await?;
        if let Some(LeaseName::Partition(partition)) = plan.release
            && mine.len() == self.held.len()
        {
            self.held[&partition].stop.cancel();
        }
        self.strike_silent(&members, now_ms).await
    }

    /// Says that this worker lives, and prolongs its leases.
    async fn beat(&mut self) -> Result<(), BrokerError> {
        let now = Instant::now();
        let leases: Vec<_> = self
            .held
            .iter()
            .map(|(partition, held)| (LeaseName::Partition(*partition), held.epoch))
            .collect();
        if !leases.is_empty() {
            let (_, kept) = self.broker.renew(&leases, self.lease()).await?;
            for ((name, _), kept) in leases.iter().zip(kept) {
                if let (LeaseName::Partition(partition), false) = (name, kept) {
                    self.lose(*partition);
                }
            }
        }
        let beat = self.broker.beat(&self.me, Role::Worker).await?;
        self.clock.set(beat.now_ms);
        self.next_beat = now + self.lease() / BEATS_PER_LEASE as u32;
        Ok(())
    }

    /// The lease has expired, or somebody else holds it: what this worker has in memory is worth
    /// nothing (W1).
    fn lose(&mut self, partition: Partition) {
        if let Some(held) = self.held.remove(&partition) {
            held.abort.abort();
            if !held.stop.is_cancelled() {
                metrics::counter!(telemetry::LOST).increment(1);
                tracing::warn!(partition = partition.0, "lost a partition");
            }
        }
    }

    async fn claim(&mut self, names: Vec<LeaseName>) -> Result<(), BrokerError> {
        let lease = self.lease();
        let claims = names
            .iter()
            .map(|name| self.broker.claim(*name, &self.me, lease));
        let mut failed = Ok(());
        for claimed in join_all(claims).await {
            match claimed {
                Ok(Some(lease)) => self.start(lease),
                Ok(None) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    fn start(&mut self, lease: Lease) {
        let LeaseName::Partition(partition) = lease.name else {
            return;
        };
        let epoch = lease.epoch;
        self.clock.set(lease.now_ms);
        tracing::info!(partition = partition.0, epoch, "took a partition");
        let stop = CancellationToken::new();
        let runner = Runner {
            broker: self.broker.clone(),
            registry: self.registry.clone(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            partition,
            epoch,
        };
        let run = AssertUnwindSafe(runner.run(stop.clone())).catch_unwind();
        let abort = self
            .runners
            .spawn(async move { (partition, epoch, run.await.ok()) });
        let before = self.held.insert(partition, Held { epoch, stop, abort });
        if let Some(before) = before {
            before.abort.abort();
        }
    }

    /// A runner has come to its end.
    async fn ended(&mut self, partition: Partition, epoch: u64, end: Option<End>) {
        if self
            .held
            .get(&partition)
            .is_none_or(|held| held.epoch != epoch)
        {
            return;
        }
        self.held.remove(&partition);
        match end {
            Some(End::Released) => {
                tracing::info!(partition = partition.0, "handed a partition over")
            }
            Some(End::Lost) => metrics::counter!(telemetry::LOST).increment(1),
            None => {
                tracing::error!(partition = partition.0, "a partition's runner has panicked");
                // Whoever takes it next starts from what the store holds.
                let name = LeaseName::Partition(partition);
                self.broker.release(name, epoch).await.ok();
            }
        }
    }

    /// Strikes workers off that are long gone.
    async fn strike_silent(&self, members: &[Member], now_ms: u64) -> Result<(), BrokerError> {
        let silent_ms = self.settings.lease_ms * LEASES_UNTIL_STRUCK;
        for member in members {
            if member.role == Role::Worker && member.heard_ms + silent_ms < now_ms {
                self.broker
                    .strike(&member.id, Some(member.heard_ms))
                    .await?;
            }
        }
        Ok(())
    }

    /// Gives everything up: the others need not wait for the leases to expire (W4).
    async fn hand_over(&mut self) {
        // First, so that nobody leaves anything to this worker.
        self.broker.strike(&self.me, None).await.ok();
        for held in self.held.values() {
            held.stop.cancel();
        }
        // The leases end by themselves after that time; there is nothing left to hand over then.
        let lease = self.lease();
        let all = async { while self.runners.join_next().await.is_some() {} };
        if tokio::time::timeout(lease, all).await.is_err() {
            tracing::warn!("some partitions are left to their leases' expiry");
        }
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.settings.lease_ms)
    }
}
