use std::{collections::BTreeSet, ops::RangeInclusive};

use outlast_protocol::Member;

use super::ledger::RoomLedger;

/// A member of a room, and how far it has read.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) member: Member,
    pub(super) off: u64,
    /// The offsets that shown states stand for.
    covered: Vec<RangeInclusive<u64>>,
    /// The offsets before `off` that may be for this member, and have not come.
    skipped: BTreeSet<u64>,
}

/// The manner in which an entry came.
pub(super) enum Arrival {
    InOrder,
    /// After a later one.
    Late,
    /// After a state that includes it.
    Covered,
    /// Once more.
    Again,
}

/// A client that skips more than this has lost enough to be told so.
const SKIPPED_MAX: usize = 10_000;

impl Seat {
    /// A member that was shown a state of the room.
    pub(super) fn new(member: Member, off: u64) -> Self {
        Seat {
            member,
            off,
            covered: vec![0..=off],
            skipped: BTreeSet::new(),
        }
    }

    /// It was shown a newer state: everything after `off` is to come.
    pub(super) fn show(&mut self, off: u64) {
        if off > self.off {
            self.covered.push(self.off + 1..=off);
            self.off = off;
        }
    }

    pub(super) fn arrive(&mut self, off: u64, ledger: &RoomLedger) -> Arrival {
        if off > self.off {
            self.skip_to(off, ledger);
            self.off = off;
            Arrival::InOrder
        } else if self.skipped.remove(&off) {
            Arrival::Late
        } else if self.covered.iter().any(|covered| covered.contains(&off)) {
            Arrival::Covered
        } else {
            Arrival::Again
        }
    }

    /// The next that comes stands at `off`: what lies between is for others, or lost.
    pub(super) fn skip_to(&mut self, off: u64, ledger: &RoomLedger) {
        let between = self.off + 1..off.min(ledger.last_off() + 1);
        let own = between.filter(|off| ledger.is_for(self.member, *off) != Some(false));
        let space = SKIPPED_MAX.saturating_sub(self.skipped.len());
        self.skipped.extend(own.take(space));
        self.off = self.off.max(off.saturating_sub(1));
    }

    /// The entries that it was to be sent and was not.
    pub(super) fn missed(&self, ledger: &RoomLedger) -> Vec<u64> {
        let skipped = self.skipped.iter().copied();
        skipped
            .filter(|off| ledger.is_for(self.member, *off) == Some(true))
            .collect()
    }
}
