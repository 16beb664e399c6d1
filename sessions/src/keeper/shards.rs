use std::{collections::BTreeMap, time::Duration};

use outlast_store::{
    LeaseName, Node, NodeId, Role, ShardId, SharedStore, StoreError,
    balance::{self, Balance},
};
use tokio::time::Instant;

use crate::records::Records;

/// The shards that a keeper holds, by leases that it shares evenly with the others.
///
/// A lease saves work, no more: two keepers may believe to hold a shard at the same time, and do no harm.
pub(super) struct Shards {
    store: SharedStore,
    me: NodeId,
    lease: Duration,
    balance: Balance,
    /// With the epochs of their leases.
    held: BTreeMap<ShardId, u64>,
    beaten: Option<Instant>,
}

impl Shards {
    pub(super) fn new(records: &Records, me: NodeId) -> Self {
        Shards {
            store: records.store.clone(),
            lease: Duration::from_millis(records.settings().lease_ms),
            balance: Balance::new(me.clone()),
            me,
            held: BTreeMap::new(),
            beaten: None,
        }
    }

    /// The shards that it holds.
    pub(super) fn held(&self) -> Vec<ShardId> {
        self.held.keys().copied().collect()
    }

    /// Says that this keeper is alive, and prolongs its leases, if it is time to.
    pub(super) async fn beat(&mut self) -> Result<(), StoreError> {
        if self
            .beaten
            .is_some_and(|beaten| beaten.elapsed() < self.lease / 5)
        {
            return Ok(());
        }
        self.store.heartbeat(&self.me, Role::Keeper).await?;
        let leases: Vec<_> = self
            .held
            .iter()
            .map(|(s, epoch)| (name(*s), *epoch))
            .collect();
        let (_, held) = self.store.renew(&leases, self.lease).await?;
        let mut held = held.into_iter();
        self.held.retain(|_, _| held.next() == Some(true));
        self.beaten = Some(Instant::now());
        Ok(())
    }

    /// Claims its share of what nobody holds, and hands over what is too much.
    pub(super) async fn share(&mut self, now_ms: u64, members: &[Node]) -> Result<(), StoreError> {
        let keepers = balance::live(members, Role::Keeper, now_ms, self.lease.as_millis() as u64);
        let all: Vec<_> = self.store.layout().all_shards().map(name).collect();
        let survey = self.store.lease_holders(&all).await?;
        let mine: Vec<_> = self.held.keys().map(|shard| name(*shard)).collect();
        let plan = self
            .balance
            .plan(Instant::now().into_std(), &keepers, &survey, &mine);
        for shard in plan.claim.into_iter().filter_map(shard) {
            if let Some(lease) = self.store.claim(name(shard), &self.me, self.lease).await? {
                self.held.insert(shard, lease.epoch);
            }
        }
        if let Some(shard) = plan.release.and_then(shard) {
            self.release(shard).await?;
        }
        Ok(())
    }

    /// Gives everything up, and leaves: the others take over at once.
    pub(super) async fn leave(&mut self) -> Result<(), StoreError> {
        for shard in self.held() {
            self.release(shard).await?;
        }
        self.store.deregister(&self.me, None).await.map(drop)
    }

    async fn release(&mut self, shard: ShardId) -> Result<(), StoreError> {
        match self.held.remove(&shard) {
            Some(epoch) => self.store.release(name(shard), epoch).await,
            None => Ok(()),
        }
    }
}

fn name(shard: ShardId) -> LeaseName {
    LeaseName::Shard(shard)
}

fn shard(name: LeaseName) -> Option<ShardId> {
    match name {
        LeaseName::Shard(shard) => Some(shard),
        LeaseName::Partition(_) => None,
    }
}
