use std::{collections::BTreeMap, time::Duration};

use outlast_broker::{
    BrokerError, LeaseName, Member, NodeId, Role, Shard, SharedBroker,
    balance::{self, Balance},
};
use tokio::time::Instant;

use crate::shelf::Shelf;

/// The shards that a keeper holds, by leases that it shares evenly with the others.
///
/// A lease saves work, no more: two keepers may believe to hold a shard at the same time, and do no harm.
pub(super) struct Shards {
    broker: SharedBroker,
    me: NodeId,
    lease: Duration,
    balance: Balance,
    /// With the epochs of their leases.
    held: BTreeMap<Shard, u64>,
    beaten: Option<Instant>,
}

impl Shards {
    pub(super) fn new(shelf: &Shelf, me: NodeId) -> Self {
        Shards {
            broker: shelf.broker.clone(),
            lease: Duration::from_millis(shelf.settings().lease_ms),
            balance: Balance::new(me.clone()),
            me,
            held: BTreeMap::new(),
            beaten: None,
        }
    }

    /// The shards that it holds.
    pub(super) fn held(&self) -> Vec<Shard> {
        self.held.keys().copied().collect()
    }

    /// Says that this keeper is alive, and prolongs its leases, if it is time to.
    pub(super) async fn beat(&mut self) -> Result<(), BrokerError> {
        if self
            .beaten
            .is_some_and(|beaten| beaten.elapsed() < self.lease / 5)
        {
            return Ok(());
        }
        self.broker.beat(&self.me, Role::Keeper).await?;
        let leases: Vec<_> = self
            .held
            .iter()
            .map(|(s, epoch)| (name(*s), *epoch))
            .collect();
        let (_, held) = self.broker.renew(&leases, self.lease).await?;
        let mut held = held.into_iter();
        self.held.retain(|_, _| held.next() == Some(true));
        self.beaten = Some(Instant::now());
        Ok(())
    }

    /// Claims its share of what nobody holds, and hands over what is too much.
    pub(super) async fn share(
        &mut self,
        now_ms: u64,
        members: &[Member],
    ) -> Result<(), BrokerError> {
        let keepers = balance::live(members, Role::Keeper, now_ms, self.lease.as_millis() as u64);
        let all: Vec<_> = self.broker.layout().all_shards().map(name).collect();
        let survey = self.broker.survey(&all).await?;
        let mine: Vec<_> = self.held.keys().map(|shard| name(*shard)).collect();
        let plan = self
            .balance
            .plan(Instant::now().into_std(), &keepers, &survey, &mine);
        for shard in plan.claim.into_iter().filter_map(shard) {
            if let Some(lease) = self.broker.claim(name(shard), &self.me, self.lease).await? {
                self.held.insert(shard, lease.epoch);
            }
        }
        if let Some(shard) = plan.release.and_then(shard) {
            self.release(shard).await?;
        }
        Ok(())
    }

    /// Gives everything up, and leaves: the others take over at once.
    pub(super) async fn leave(&mut self) -> Result<(), BrokerError> {
        for shard in self.held() {
            self.release(shard).await?;
        }
        self.broker.strike(&self.me, None).await.map(drop)
    }

    async fn release(&mut self, shard: Shard) -> Result<(), BrokerError> {
        match self.held.remove(&shard) {
            Some(epoch) => self.broker.release(name(shard), epoch).await,
            None => Ok(()),
        }
    }
}

fn name(shard: Shard) -> LeaseName {
    LeaseName::Shard(shard)
}

fn shard(name: LeaseName) -> Option<Shard> {
    match name {
        LeaseName::Shard(shard) => Some(shard),
        LeaseName::Partition(_) => None,
    }
}
