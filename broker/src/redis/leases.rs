use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::Script;

use super::{Redis, errand::Call, topic::to_json};
use crate::{BrokerError, Lease, LeaseName, Leases, NodeId, Nudge, Survey};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));

#[async_trait]
impl Leases for Redis {
    async fn claim(
        &self,
        name: LeaseName,
        owner: &NodeId,
        ttl: Duration,
    ) -> Result<Option<Lease>, BrokerError> {
        let mut all = vec![self.keys.lease(name), self.keys.epoch(name)];
        if let LeaseName::Partition(partition) = name {
            all.extend([self.keys.cursor(partition), self.keys.barren(partition)]);
        }
        let mut script = Call::new(&CLAIM, &all);
        let chance = rand::random_range(0..CHANCES);
        script.arg(owner.as_str()).arg(whole_ms(ttl)).arg(chance);
        let granted: Option<(u64, u64, u64)> = self.nodes.run(&script).await?;
        Ok(granted.map(|(epoch, now_ms, barren)| Lease {
            name,
            epoch,
            now_ms,
            barren,
            wary_ms: 0,
        }))
    }

    async fn renew(
        &self,
        leases: &[(LeaseName, u64)],
        ttl: Duration,
    ) -> Result<(u64, Vec<bool>), BrokerError> {
        // Each lease lies in a slot of its own, so each is a script of its own. They travel together.
        let renewals = leases.iter().map(async |(name, epoch)| {
            let mut script = Call::new(&RENEW, &[self.keys.lease(*name)]);
            self.nodes.run(script.arg(epoch).arg(whole_ms(ttl))).await
        });
        tokio::try_join!(self.now_ms(), try_join_all(renewals))
    }

    async fn release(&self, name: LeaseName, epoch: u64) -> Result<(), BrokerError> {
        let mut all = vec![self.keys.lease(name)];
        if let LeaseName::Partition(partition) = name {
            all.push(self.keys.barren(partition));
        }
        let mut script = Call::new(&RELEASE, &all);
        script
            .arg(epoch)
            .arg(self.channels.nudges(None))
            .arg(to_json(&[Nudge::Released]));
        self.nodes.run(&script).await
    }

    async fn survey(&self, names: &[LeaseName]) -> Result<Vec<Survey>, BrokerError> {
        let held = names.iter().map(async |name| {
            let lease = self.keys.lease(*name);
            let mut get = redis::cmd("GET");
            self.nodes.query(&lease, get.arg(&lease)).await
        });
        let held: Vec<Option<String>> = try_join_all(held).await?;
        let owner = |held: String| held.split_once(' ').map(|(_, owner)| NodeId::from(owner));
        let survey = |(name, held): (&LeaseName, Option<String>)| Survey {
            name: *name,
            owner: held.and_then(owner),
        };
        Ok(names.iter().zip(held).map(survey).collect())
    }
}

/// How much chance there is in an epoch: about a millisecond of its clock, which is in microseconds.
const CHANCES: u32 = 1 << 10;

/// Redis refuses an expiry of 0.
fn whole_ms(ttl: Duration) -> u64 {
    ttl.as_millis().max(1) as u64
}
