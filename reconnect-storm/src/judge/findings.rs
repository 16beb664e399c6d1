use std::{collections::BTreeMap, fmt};

use outlast_protocol::{RoomName, SnapshotReason};
use serde::{Deserialize, Serialize};

/// The findings of a judge, or of several, whose verdicts can be added up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The number of findings of each kind.
    pub counts: BTreeMap<Violation, usize>,
    /// The findings; where there are more than 10,000, the first.
    pub findings: Vec<Finding>,
    /// Entries that were seen, by all clients together.
    pub entries_seen: usize,
    /// Actions that have an outcome.
    pub actions_settled: usize,
    /// Actions that were refused, or not taken.
    pub actions_refused: usize,
    /// Actions that have no outcome.
    pub actions_open: usize,
    /// Sessions that were resumed, each time.
    pub resumed: usize,
    /// Rooms that were caught up by a replay.
    pub replays: usize,
    /// Snapshots that came, by their reason; explained or not.
    pub snapshots: BTreeMap<String, usize>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of wrong.
    pub violation: Violation,
    /// The client that saw it.
    pub client: Option<usize>,
    /// In this room.
    pub room: Option<RoomName>,
    /// The finding in words.
    pub what: String,
}

/// Kinds of wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// An entry never came, or an acknowledged action is not in the log.
    Lost,
    /// An entry came twice, or an action was applied twice.
    Doubled,
    /// An entry came after a later one.
    OutOfOrder,
    /// The log, or another client, has something else at that position.
    Differing,
    /// A snapshot that nothing explains, or that does not know of settled actions.
    Snapshot,
    /// A session or a membership went away, and nothing explains it.
    Gone,
    /// Something came that is no frame of the protocol.
    Garbled,
}

/// The number of findings that are kept, beyond which they are only counted.
const KEPT_MAX: usize = 10_000;
/// The number of findings that are told in words.
const SHOWN_MAX: usize = 30;

impl Verdict {
    /// Returns the number of findings of one kind.
    pub fn count(&self, violation: Violation) -> usize {
        self.counts.get(&violation).copied().unwrap_or(0)
    }

    /// Returns the number of findings.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// Every figure, in words.
    pub fn summary(&self) -> String {
        format!(
            "lost {}, doubled {}, out of order {}, differing {}, unexplained snapshots {}, gone {}, garbled {} \
             \u{2014} of {} entries seen, {} actions settled ({} refused), {} open, {} resumes, {} replays, \
             snapshots {:?}",
            self.count(Violation::Lost),
            self.count(Violation::Doubled),
            self.count(Violation::OutOfOrder),
            self.count(Violation::Differing),
            self.count(Violation::Snapshot),
            self.count(Violation::Gone),
            self.count(Violation::Garbled),
            self.entries_seen,
            self.actions_settled,
            self.actions_refused,
            self.actions_open,
            self.resumed,
            self.replays,
            self.snapshots,
        )
    }

    /// The first findings, in words.
    pub fn examples(&self) -> impl Iterator<Item = String> {
        self.findings.iter().take(SHOWN_MAX).map(Finding::to_string)
    }

    /// Adds what another judge found.
    pub fn add(&mut self, other: Verdict) {
        for (violation, count) in other.counts {
            *self.counts.entry(violation).or_default() += count;
        }
        let space = KEPT_MAX.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(space));
        self.entries_seen += other.entries_seen;
        self.actions_settled += other.actions_settled;
        self.actions_refused += other.actions_refused;
        self.actions_open += other.actions_open;
        self.resumed += other.resumed;
        self.replays += other.replays;
        for (reason, count) in other.snapshots {
            *self.snapshots.entry(reason).or_default() += count;
        }
    }

    pub(super) fn find(
        &mut self,
        violation: Violation,
        client: Option<usize>,
        room: Option<&RoomName>,
        what: String,
    ) {
        *self.counts.entry(violation).or_default() += 1;
        if self.findings.len() < KEPT_MAX {
            let room = room.cloned();
            self.findings.push(Finding {
                violation,
                client,
                room,
                what,
            });
        }
    }

    pub(super) fn saw_snapshot(&mut self, reason: SnapshotReason) {
        *self.snapshots.entry(reason.as_str().into()).or_default() += 1;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        for example in self.examples() {
            write!(f, "\n    {example}")?;
        }
        match self.total().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n    \u{2026} and {more} more"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.violation)?;
        if let Some(client) = self.client {
            write!(f, "client {client} ")?;
        }
        if let Some(room) = &self.room {
            write!(f, "{room} ")?;
        }
        f.write_str(&self.what)
    }
}
