use std::collections::{BTreeSet, HashSet};

use futures_util::future;
use metrics::counter;
use outlast_broker::{BrokerError, Member, NodeId, Shard};
use tracing::Instrument;

use super::{PAGE, Work, silence::Silence, unreadable::Unreadable};
use crate::{Settings, advance::lose, shelf::Shelf, telemetry};

/// How long any member of the fleet may be silent, in milliseconds, before it is struck off for
/// tidiness' sake.
const FORGOTTEN_MS: u64 = 60_000;

/// How long what a dead gateway held is left alone at most, in milliseconds: of a herd nearly all are back at another
/// gateway by then, and nothing is written for those.
const LEFT_ALONE_MS: u64 = 2_500;

/// Gateways that died, and what they held.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// Who has been silent.
    pub(super) silence: Silence,
    /// Gateways whose sessions have been detached here, and that have not been struck off since.
    declared: BTreeSet<NodeId>,
}

impl Deaths {
    /// Detaches a page of what each dead gateway holds of a shard.
    pub(super) async fn detach(
        &mut self,
        shelf: &Shelf,
        shard: Shard,
        unreadable: &mut Unreadable,
    ) -> Result<Work, BrokerError> {
        let mut work = Work::Done;
        let alone_ms = left_alone_ms(&shelf.settings);
        for gateway in shelf.broker.owners(shard).await? {
            let Some(since_ms) = self.silence.dead_since(&gateway) else {
                continue;
            };
            if self.silence.now_ms() < since_ms + alone_ms {
                continue;
            }
            let most = PAGE + unreadable.len();
            let owned = shelf.broker.owned(shard, &gateway, most).await?;
            if owned.len() == most {
                work = Work::Left;
            }
            let sids = unreadable.without(owned);
            if sids.is_empty() {
                continue;
            }
            // Before the first of them, since from then on it has to be struck off, come what may.
            if self.declared.insert(gateway.clone()) {
                tracing::warn!(%gateway, since_ms, "a gateway is silent: detaching its sessions");
            }
            let losing = tracing::debug_span!("detach_silent", %gateway, sessions = sids.len());
            let lost = lose(shelf, sids, &gateway, since_ms).instrument(losing);
            unreadable.add(lost.await?);
        }
        Ok(work)
    }

    /// Strikes off whom it declared dead, once nothing of theirs is left to detach: not before, since a
    /// keeper that takes over in between needs to know when they were last heard of.
    ///
    /// They are struck off even if they have beaten meanwhile, and because they have: a gateway that lives
    /// finds out by that, and reclaims its sessions.
    pub(super) async fn strike(
        &mut self,
        shelf: &Shelf,
        now_ms: u64,
        members: &[Member],
    ) -> Result<(), BrokerError> {
        let broker = &shelf.broker;
        if !self.declared.is_empty() {
            let shards = broker.layout().all_shards();
            let owners = future::try_join_all(shards.map(|shard| broker.owners(shard))).await?;
            let owners: HashSet<_> = owners.into_iter().flatten().collect();
            for gateway in self.declared.clone() {
                let dead = self.silence.dead_since(&gateway).is_some();
                if dead && owners.contains(&gateway) {
                    continue;
                }
                let struck = broker.strike(&gateway, None).await?;
                if dead && struck {
                    counter!(telemetry::GATEWAYS_DEAD).increment(1);
                }
                if !dead {
                    tracing::warn!(%gateway, "a gateway lives after all: it has to reclaim");
                }
                self.declared.remove(&gateway);
            }
        }
        if self.silence.counts() {
            let silent = |member: &&Member| now_ms.saturating_sub(member.heard_ms) > FORGOTTEN_MS;
            for member in members.iter().filter(silent) {
                broker.strike(&member.id, Some(member.heard_ms)).await?;
            }
        }
        Ok(())
    }
}

/// Half of what is left before anything has to happen to a session, so that there is time for all of them (S7).
fn left_alone_ms(settings: &Settings) -> u64 {
    LEFT_ALONE_MS.min(settings.grace_ms.min(settings.ttl_ms) / 2)
}
