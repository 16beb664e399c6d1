use std::collections::{BTreeMap, VecDeque};

use outlast_protocol::{Member, Payload, Pos};
use outlast_store::{Entry, Input};

/// The number of a room's signals that one commit carries: the newest.
const SIGNALS_MAX: usize = 64;

/// A room's changes since its last commit.
#[derive(Default)]
pub(crate) struct Draft {
    /// Where the log ended at that commit.
    pub(crate) prev: Pos,
    pub(crate) entries: Vec<Entry>,
    /// Accepted acts without an outcome yet: one result is owed to the member for all of them up to this
    /// number (A2).
    pub(crate) owed: BTreeMap<Member, u64>,
    pub(crate) signals: VecDeque<Payload>,
    /// Inputs to park (W6).
    pub(crate) park: Vec<Input>,
    /// True if the parked inputs have been taken up.
    pub(crate) unpark: bool,
}

impl Draft {
    pub(crate) fn after(behind: Pos) -> Self {
        Draft {
            prev: behind,
            ..Draft::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.owed.is_empty()
            && self.signals.is_empty()
            && self.park.is_empty()
            && !self.unpark
    }

    pub(crate) fn signal(&mut self, signal: Payload) {
        if self.signals.len() == SIGNALS_MAX {
            self.signals.pop_front();
        }
        self.signals.push_back(signal);
    }
}
