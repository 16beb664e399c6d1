//! A gateway's look at the records that name it, which may be wrong: a write that came late names a socket
//! that nobody holds any more, and a store that fell back to an older state has forgotten that one was lost.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use outlast_protocol::Sid;
use outlast_store::{NodeId, RecordIndexes, ShardId, StoreError};
use tokio::time::{Instant, sleep};

use crate::{Presence, SessionError, Sessions, telemetry};

/// The number of records that are listed in one step.
const PAGE: usize = 256;

/// The pause after each.
const PAGE_PAUSE: Duration = Duration::from_millis(20);

/// The number of records without a socket that are looked into in one pass. Those beyond wait for the next.
const SUSPECTS_MAX: usize = 4_096;

/// Holds the records that name a gateway against its sockets, and the other way round (S9).
pub struct Audit {
    sessions: Sessions,
    gateway: NodeId,
    /// Sessions whose records named this gateway in the last pass, while it had no socket for them.
    suspects: HashMap<Sid, Suspect>,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    generation: u64,
    since: Instant,
}

impl Audit {
    /// One that has seen nothing yet.
    pub fn new(sessions: Sessions, gateway: NodeId) -> Self {
        Audit {
            sessions,
            gateway,
            suspects: HashMap::new(),
        }
    }

    /// The time between two passes.
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.sessions.records.settings().audit_ms)
    }

    /// Goes through all records that name this gateway. One that did so in the last pass already, with the same
    /// generation and without a socket at either time, is detached, as if its socket had been lost then. `here`
    /// are the sessions that have sockets, as of now; `has` says whether one has.
    ///
    /// # Errors
    /// When the store does not answer; what was found in the last pass is forgotten then, so that no outage counts
    /// against a session.
    pub async fn pass(
        &mut self,
        here: Vec<Sid>,
        has: impl Fn(&Sid) -> bool,
    ) -> Result<(), SessionError> {
        let passed = self.go_through(here, has).await;
        if passed.is_err() {
            self.suspects.clear();
        }
        passed
    }

    async fn go_through(
        &mut self,
        here: Vec<Sid>,
        has: impl Fn(&Sid) -> bool,
    ) -> Result<(), SessionError> {
        let mut unlisted: HashSet<_> = here.into_iter().collect();
        let mut suspects = HashMap::new();
        for shard in self.sessions.records.store.layout().all_shards() {
            let mut after = None;
            loop {
                let page = self.page(shard, after).await?;
                after = page.last().copied().filter(|_| page.len() == PAGE);
                for sid in page {
                    unlisted.remove(&sid);
                    if !has(&sid) && suspects.len() < SUSPECTS_MAX {
                        suspects.extend(self.look(shard, sid, &has).await?);
                    }
                }
                sleep(PAGE_PAUSE).await;
                if after.is_none() {
                    break;
                }
            }
        }
        self.suspects = suspects;
        unlisted.retain(has);
        self.list(unlisted).await?;
        Ok(())
    }

    async fn page(&self, shard: ShardId, after: Option<Sid>) -> Result<Vec<Sid>, StoreError> {
        let store = &self.sessions.records.store;
        store.owned_after(shard, &self.gateway, after, PAGE).await
    }

    /// Looks into a record without a socket. It stays suspect until it has been so for two passes.
    async fn look(
        &self,
        shard: ShardId,
        sid: Sid,
        has: impl Fn(&Sid) -> bool,
    ) -> Result<Option<(Sid, Suspect)>, SessionError> {
        let generation = match self.sessions.find(sid).await {
            Ok(found) if found.presence.is_at(&self.gateway) => found.generation,
            Ok(_) | Err(SessionError::Gone) => {
                let owner = Some(self.gateway.clone());
                let seen = RecordIndexes {
                    owner,
                    ..RecordIndexes::nowhere(sid)
                };
                self.sessions.records.mend(shard, &[seen]).await?;
                return Ok(None);
            }
            // Its keeper raises the alarm.
            Err(SessionError::Unreadable(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let before = self.suspects.get(&sid).copied();
        let Some(suspect) = before.filter(|before| before.generation == generation) else {
            let since = Instant::now();
            return Ok(Some((sid, Suspect { generation, since })));
        };
        if has(&sid) {
            return Ok(None);
        }
        match self
            .sessions
            .detach(sid, generation, suspect.since.elapsed())
            .await
        {
            Ok(()) => {
                telemetry::found("socketless", 1);
                tracing::warn!(%sid, generation, "session audit: record named this gateway without a socket; session detached");
            }
            Err(SessionError::Gone | SessionError::Superseded) => {}
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// Puts sessions that have sockets here back where those that go through the indexes find them.
    async fn list(&self, sids: HashSet<Sid>) -> Result<(), StoreError> {
        let records = &self.sessions.records;
        let mut of_shards = HashMap::<ShardId, Vec<RecordIndexes>>::new();
        for sid in sids {
            let shard = records.store.layout().shard(&sid);
            of_shards
                .entry(shard)
                .or_default()
                .push(RecordIndexes::nowhere(sid));
        }
        for (shard, seen) in of_shards {
            records.mend(shard, &seen).await?;
        }
        Ok(())
    }
}

impl Presence {
    fn is_at(&self, here: &NodeId) -> bool {
        match self {
            Presence::Attached { gateway } => gateway == here,
            Presence::Detached { .. } => false,
        }
    }
}
