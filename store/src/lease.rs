use std::time::Duration;

use async_trait::async_trait;

use crate::{NodeId, PartitionId, ShardId, StoreError};

/// The name of a right that can be leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeaseName {
    /// The right to write a partition's rooms.
    Partition(PartitionId),
    /// The right to keep a shard's sessions.
    Shard(ShardId),
}

/// A right that was granted, until it expires or is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The name of the right.
    pub name: LeaseName,
    /// Rises with every grant of this name, also when the store forgot the ones before.
    pub epoch: u64,
    /// The store's clock when it was granted, in milliseconds since the epoch.
    pub now_ms: u64,
    /// Of a partition: how many grants in a row before this one came to nothing. They were not given up, and nothing
    /// was committed under them; or, where what was appended may die with the process that died, that one had lived for
    /// less than ten minutes.
    pub barren: u64,
    /// For how long, in milliseconds, what those died of may yet come again; 0 where it stands in the topic.
    pub wary_ms: u64,
}

/// The state of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHolder {
    /// Which lease.
    pub name: LeaseName,
    /// The holder, if there is one.
    pub owner: Option<NodeId>,
}

/// The rights to partitions and shards, on the store's clock.
#[async_trait]
pub trait Leases {
    /// Claims a lease that nobody holds; `None` when somebody does (also when that is `owner` itself).
    async fn claim(
        &self,
        name: LeaseName,
        owner: &NodeId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Prolongs leases that are held with these epochs; answers the store's clock and, for each, whether
    /// it is still held. Works at the store's memory limit (W7).
    async fn renew(
        &self,
        leases: &[(LeaseName, u64)],
        ttl: Duration,
    ) -> Result<(u64, Vec<bool>), StoreError>;

    /// Gives a lease up at once, and announces that. Nothing happens when it is no longer held.
    async fn release(&self, name: LeaseName, epoch: u64) -> Result<(), StoreError>;

    /// Returns the state of each of these leases.
    async fn lease_holders(&self, names: &[LeaseName]) -> Result<Vec<LeaseHolder>, StoreError>;
}
