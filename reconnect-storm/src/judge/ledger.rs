use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use outlast_protocol::{Member, Pos, RoomName, SnapshotReason};
use parking_lot::Mutex;

use super::{Excuses, Fingerprint, LoggedBody, RoomLog, Verdict, Violation};

/// The rooms' logs: as the store has them, or as far as any client has seen them.
///
/// An entry for one member alone is learned only when that member sees it, so a position that nobody has
/// seen is not missed: whoever acts sees what came of it, so nothing that counts is seen by nobody.
#[derive(Debug)]
pub struct Ledger {
    rooms: Mutex<HashMap<RoomName, Arc<Mutex<RoomLedger>>>>,
    pub(super) fingerprint: Fingerprint,
    pub(super) excuses: Excuses,
    /// The logs are known from the store.
    is_filled: bool,
}

/// One room's log.
#[derive(Debug)]
pub(super) struct RoomLedger {
    slots: HashMap<u64, Slot>,
    /// Where each act stands.
    acts: HashMap<u64, Pos>,
    /// Where the outcome of each action of each member stands.
    outcomes: HashMap<(Member, u64), Pos>,
    last_off: u64,
    /// From this offset on, the store's own log is known.
    filled_from: u64,
    may_diverge: bool,
}

#[derive(Debug)]
struct Slot {
    tag: u64,
    /// `None` while nobody has seen more of it than its position.
    entry: Option<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) body: LoggedBody,
    pub(super) fingerprint: Option<u64>,
}

/// The ledger's answer about a position.
pub(super) enum Found<'a> {
    Entry(&'a Entry),
    /// Another history, or nothing, stands there.
    Nothing,
    /// It was trimmed, or nobody has seen it yet.
    Unknown,
}

/// The reason why what a client saw cannot be true.
#[derive(Debug)]
pub(super) enum Conflict {
    /// The position is not in the log.
    NotInLog,
    /// Another entry stands there.
    Differs,
    /// The same action stands elsewhere, too.
    Again(Pos),
}

impl Ledger {
    /// A ledger that learns the logs from what clients see.
    pub fn new(fingerprint: Fingerprint, excuses: Excuses) -> Self {
        Ledger {
            rooms: Mutex::default(),
            fingerprint,
            excuses,
            is_filled: false,
        }
    }

    /// Takes the logs as the store has them, and judges them by themselves: no hole, and no action with two outcomes.
    pub(super) fn fill(&mut self, logs: &BTreeMap<RoomName, RoomLog>, verdict: &mut Verdict) {
        self.is_filled = true;
        for (name, log) in logs {
            let room = self.room(name);
            let mut room = room.lock();
            room.filled_from = log.entries.first().map_or(1, |entry| entry.pos.off);
            let mut find = |violation, what| verdict.find(violation, None, Some(name), what);
            for (before, after) in log.entries.iter().zip(log.entries.iter().skip(1)) {
                if after.pos.off != before.pos.off + 1 {
                    let what = format!("the log jumps from {} to {}", before.pos, after.pos);
                    find(Violation::Lost, what);
                }
            }
            for entry in &log.entries {
                let pos = entry.pos;
                room.last_off = pos.off;
                room.slots.insert(pos.off, Slot::new(pos));
                let written = room.write(pos, entry.body.clone(), self.fingerprint);
                if let Err(Conflict::Again(first)) = written {
                    let what = format!("the same action stands at {first} and at {pos}");
                    find(Violation::Doubled, what);
                }
            }
        }
    }

    pub(super) fn room(&self, name: &RoomName) -> Arc<Mutex<RoomLedger>> {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.get(name) {
            return room.clone();
        }
        let room = RoomLedger {
            slots: HashMap::new(),
            acts: HashMap::new(),
            outcomes: HashMap::new(),
            last_off: 0,
            filled_from: if self.is_filled { 1 } else { u64::MAX },
            may_diverge: self.excuses.snapshots.contains(&SnapshotReason::Diverged),
        };
        rooms
            .entry(name.clone())
            .insert_entry(Arc::new(Mutex::new(room)))
            .get()
            .clone()
    }
}

impl RoomLedger {
    /// A client was told of a position.
    pub(super) fn place(&mut self, pos: Pos) -> Result<(), Conflict> {
        if pos.off == 0 || self.holds(pos) {
            return Ok(());
        }
        let is_taken = self.slots.contains_key(&pos.off);
        if pos.off >= self.filled_from || (is_taken && !self.may_diverge) {
            return Err(Conflict::NotInLog);
        }
        self.last_off = self.last_off.max(pos.off);
        self.slots.insert(pos.off, Slot::new(pos));
        Ok(())
    }

    /// A client saw an entry. Returns the fingerprint of the act that caused it.
    pub(super) fn note(
        &mut self,
        pos: Pos,
        told: LoggedBody,
        fingerprint: Fingerprint,
    ) -> Result<Option<u64>, Conflict> {
        self.place(pos)?;
        match self.find(pos) {
            Found::Entry(entry) if entry.body.says_the_same(&told) => Ok(entry.fingerprint),
            Found::Entry(_) => Err(Conflict::Differs),
            Found::Nothing | Found::Unknown => self.write(pos, told, fingerprint),
        }
    }

    fn write(
        &mut self,
        pos: Pos,
        mut body: LoggedBody,
        fingerprint: Fingerprint,
    ) -> Result<Option<u64>, Conflict> {
        let fingerprint = body.event().and_then(fingerprint);
        if pos.off < self.filled_from
            && let LoggedBody::Event { quiet, .. } = &mut body
        {
            // What its own join or leave caused is not sent to a member (A2); an act's event has a fingerprint.
            *quiet = fingerprint.is_none();
        }
        let outcome = body
            .outcome_of()
            .and_then(|of| self.outcomes.insert(of, pos));
        let act = fingerprint.and_then(|act| self.acts.insert(act, pos));
        if let Some(slot) = self.slots.get_mut(&pos.off) {
            slot.entry = Some(Entry { body, fingerprint });
        }
        let mut elsewhere = [outcome, act].into_iter().flatten();
        match elsewhere.find(|other| *other != pos && self.holds(*other)) {
            Some(other) => Err(Conflict::Again(other)),
            None => Ok(fingerprint),
        }
    }

    pub(super) fn find(&self, pos: Pos) -> Found<'_> {
        match self.slots.get(&pos.off) {
            Some(slot) if slot.tag != pos.tag => Found::Nothing,
            Some(slot) => slot.entry.as_ref().map_or(Found::Unknown, Found::Entry),
            None if pos.off >= self.filled_from => Found::Nothing,
            None => Found::Unknown,
        }
    }

    /// The position belongs to the room's history.
    fn holds(&self, pos: Pos) -> bool {
        self.slots
            .get(&pos.off)
            .is_some_and(|slot| slot.tag == pos.tag)
    }

    /// The member is sent what stands there; `None` where that is not known.
    pub(super) fn is_for(&self, member: Member, off: u64) -> Option<bool> {
        let entry = self.slots.get(&off)?.entry.as_ref()?;
        Some(entry.body.is_for(member))
    }

    pub(super) fn last_off(&self) -> u64 {
        self.last_off
    }

    /// Where an act was applied.
    pub(super) fn applied_at(&self, act: u64) -> Option<Pos> {
        self.acts.get(&act).copied().filter(|pos| self.holds(*pos))
    }
}

impl Slot {
    fn new(pos: Pos) -> Self {
        Slot {
            tag: pos.tag,
            entry: None,
        }
    }
}
