use std::{collections::BTreeMap, fmt};

use outlast_protocol::{RoomName, SnapshotReason};
use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// How many entries were seen, by all clients together.
    pub entries_seen: usize,
    /// How many actions have an outcome.
    pub actions_settled: usize,
    /// How many actions have none.
    pub actions_open: usize,
    /// How many snapshots came, by their reason; explained or not.
    pub snapshots: BTreeMap<&'static str, usize>,
    /// How many times a session was resumed.
    pub resumed: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of wrong.
    pub wrong: Wrong,
    /// Which client's record shows it.
    pub client: Option<usize>,
    /// In which room.
    pub room: Option<RoomName>,
    /// What exactly.
    pub what: String,
}

/// Kinds of wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// An entry never came, or an acknowledged action is not in the log.
    Lost,
    /// An entry came twice, or an action was applied twice.
    Doubled,
    /// An entry came after a later one.
    OutOfOrder,
    /// What came is not what the log, or another client, has at that position.
    Differing,
    /// A snapshot that nothing explains, or that does not know of settled actions.
    Snapshot,
    /// A session or a membership went away, and nothing explains it.
    Gone,
    /// Something came that is no frame of the protocol.
    Garbled,
}

impl Verdict {
    /// How many findings are of one kind.
    pub fn count(&self, wrong: Wrong) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.wrong == wrong)
            .count()
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn find(
        &mut self,
        wrong: Wrong,
        client: Option<usize>,
        room: Option<&RoomName>,
        what: impl Into<String>,
    ) {
        let what = what.into();
        self.findings.push(Finding {
            wrong,
            client,
            room: room.cloned(),
            what,
        });
    }

    pub(super) fn saw_snapshot(&mut self, reason: SnapshotReason) {
        let reason = match reason {
            SnapshotReason::Trimmed => "trimmed",
            SnapshotReason::Diverged => "diverged",
            SnapshotReason::Requested => "requested",
            SnapshotReason::Shorter => "shorter",
        };
        *self.snapshots.entry(reason).or_default() += 1;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "lost {}, doubled {}, out of order {}, differing {}, unexplained snapshots {}, gone {}, \
             garbled {} \u{2014} of {} entries seen, {} actions settled, {} open, {} resumes, \
             snapshots {:?}",
            self.count(Wrong::Lost),
            self.count(Wrong::Doubled),
            self.count(Wrong::OutOfOrder),
            self.count(Wrong::Differing),
            self.count(Wrong::Snapshot),
            self.count(Wrong::Gone),
            self.count(Wrong::Garbled),
            self.entries_seen,
            self.actions_settled,
            self.actions_open,
            self.resumed,
            self.snapshots,
        )?;
        for Finding {
            wrong,
            client,
            room,
            what,
        } in self.findings.iter().take(SHOWN_MAX)
        {
            let client = client
                .map(|client| format!("client {client} "))
                .unwrap_or_default();
            let room = room
                .as_ref()
                .map(|room| format!("{room} "))
                .unwrap_or_default();
            writeln!(f, "  {wrong:?}: {client}{room}{what}")?;
        }
        let more = self.findings.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            writeln!(f, "  \u{2026} and {more} more")?;
        }
        Ok(())
    }
}

/// How many findings are told in full.
const SHOWN_MAX: usize = 30;
