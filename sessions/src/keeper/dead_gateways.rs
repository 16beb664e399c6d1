use std::collections::{BTreeMap, HashSet};

use futures_util::future;
use metrics::counter;
use outlast_store::{Heartbeats, Node, NodeId, RecordIndexes, ShardId, StoreError};
use tracing::Instrument;

use super::{PAGE, Work, failure_detector::FailureDetector, unreadable::Unreadable};
use crate::{SessionSettings, due::lose, records::Records, telemetry};

/// The time that any member of the fleet may be silent, in milliseconds, before it is struck off for
/// tidiness' sake.
const FORGOTTEN_MS: u64 = 60_000;

/// The longest time for which what a dead gateway held is left alone, in milliseconds: of a herd nearly all are back at another
/// gateway by then, and nothing is written for those.
const LEFT_ALONE_MS: u64 = 2_500;

/// Gateways that died, and what they held.
#[derive(Debug, Default)]
pub(super) struct DeadGateways {
    /// The gateways that have been silent.
    pub(super) silence: FailureDetector,
    heartbeats: Heartbeats,
    /// Gateways that were silent while they held sessions, and that have not been struck off since; and whether
    /// any of those have been detached here.
    declared: BTreeMap<NodeId, bool>,
}

impl DeadGateways {
    /// A poll succeeded. Returns the members, with when they were heard of as this keeper saw it.
    pub(super) fn heard(&mut self, now_ms: u64, members: &[Node]) -> Vec<Node> {
        let members = self.heartbeats.look(now_ms, members);
        self.silence.heard(now_ms, &members);
        members
    }

    /// Detaches a page of what each dead gateway holds of a shard.
    pub(super) async fn detach(
        &mut self,
        records: &Records,
        shard: ShardId,
        unreadable: &mut Unreadable,
    ) -> Result<Work, StoreError> {
        let mut work = Work::Done;
        let alone_ms = left_alone_ms(&records.settings());
        for gateway in records.store.owners(shard).await? {
            let Some(since_ms) = self.silence.dead_since(&gateway) else {
                continue;
            };
            let detached = self.declared.entry(gateway.clone()).or_insert_with(|| {
                tracing::warn!(%gateway, since_ms, "gateway declared dead; detaching its sessions");
                false
            });
            if self.silence.now_ms() < since_ms + alone_ms {
                continue;
            }
            let most = PAGE + unreadable.len();
            let owned = records.store.owned(shard, &gateway, most).await?;
            if owned.len() == most {
                work = Work::Left;
            }
            let sids = unreadable.without(owned);
            if sids.is_empty() {
                continue;
            }
            // Before the first of them, since from then on it has to be struck off, come what may.
            *detached = true;
            let losing = tracing::debug_span!("detach_silent", %gateway, sessions = sids.len());
            let lost = lose(records, sids, &gateway, since_ms).instrument(losing);
            let found = lost.await?;
            unreadable.add(found.unreadable);
            let astray = found.astray.into_iter().map(|sid| RecordIndexes {
                owner: Some(gateway.clone()),
                ..RecordIndexes::nowhere(sid)
            });
            records.mend(shard, &astray.collect::<Vec<_>>()).await?;
        }
        Ok(work)
    }

    /// Strikes off whom it declared dead, once nothing of theirs is left to detach: not before, since a
    /// keeper that takes over in between needs to know when they were last heard of.
    ///
    /// Where sessions were detached, they are struck off even if they have beaten meanwhile, and because they have: a
    /// gateway that lives finds out by that, and reclaims its sessions.
    pub(super) async fn strike(
        &mut self,
        records: &Records,
        now_ms: u64,
        members: &[Node],
    ) -> Result<(), StoreError> {
        let store = &records.store;
        if !self.declared.is_empty() {
            let shards = store.layout().all_shards();
            let owners = future::try_join_all(shards.map(|shard| store.owners(shard))).await?;
            let owners: HashSet<_> = owners.into_iter().flatten().collect();
            for (gateway, detached) in self.declared.clone() {
                let dead = self.silence.dead_since(&gateway).is_some();
                if dead && owners.contains(&gateway) {
                    continue;
                }
                let struck = (dead || detached) && store.deregister(&gateway, None).await?;
                if dead && struck {
                    counter!(telemetry::GATEWAYS_DEAD).increment(1);
                }
                if !dead {
                    tracing::warn!(%gateway, has_to_reclaim = detached, "gateway is alive again");
                }
                self.declared.remove(&gateway);
            }
        }
        if self.silence.counts() {
            let silent = |member: &&Node| now_ms.saturating_sub(member.heard_ms) > FORGOTTEN_MS;
            for member in members.iter().filter(silent) {
                let stamp_ms = self.heartbeats.stamp_ms(&member.id);
                store.deregister(&member.id, stamp_ms).await?;
            }
        }
        Ok(())
    }
}

/// Half of what is left before anything has to happen to a session, so that there is time for all of them (S7).
fn left_alone_ms(settings: &SessionSettings) -> u64 {
    LEFT_ALONE_MS.min(settings.grace_ms.min(settings.ttl_ms) / 2)
}

#[cfg(test)]
mod tests {
    use outlast_store::{Layout, Role, SharedStore, embedded::Embedded};

    use super::*;
    use crate::{Attachment, Identity, Presence, Sessions};

    /// A gateway that holds a session, and falls silent.
    struct Scene {
        records: Records,
        sessions: Sessions,
        gateway: NodeId,
        opened: Attachment,
        deaths: DeadGateways,
        members: Vec<Node>,
        heard_ms: u64,
    }

    impl Scene {
        async fn begin() -> Self {
            let store: SharedStore = Embedded::memory(Layout::default());
            let settings = SessionSettings::default();
            let sessions = Sessions::new(store.clone(), settings.clone());
            let gateway = NodeId::from("gateway1");
            store.heartbeat(&gateway, Role::Gateway).await.unwrap();
            let identity = Identity {
                user: "ada".into(),
                expires_at: None,
                rooms: None,
                admin: false,
            };
            let opened = sessions.open(identity, &gateway).await.unwrap();
            let (heard_ms, members) = store.nodes().await.unwrap();
            Scene {
                records: Records::new(store, settings),
                sessions,
                gateway,
                opened,
                deaths: DeadGateways::default(),
                members,
                heard_ms,
            }
        }

        /// Polls and does what there is to do, until so long after the gateway was last heard of.
        async fn keep(&mut self, from_ms: u64, to_ms: u64) {
            for ms in (from_ms..=to_ms).step_by(200) {
                let now_ms = self.heard_ms + ms;
                let members = self.deaths.heard(now_ms, &self.members);
                for shard in self.records.store.layout().all_shards() {
                    let mut unreadable = Unreadable::default();
                    let detached = self.deaths.detach(&self.records, shard, &mut unreadable);
                    assert_eq!(detached.await, Ok(Work::Done));
                }
                let struck = self.deaths.strike(&self.records, now_ms, &members);
                struck.await.unwrap();
            }
        }

        async fn is_attached(&self) -> bool {
            let found = self.sessions.find(self.opened.sid).await.unwrap();
            matches!(found.presence, Presence::Attached { .. })
        }

        async fn is_member(&self) -> bool {
            let (_, members) = self.records.store.nodes().await.unwrap();
            members.iter().any(|member| member.id == self.gateway)
        }
    }

    #[tokio::test]
    async fn s7_a_dead_gateway_is_struck_off_when_nothing_of_its_is_left() {
        let mut scene = Scene::begin().await;
        scene.keep(0, 2_800).await;
        assert!(scene.is_attached().await, "left alone");
        assert!(scene.is_member().await, "it holds something");
        let (sid, key) = (scene.opened.sid.to_string(), scene.opened.key.clone());
        let other = NodeId::from("gateway2");
        let resumed = scene.sessions.resume(&sid, &key, None, &other);
        resumed.await.unwrap();
        scene.keep(3_000, 3_000).await;
        assert!(!scene.is_member().await);
        assert!(scene.is_attached().await);
    }

    #[tokio::test]
    async fn s7_what_a_dead_gateway_held_is_detached_when_it_has_been_left_alone() {
        let mut scene = Scene::begin().await;
        scene.keep(0, 3_000).await;
        assert!(!scene.is_attached().await);
        assert!(!scene.is_member().await);
    }

    #[tokio::test]
    async fn s7_a_gateway_that_was_silent_for_a_moment_has_lost_nothing() {
        let mut scene = Scene::begin().await;
        scene.keep(0, 2_000).await;
        for member in &mut scene.members {
            member.heard_ms = scene.heard_ms + 2_100;
        }
        scene.keep(2_200, 3_000).await;
        assert!(scene.is_attached().await);
        assert!(scene.is_member().await, "and need not reclaim anything");
        assert!(scene.deaths.declared.is_empty());
    }
}
