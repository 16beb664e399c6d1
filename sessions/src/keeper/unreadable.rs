use std::collections::HashSet;

use metrics::counter;
use outlast_protocol::Sid;

use crate::telemetry;

/// The number that is remembered. Beyond that all are forgotten, found again and complained of again.
const REMEMBERED_MAX: usize = 10_000;

/// Sessions whose records this version cannot read. They are left to keepers of the version that can,
/// and must not stand in the way of the others meanwhile.
#[derive(Debug, Default)]
pub(super) struct Unreadable(HashSet<Sid>);

impl Unreadable {
    /// Returns the number of them: so many more have to be asked for to get a page of others.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those of `sids` that are not among them.
    pub(super) fn without(&self, sids: Vec<Sid>) -> Vec<Sid> {
        sids.into_iter()
            .filter(|sid| !self.0.contains(sid))
            .collect()
    }

    /// Adds some, with why, and raises the alarm.
    pub(super) fn add(&mut self, found: Vec<(Sid, String)>) {
        if self.0.len() + found.len() > REMEMBERED_MAX {
            self.0.clear();
        }
        for (sid, why) in found {
            tracing::error!(%sid, why, "session record has an unknown version; leaving it to another version");
            counter!(telemetry::UNREADABLE).increment(1);
            self.0.insert(sid);
        }
    }
}
