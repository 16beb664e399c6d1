use std::{sync::Arc, time::Duration};

use outlast_store::{Layout, LeaseName, NodeId, SharedStore, embedded::Embedded};
use outlast_worker::{Registry, WorkerSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use outlast_testkit::PATIENCE;

pub(crate) const PARTITIONS: u16 = 8;

pub(crate) const LAYOUT: Layout = Layout {
    partitions: PARTITIONS,
    shards: 1,
};

pub(crate) fn store() -> Arc<Embedded> {
    Embedded::memory(LAYOUT)
}

/// A worker that runs.
pub(crate) struct Worker {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(store: &SharedStore, lease_ms: u64) -> Self {
        let settings = WorkerSettings {
            lease_ms,
            ..WorkerSettings::default()
        };
        Self::start_with(store, Registry::bundled(), settings)
    }

    pub(crate) fn start_with(
        store: &SharedStore,
        registry: Registry,
        settings: WorkerSettings,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let run = outlast_worker::run(store.clone(), registry, settings, shutdown.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        Worker { shutdown, task }
    }

    /// SIGTERM: it hands over what it holds.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// SIGKILL: it does nothing any more, from one moment to the next.
    pub(crate) async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

/// Returns the number of partitions that each owner holds, in no order.
pub(crate) async fn held(store: &SharedStore) -> Vec<usize> {
    let owners = owners(store).await;
    let mut distinct: Vec<&NodeId> = owners.iter().flatten().collect();
    distinct.sort();
    distinct.dedup();
    let of = |id: &NodeId| owners.iter().flatten().filter(|owner| *owner == id).count();
    distinct.into_iter().map(of).collect()
}

pub(crate) async fn owners(store: &SharedStore) -> Vec<Option<NodeId>> {
    let names: Vec<_> = store.layout().all_partitions().collect();
    let names: Vec<_> = names.into_iter().map(LeaseName::Partition).collect();
    let survey = store.lease_holders(&names).await.unwrap();
    survey.into_iter().map(|lease| lease.owner).collect()
}

/// Waits until so many workers hold all partitions, evenly.
pub(crate) async fn until_even(store: &SharedStore, workers: usize) {
    let even = async {
        loop {
            let held = held(store).await;
            let sum: usize = held.iter().sum();
            let most = held.iter().max().copied().unwrap_or(0);
            let fewest = held.iter().min().copied().unwrap_or(0);
            if sum == usize::from(PARTITIONS) && held.len() == workers && most - fewest <= 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let even = tokio::time::timeout(PATIENCE, even).await;
    if even.is_err() {
        panic!("{:?} among {workers}", held(store).await);
    }
}
