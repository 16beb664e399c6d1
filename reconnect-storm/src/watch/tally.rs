use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::Wrong;

/// What watchers found; those of several can be added up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many findings there are of each kind.
    pub findings: BTreeMap<Wrong, u64>,
    /// Some of them in words.
    pub examples: Vec<String>,
    /// How many entries were seen, by all clients together.
    pub entries: u64,
    /// How many actions have an outcome.
    pub actions_settled: u64,
    /// How many actions were refused, or not taken.
    pub actions_refused: u64,
    /// How many actions have none.
    pub actions_open: u64,
    /// How many times a session was resumed.
    pub resumed: u64,
    /// How many rooms were caught up by a replay.
    pub replays: u64,
    /// How many snapshots came, by their reason; explained or not.
    pub snapshots: BTreeMap<String, u64>,
}

/// How many findings are told in words.
const EXAMPLES_MAX: usize = 30;

impl Tally {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many findings are of one kind.
    pub fn count(&self, wrong: Wrong) -> u64 {
        self.findings.get(&wrong).copied().unwrap_or(0)
    }

    /// Adds what others found.
    pub fn add(&mut self, other: Tally) {
        for (wrong, count) in other.findings {
            *self.findings.entry(wrong).or_default() += count;
        }
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
        self.entries += other.entries;
        self.actions_settled += other.actions_settled;
        self.actions_refused += other.actions_refused;
        self.actions_open += other.actions_open;
        self.resumed += other.resumed;
        self.replays += other.replays;
        for (reason, count) in other.snapshots {
            *self.snapshots.entry(reason).or_default() += count;
        }
    }

    pub(super) fn find(&mut self, wrong: Wrong, what: impl FnOnce() -> String) {
        *self.findings.entry(wrong).or_default() += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{wrong:?}: {}", what()));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lost {}, doubled {}, out of order {}, differing {}, unexplained resets {}, gone {}, garbled {}",
            self.count(Wrong::Lost),
            self.count(Wrong::Doubled),
            self.count(Wrong::OutOfOrder),
            self.count(Wrong::Differing),
            self.count(Wrong::Snapshot),
            self.count(Wrong::Gone),
            self.count(Wrong::Garbled),
        )
    }
}
