use std::collections::VecDeque;

use outlast_protocol::Pos;
use outlast_store::RoomLoad;

use crate::WorkerSettings;

/// Where a room's log ends, and how much of it is still needed (E2).
#[derive(Debug, Default)]
pub(crate) struct LogEnd {
    /// The last entry.
    pub(crate) last: Pos,
    /// The last entry that a snapshot includes.
    snapshot_off: u64,
    /// The last entry when a snapshot was tried.
    tried_off: u64,
    /// When the first entry after the last try was written.
    behind_since_ms: Option<u64>,
    /// Snapshots whose entries are still there.
    marks: VecDeque<Mark>,
    /// The offset below which the log was trimmed already.
    trimmed_below: u64,
}

/// Entries up to `off` were written at `at_ms` or before.
#[derive(Debug)]
struct Mark {
    off: u64,
    at_ms: u64,
}

impl LogEnd {
    pub(crate) fn of(load: &RoomLoad) -> Self {
        let snapshot_off = load
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.pos.off);
        let behind_since_ms = load.entries.first().map(|entry| entry.at);
        let mark = |at_ms| Mark {
            off: snapshot_off,
            at_ms,
        };
        LogEnd {
            last: load.last,
            snapshot_off,
            tried_off: snapshot_off,
            behind_since_ms,
            marks: behind_since_ms.map(mark).into_iter().collect(),
            trimmed_below: load.first_off,
        }
    }

    /// The position of the next entry, which is written now.
    pub(crate) fn push(&mut self, tag: u64, at_ms: u64) -> Pos {
        self.behind_since_ms.get_or_insert(at_ms);
        self.last = Pos {
            off: self.last.off + 1,
            tag,
        };
        self.last
    }

    /// True if there are entries after the snapshot.
    pub(crate) fn is_behind(&self) -> bool {
        self.last.off > self.snapshot_off
    }

    /// True if there are so many entries after the last try, or such old ones, that it is time for another.
    pub(crate) fn snapshot_due(&self, now_ms: u64, settings: &WorkerSettings) -> bool {
        let old = |since: u64| since.saturating_add(settings.log_age_ms) <= now_ms;
        self.last.off - self.tried_off >= settings.snapshot_due()
            || self.behind_since_ms.is_some_and(old)
    }

    /// Notes a snapshot of the log's end.
    pub(crate) fn snapshot_taken(&mut self, now_ms: u64) {
        self.snapshot_off = self.last.off;
        self.snapshot_failed();
        self.marks.push_back(Mark {
            off: self.last.off,
            at_ms: now_ms,
        });
    }

    /// Notes that the state cannot be written down: that is tried again as late as it would be otherwise.
    pub(crate) fn snapshot_failed(&mut self) {
        self.tried_off = self.last.off;
        self.behind_since_ms = None;
    }

    /// Which entries may go now: those below this, if there are any. They are in the snapshot.
    pub(crate) fn trim(&mut self, now_ms: u64, settings: &WorkerSettings) -> Option<u64> {
        // By number only along with snapshots, so that it is not a few entries with each commit.
        let whole = !self.is_behind();
        let many = (self.last.off + 1).saturating_sub(settings.log_entries);
        let too_many = if whole { many } else { 0 };
        let old = |mark: &&Mark| mark.at_ms.saturating_add(settings.log_age_ms) <= now_ms;
        let too_old = self.marks.iter().rfind(old).map_or(0, |mark| mark.off + 1);
        let below = too_many.max(too_old).min(self.last.off);
        if below <= self.trimmed_below.max(1) {
            return None;
        }
        self.marks.retain(|mark| mark.off >= below);
        self.trimmed_below = below;
        Some(below)
    }
}
