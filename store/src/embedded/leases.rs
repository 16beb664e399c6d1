use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    Embedded,
    claim::{Claim, GivenUp},
};
use crate::{Lease, LeaseHolder, LeaseName, Leases, NodeId, Nudge, StoreError, StoreEvent};

/// The holders of leases. They lie in memory: every holder lives in this process, so when the store is opened
/// again there is nobody left who could hold anything.
#[derive(Debug, Default)]
pub(super) struct LeaseBook(Mutex<HashMap<LeaseName, Grant>>);

#[derive(Debug)]
struct Grant {
    owner: NodeId,
    epoch: u64,
    until_ms: u64,
}

impl Grant {
    fn is_live(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }
}

impl LeaseBook {
    /// Grants a lease that nobody holds.
    ///
    /// Epochs are times, so that they rise across restarts too: the store's clock does.
    pub(super) fn claim(
        &self,
        name: LeaseName,
        owner: &NodeId,
        ttl: Duration,
        now_ms: u64,
    ) -> Option<Lease> {
        let mut grants = self.0.lock();
        let last = grants.get(&name);
        if last.is_some_and(|grant| grant.is_live(now_ms)) {
            return None;
        }
        let epoch = last.map_or(0, |grant| grant.epoch + 1).max(now_ms);
        let grant = Grant {
            owner: owner.clone(),
            epoch,
            until_ms: now_ms + ttl.as_millis() as u64,
        };
        grants.insert(name, grant);
        Some(Lease {
            name,
            epoch,
            now_ms,
            barren: 0,
            wary_ms: 0,
        })
    }

    /// True if no newer epoch than this has been granted, and this one has.
    pub(super) fn is_newest(&self, name: LeaseName, epoch: u64) -> bool {
        let grants = self.0.lock();
        grants.get(&name).is_some_and(|grant| grant.epoch == epoch)
    }

    /// True if somebody holds a lease.
    pub(super) fn is_held(&self, name: LeaseName, now_ms: u64) -> bool {
        let grants = self.0.lock();
        grants.get(&name).is_some_and(|grant| grant.is_live(now_ms))
    }

    fn renew(&self, name: LeaseName, epoch: u64, ttl: Duration, now_ms: u64) -> bool {
        let mut grants = self.0.lock();
        let grant = grants.get_mut(&name);
        let held = grant.filter(|grant| grant.epoch == epoch && grant.is_live(now_ms));
        held.map(|grant| grant.until_ms = now_ms + ttl.as_millis() as u64)
            .is_some()
    }

    fn owner(&self, name: LeaseName, now_ms: u64) -> Option<NodeId> {
        let grants = self.0.lock();
        let grant = grants.get(&name).filter(|grant| grant.is_live(now_ms));
        grant.map(|grant| grant.owner.clone())
    }
}

#[async_trait]
impl Leases for Embedded {
    async fn claim(
        &self,
        name: LeaseName,
        owner: &NodeId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let owner = owner.clone();
        self.writer.run(Claim { name, owner, ttl }).await
    }

    async fn renew(
        &self,
        leases: &[(LeaseName, u64)],
        ttl: Duration,
    ) -> Result<(u64, Vec<bool>), StoreError> {
        let now_ms = self.shared.clock.now_ms();
        let book = &self.shared.leases;
        let renew = |(name, epoch): &_| book.renew(*name, *epoch, ttl, now_ms);
        Ok((now_ms, leases.iter().map(renew).collect()))
    }

    async fn release(&self, name: LeaseName, epoch: u64) -> Result<(), StoreError> {
        if self
            .shared
            .leases
            .renew(name, epoch, Duration::ZERO, self.shared.clock.now_ms())
        {
            // Before anybody can claim it: an operation takes its turn, too.
            let given_up = match name {
                LeaseName::Partition(partition) => self.writer.run(GivenUp(partition)).await,
                LeaseName::Shard(_) => Ok(()),
            };
            self.shared
                .hub
                .tell_all(&StoreEvent::Nudge(Nudge::Released));
            return given_up;
        }
        Ok(())
    }

    async fn lease_holders(&self, names: &[LeaseName]) -> Result<Vec<LeaseHolder>, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        let survey = |name: &LeaseName| LeaseHolder {
            name: *name,
            owner: self.shared.leases.owner(*name, now_ms),
        };
        Ok(names.iter().map(survey).collect())
    }
}
