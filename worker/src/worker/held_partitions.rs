use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use outlast_store::{LeaseName, PartitionId};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    runner::{End, Runner},
    telemetry,
};

/// The partitions that a worker holds, each with the task that runs it. Dropping this ends them all
/// where they stand, as if the process had died.
#[derive(Default)]
pub(super) struct HeldPartitions {
    held: BTreeMap<PartitionId, Held>,
    runners: JoinSet<Ended>,
}

struct Held {
    epoch: u64,
    stop: CancellationToken,
    abort: AbortHandle,
}

/// A runner that has come to its end; `None` where it panicked.
pub(super) struct Ended {
    partition: PartitionId,
    epoch: u64,
    end: Option<End>,
}

impl HeldPartitions {
    /// Starts to run a partition that was claimed.
    pub(super) fn start(&mut self, runner: Runner) {
        let (partition, epoch) = (runner.partition, runner.epoch);
        tracing::debug!(partition = partition.0, epoch, "partition acquired");
        let stop = CancellationToken::new();
        let run = AssertUnwindSafe(runner.run(stop.clone())).catch_unwind();
        let abort = self.runners.spawn(async move {
            let end = run.await.ok();
            Ended {
                partition,
                epoch,
                end,
            }
        });
        let before = self.held.insert(partition, Held { epoch, stop, abort });
        if let Some(before) = before {
            before.abort.abort();
        }
        self.count();
    }

    /// Lets a partition go, once its runner is done with what it has begun.
    pub(super) fn hand_over(&self, partition: PartitionId) {
        if let Some(held) = self.held.get(&partition) {
            held.stop.cancel();
        }
    }

    /// Lets all of them go, and waits until they are gone.
    pub(super) async fn hand_all_over(&mut self) {
        for held in self.held.values() {
            held.stop.cancel();
        }
        // One that was abandoned may never end.
        while !self.held.is_empty() {
            let ended = self.next_end().await;
            self.ended(ended);
        }
    }

    /// A partition's runner has not come back: it is held no more, and what it does counts no more. Nothing happens where
    /// it is held under another epoch.
    pub(super) fn abandon(&mut self, partition: PartitionId, epoch: u64) {
        if self
            .held
            .get(&partition)
            .is_some_and(|held| held.epoch == epoch)
        {
            self.lose(partition);
        }
    }

    /// The lease has expired, or somebody else holds it: what is in memory is worth nothing (W1).
    pub(super) fn lose(&mut self, partition: PartitionId) {
        if let Some(held) = self.held.remove(&partition) {
            held.abort.abort();
            tracing::warn!(partition = partition.0, "partition lost");
            metrics::counter!(telemetry::LOST).increment(1);
        }
        self.count();
    }

    /// Waits for a runner to end; never ends where there is none.
    pub(super) async fn next_end(&mut self) -> Ended {
        loop {
            match self.runners.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(_aborted)) => {}
                None => std::future::pending().await,
            }
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        let Ended {
            partition,
            epoch,
            end,
        } = ended;
        if self
            .held
            .get(&partition)
            .is_none_or(|held| held.epoch != epoch)
        {
            return;
        }
        match end {
            Some(End::Lost) => return self.lose(partition),
            Some(End::Released) => {
                tracing::debug!(partition = partition.0, "partition handed over")
            }
            // Its lease is left to expire, which keeps this from happening again and again at speed.
            None => tracing::error!(partition = partition.0, "partition runner panicked"),
        }
        self.held.remove(&partition);
        self.count();
    }

    /// The leases that are held, with their epochs.
    pub(super) fn leases(&self) -> Vec<(LeaseName, u64)> {
        let lease = |(partition, held): (&PartitionId, &Held)| {
            (LeaseName::Partition(*partition), held.epoch)
        };
        self.held.iter().map(lease).collect()
    }

    /// Returns the partitions that are held and not about to be let go.
    pub(super) fn kept(&self) -> Vec<LeaseName> {
        let kept = self
            .held
            .iter()
            .filter(|(_, held)| !held.stop.is_cancelled());
        kept.map(|(partition, _)| LeaseName::Partition(*partition))
            .collect()
    }

    fn count(&self) {
        metrics::gauge!(telemetry::PARTITIONS).set(self.held.len() as f64);
    }
}
