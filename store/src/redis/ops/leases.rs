use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::Script;

use super::fields::to_json;
use crate::redis::{Redis, net::script::ScriptCall};
use crate::{Lease, LeaseHolder, LeaseName, Leases, NodeId, Nudge, StoreError, clock::JUMP_MS};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/claim.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/renew.lua")));
static SHORTEN: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/shorten.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/release.lua")));

#[async_trait]
impl Leases for Redis {
    async fn claim(
        &self,
        name: LeaseName,
        owner: &NodeId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut all = vec![self.keys.lease(name), self.keys.epoch(name)];
        if let LeaseName::Partition(partition) = name {
            all.extend([self.keys.cursor(partition), self.keys.barren(partition)]);
        }
        let mut script = ScriptCall::new(&CLAIM, &all);
        let chance = rand::random_range(0..CHANCES);
        let now_ms = self.clock.now_ms();
        script.arg(owner.as_str()).arg(whole_ms(ttl));
        script.arg(chance).arg(now_ms);
        let granted: Option<(u64, u64)> = self.nodes.run(&script).await?;
        Ok(granted.map(|(epoch, barren)| Lease {
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
    ) -> Result<(u64, Vec<bool>), StoreError> {
        let now_ms = self.clock.now_ms();
        // Each lease lies in a slot of its own, so each is a script of its own. They travel together.
        let renewals = leases.iter().map(async |(name, epoch)| {
            let mut script = ScriptCall::new(&RENEW, &[self.keys.lease(*name)]);
            script.arg(epoch).arg(whole_ms(ttl)).arg(now_ms);
            self.nodes.run(&script).await
        });
        Ok((now_ms, try_join_all(renewals).await?))
    }

    async fn release(&self, name: LeaseName, epoch: u64) -> Result<(), StoreError> {
        let mut all = vec![self.keys.lease(name)];
        if let LeaseName::Partition(partition) = name {
            all.push(self.keys.barren(partition));
        }
        let mut script = ScriptCall::new(&RELEASE, &all);
        script
            .arg(epoch)
            .arg(self.channels.nudges(None))
            .arg(to_json(&[Nudge::Released]));
        self.nodes.run(&script).await
    }

    async fn lease_holders(&self, names: &[LeaseName]) -> Result<Vec<LeaseHolder>, StoreError> {
        let held = names.iter().map(async |name| {
            let lease = self.keys.lease(*name);
            let mut get = redis::cmd("GET");
            self.nodes.query(&lease, get.arg(&lease)).await
        });
        let held: Vec<Option<String>> = try_join_all(held).await?;
        let now_ms = self.clock.now_ms();
        let mut survey = Vec::with_capacity(names.len());
        for (name, text) in names.iter().zip(held) {
            let held = text.as_deref().and_then(Held::read);
            let held = held.filter(|held| held.is_live(now_ms));
            if let (Some(text), Some(held)) = (&text, &held)
                && let Some(shorter) = held.shortened(now_ms)
            {
                self.shorten(*name, text, &shorter).await?;
            }
            let owner = held.map(|held| NodeId::from(held.owner));
            survey.push(LeaseHolder { name: *name, owner });
        }
        Ok(survey)
    }
}

impl Redis {
    /// Sees to it that a lease whose holder is dead lasts no longer than was asked for, whatever the time was when it
    /// was granted. Who lives prolongs it as ever.
    async fn shorten(&self, name: LeaseName, old: &str, new: &str) -> Result<(), StoreError> {
        tracing::warn!(
            ?name,
            old,
            new,
            "lease is longer than was asked for; shortened"
        );
        let mut script = ScriptCall::new(&SHORTEN, &[self.keys.lease(name)]);
        self.nodes.run(script.arg(old).arg(new)).await
    }
}

/// A lease as it lies in Redis.
#[derive(Debug, PartialEq, Eq)]
struct Held<'a> {
    epoch: &'a str,
    owner: &'a str,
    /// Until when, and for how long at a time, in milliseconds; an older version leaves that to Redis.
    until: Option<(u64, u64)>,
}

impl<'a> Held<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let (epoch, owner) = (words.next()?, words.next()?);
        let mut number = || words.next()?.parse().ok();
        let until = number().zip(number());
        Some(Held {
            epoch,
            owner,
            until,
        })
    }

    fn is_live(&self, now_ms: u64) -> bool {
        self.until.is_none_or(|(until_ms, _)| now_ms < until_ms)
    }

    /// Returns the lease as it should be, where it lasts for longer than was asked for.
    fn shortened(&self, now_ms: u64) -> Option<String> {
        let (until_ms, ttl_ms) = self.until?;
        let longest_ms = now_ms + ttl_ms;
        let Held { epoch, owner, .. } = self;
        (until_ms > longest_ms + JUMP_MS).then(|| format!("{epoch} {owner} {longest_ms} {ttl_ms}"))
    }
}

/// The range of chance in an epoch: about a millisecond of its clock, which is in microseconds.
const CHANCES: u32 = 1 << 10;

fn whole_ms(ttl: Duration) -> u64 {
    ttl.as_millis().max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_a_lease_lasts_no_longer_than_was_asked_for() {
        let now_ms = 1_800_000_000_000_u64;
        let held = |until_ms: u64| format!("7 worker1 {until_ms} 2000");
        for (left_ms, live, shortened) in [
            (1, true, false),
            (2_000, true, false),
            (2_900, true, false),
            (3_600_000, true, true),
            (0, false, false),
        ] {
            let text = held(now_ms + left_ms);
            let found = Held::read(&text).unwrap();
            assert_eq!(found.owner, "worker1");
            assert_eq!(found.is_live(now_ms), live, "{left_ms}");
            let shorter = found.shortened(now_ms);
            assert_eq!(
                shorter,
                shortened.then(|| held(now_ms + 2_000)),
                "{left_ms}"
            );
        }
        let older = Held::read("7 worker1").unwrap();
        assert!(older.is_live(u64::MAX));
        assert_eq!(older.shortened(0), None);
    }
}
