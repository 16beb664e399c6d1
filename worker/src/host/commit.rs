use outlast_store::{RoomCommit, Snapshot};

use super::{Draft, Host, Life, seats::TOMBSTONE_MS};
use crate::{WorkerSettings, batch::Batch};

/// When a room writes its state down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Snapshots {
    /// When enough has happened since the last one, or the room leaves memory.
    WhenDue,
    /// Whenever anything has: the next worker shall find it quickly.
    Always,
}

impl Host {
    /// Returns this room's part of a commit, if there is any. Afterwards the host holds the state after that
    /// commit; if it fails, the host is of no use any more.
    pub(crate) fn commit(
        &mut self,
        settings: &WorkerSettings,
        snapshots: Snapshots,
        batch: &mut Batch,
    ) -> Option<RoomCommit> {
        while let Some((member, _)) = self.draft.owed.first_key_value() {
            self.settle(*member, batch);
        }
        let wake_ms = self.wish_ms(batch.now_ms, settings);
        let wanted = snapshots == Snapshots::Always && self.log.is_behind();
        let changed = !self.draft.is_empty() || self.seats.is_dirty() || wake_ms != self.wake_ms;
        if !changed && !wanted {
            return None;
        }
        self.wake_ms = wake_ms;
        let due = self.log.snapshot_due(self.head.now_ms(), settings);
        let snapshot = (due || wanted || self.is_empty()).then(|| self.snapshot());
        let snapshot = snapshot.flatten();
        let now_ms = self.head.now_ms();
        if snapshot.is_some() {
            self.log.snapshot_taken(now_ms);
        }
        if snapshot.is_some() || self.is_empty() {
            self.seats.prune(now_ms, settings.room_ttl_ms);
        }
        let ttl_ms = self.is_empty().then(|| self.ttl_ms(wake_ms, settings));
        let rewrite = !self.draft.entries.is_empty() || self.seats.is_dirty();
        let draft = std::mem::replace(&mut self.draft, Draft::after(self.log.last));
        batch.bytes += snapshot.as_ref().map_or(0, |s| s.state.as_json().len());
        Some(RoomCommit {
            room: self.name.clone(),
            prev: draft.prev,
            entries: draft.entries,
            seats: self.seats.take_changes(self.log.last.off),
            head: rewrite.then(|| self.head.write()),
            trim_below: self.log.trim(now_ms, settings),
            snapshot,
            wake_ms,
            ttl_ms,
            park: draft.park,
            unpark: draft.unpark,
            signals: draft.signals.into(),
        })
    }

    /// True if the room's log has entries that its snapshot does not include.
    pub(crate) fn has_unwritten(&self) -> bool {
        matches!(self.life, Life::Running(_)) && self.log.is_behind()
    }

    /// True if the room stays in memory: while it has members, and where it is stopped, so that nobody
    /// tries to read it over and over.
    pub(crate) fn is_needed(&self) -> bool {
        match self.life {
            Life::Running(_) => self.seats.members() > 0,
            Life::Stopped { .. } => true,
            Life::Spoilt | Life::Unknown => false,
        }
    }

    /// When the room is to be woken next, or looked at again.
    pub(crate) fn alarm_ms(&self) -> Option<u64> {
        match self.life {
            Life::Running(_) | Life::Spoilt | Life::Stopped { .. } => self.wake_ms,
            Life::Unknown => None,
        }
    }

    /// When the store shall say that the room wants to be woken. One with parked inputs is
    /// looked at by whoever takes the partition over, and goes on there if it can be read.
    fn wish_ms(&mut self, now_ms: u64, settings: &WorkerSettings) -> Option<u64> {
        match self.life {
            Life::Running(_) => {
                let wake_ms = self.wake_at_ms().map(|at_ms| self.head.to_store(at_ms));
                let times = [wake_ms, self.look_at_ms(now_ms, settings)];
                times.into_iter().flatten().min()
            }
            Life::Stopped { .. } if !self.draft.park.is_empty() => {
                Some(self.wake_ms.map_or(now_ms, |wake_ms| wake_ms.min(now_ms)))
            }
            Life::Spoilt | Life::Stopped { .. } | Life::Unknown => self.wake_ms,
        }
    }

    fn is_empty(&self) -> bool {
        self.seats.members() == 0 && !matches!(self.life, Life::Stopped { .. })
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        let Life::Running(room) = &self.life else {
            return None;
        };
        if !self.log.is_behind() {
            return None;
        }
        match room.state() {
            Ok((version, state)) => Some(Snapshot {
                pos: self.log.last,
                version,
                state,
            }),
            Err(fault) => {
                tracing::error!(room = %self.name, %fault, "room snapshot failed");
                metrics::counter!(crate::telemetry::UNWRITTEN).increment(1);
                self.log.snapshot_failed();
                None
            }
        }
    }

    /// Returns the time for which a room without members stays (E2): from when it wants to be woken, if it does, and no
    /// shorter than it must remember who is over.
    fn ttl_ms(&self, wake_ms: Option<u64>, settings: &WorkerSettings) -> u64 {
        let until = |at_ms: Option<u64>, now_ms| at_ms.unwrap_or(0).saturating_sub(now_ms);
        let remember_ms = until(self.seats.remember_until_ms(), self.head.now_ms());
        let remember_ms = remember_ms.min(TOMBSTONE_MS);
        let idle_ms = until(wake_ms, self.head.store_ms()).saturating_add(settings.room_ttl_ms);
        idle_ms.max(remember_ms)
    }
}
