//! Members held against their sessions' records: a store may have lost the one and kept the other, and then
//! nobody else would ever find the member.

use std::collections::HashMap;

use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    self as store, Deadline, Holder, Input, Request, ShardId, SharedStore, StoreError,
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    partition::{Look, Silent},
    telemetry,
};

/// The number of records that are asked for in one step.
const AT_ONCE: usize = 64;

/// The number of members that are remembered from one walk to the next. Those beyond are found by a later one.
const FINDINGS_MAX: usize = 65_536;

/// The longest time, on the store's clock, that what is found may take to be told.
const TELL_WITHIN_MS: u64 = 5_000;

/// A task that looks members up which a partition's worker has not heard of for long (S10). Ends when it is dropped.
pub(crate) struct Audit {
    looks: mpsc::Sender<Look>,
    task: JoinHandle<()>,
}

impl Audit {
    pub(crate) fn start(store: SharedStore, partition: store::PartitionId) -> Self {
        let (looks, mut asked) = mpsc::channel(1);
        let mut auditor = Auditor {
            store,
            partition,
            findings: Findings::default(),
        };
        let task = tokio::spawn(async move {
            while let Some(look) = asked.recv().await {
                if let Err(error) = auditor.look(look).await {
                    tracing::debug!(%error, "member audit failed; retrying later");
                }
            }
        });
        Audit { looks, task }
    }

    /// True if it has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.looks.capacity() > 0
    }

    /// Looks these members up. What it has no time for now, the next walk comes by again.
    pub(crate) fn look(&self, look: Look) {
        if let Err(error) = self.looks.try_send(look) {
            tracing::debug!(%error, "member audit is still running");
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Auditor {
    store: SharedStore,
    partition: store::PartitionId,
    findings: Findings,
}

impl Auditor {
    async fn look(&mut self, look: Look) -> Result<(), StoreError> {
        self.findings.turn(look.walk);
        let mut of_shards = HashMap::<ShardId, Vec<Silent>>::new();
        for member in look.members {
            let shard = self.store.layout().shard(&member.sid);
            of_shards.entry(shard).or_default().push(member);
        }
        for (shard, members) in of_shards {
            for members in members.chunks(AT_ONCE) {
                self.look_at(shard, members).await?;
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, shard: ShardId, members: &[Silent]) -> Result<(), StoreError> {
        let sids: Vec<_> = members.iter().map(|member| member.sid).collect();
        let holders = self.store.holders(shard, &sids).await?;
        let found = members.iter().zip(holders).filter_map(|(member, holder)| {
            let finding = Finding::of(member, holder)?;
            self.findings
                .confirm(member, finding)
                .then_some((member, finding))
        });
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Ok(());
        }
        let inputs = found.iter().map(|(member, finding)| Input {
            room: member.room.clone(),
            sid: member.sid,
            generation: member.generation,
            gateway: None,
            request: finding.request(),
        });
        let deadline = Deadline(self.store.now_ms() + TELL_WITHIN_MS);
        self.store
            .append(self.partition, deadline, inputs.collect())
            .await?;
        for (Silent { room, sid, .. }, finding) in found {
            let what = finding.name();
            metrics::counter!(telemetry::FOUND, "what" => what).increment(1);
            tracing::warn!(%room, %sid, what, "member audit: room notified of what the session record says");
        }
        Ok(())
    }
}

/// The news in a record that the room does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// There is none: the session is over.
    Gone,
    /// The session has no socket.
    Away { version: u64 },
    /// It has one.
    Back { version: u64 },
}

impl Finding {
    fn of(member: &Silent, holder: Option<Holder>) -> Option<Self> {
        match holder {
            None => Some(Finding::Gone),
            Some(Holder { version, gateway }) => match (gateway, member.away) {
                (None, false) => Some(Finding::Away { version }),
                (Some(_), true) => Some(Finding::Back { version }),
                (None, true) | (Some(_), false) => None,
            },
        }
    }

    fn request(self) -> Request {
        match self {
            Finding::Gone => Request::Over {
                reason: "expired".into(),
            },
            Finding::Away { .. } => Request::Detached,
            Finding::Back { .. } => Request::Attached { view: false },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Finding::Gone => "gone",
            Finding::Away { .. } => "away",
            Finding::Back { .. } => "back",
        }
    }
}

/// The findings of this walk and of the last: only what both find counts, since news may be on their way.
#[derive(Debug, Default)]
struct Findings {
    walk: u64,
    now: HashMap<(RoomName, Sid), Finding>,
    before: HashMap<(RoomName, Sid), Finding>,
}

impl Findings {
    /// A part of this walk comes.
    fn turn(&mut self, walk: u64) {
        if walk == self.walk {
            return;
        }
        let now = std::mem::take(&mut self.now);
        let is_next = walk == self.walk + 1;
        self.before = if is_next { now } else { HashMap::new() };
        self.walk = walk;
    }

    /// Notes a finding. Answers whether the last walk found the same.
    fn confirm(&mut self, member: &Silent, finding: Finding) -> bool {
        let key = (member.room.clone(), member.sid);
        let confirmed = self.before.get(&key) == Some(&finding);
        if self.now.len() < FINDINGS_MAX {
            self.now.insert(key, finding);
        }
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(away: bool) -> Silent {
        Silent {
            room: "chat/lobby".parse().unwrap(),
            sid: Sid::from_u128(7),
            generation: 1,
            away,
        }
    }

    fn holder(version: u64, gateway: Option<&str>) -> Option<Holder> {
        let gateway = gateway.map(Into::into);
        Some(Holder { version, gateway })
    }

    #[test]
    fn s10_a_record_that_says_what_the_room_knows_is_no_finding() {
        let (away, back) = (Finding::Away { version: 3 }, Finding::Back { version: 3 });
        for (is_away, holder, expected) in [
            (false, holder(3, Some("g")), None),
            (true, holder(3, None), None),
            (false, holder(3, None), Some(away)),
            (true, holder(3, Some("g")), Some(back)),
            (false, None, Some(Finding::Gone)),
            (true, None, Some(Finding::Gone)),
        ] {
            assert_eq!(Finding::of(&member(is_away), holder), expected);
        }
    }

    #[test]
    fn s10_only_what_two_walks_in_a_row_find_counts() {
        let mut findings = Findings::default();
        let member = member(false);
        let away = |version| Finding::Away { version };
        for (walk, finding, counts) in [
            (1, Finding::Gone, false),
            (1, Finding::Gone, false),
            (2, Finding::Gone, true),
            (3, away(1), false),
            (4, away(2), false),
            (5, away(2), true),
            (7, away(2), false),
        ] {
            findings.turn(walk);
            assert_eq!(
                findings.confirm(&member, finding),
                counts,
                "{walk} {finding:?}"
            );
        }
    }
}
