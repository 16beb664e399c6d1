use std::{
    collections::{HashMap, hash_map},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use outlast_protocol::{Member, Payload, Pos, RoomName};
use parking_lot::Mutex;

/// How to tell an action by its contents: what is unique in an act's data, and in the data of the event
/// that it causes.
pub type MarkOf = fn(&Payload) -> Option<u64>;

/// The rooms' logs, as far as any client has seen them.
///
/// An entry for one member alone is known only when that member saw it, so a position that nobody has
/// seen is not missed: whoever acts sees what came of it, so nothing that counts is seen by nobody.
#[derive(Debug)]
pub struct Ledger {
    rooms: Mutex<HashMap<RoomName, Arc<Mutex<Book>>>>,
    mark_of: MarkOf,
    /// Whether the store may lose acknowledged writes, so that one `off` stands for two histories.
    may_diverge: bool,
}

/// One room's log.
#[derive(Debug, Default)]
pub(super) struct Book {
    lines: HashMap<u64, Line>,
    /// Where each mark stands.
    marks: HashMap<u64, Pos>,
    /// Where the outcome of each action of each member stands.
    outcomes: HashMap<(Member, u64), Pos>,
    last_off: u64,
}

/// What stands at a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) tag: u64,
    /// `None` while nobody has seen more of it than its position.
    pub(super) entry: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) by: Option<Member>,
    pub(super) n: Option<u64>,
    pub(super) mark: Option<u64>,
    /// For every member, or for one.
    pub(super) is_for_all: bool,
}

/// An entry as a frame brings it.
pub(super) enum Brought<'a> {
    Event {
        by: Option<Member>,
        n: Option<u64>,
        data: &'a Payload,
    },
    Notice(&'a Payload),
    Result {
        to: Option<Member>,
        n: u64,
        ok: bool,
    },
}

/// What the ledger has against an entry.
pub(super) enum Objection {
    /// Somebody saw something else there.
    Differs,
    /// The same action stands elsewhere, too.
    Again(Pos),
}

impl Ledger {
    /// An empty one.
    pub fn new(mark_of: MarkOf, may_diverge: bool) -> Self {
        Ledger {
            rooms: Mutex::default(),
            mark_of,
            may_diverge,
        }
    }

    pub(super) fn may_diverge(&self) -> bool {
        self.may_diverge
    }

    pub(super) fn mark_of(&self, data: &Payload) -> Option<u64> {
        (self.mark_of)(data)
    }

    pub(super) fn book(&self, room: &RoomName) -> Arc<Mutex<Book>> {
        let mut rooms = self.rooms.lock();
        if let Some(book) = rooms.get(room) {
            return book.clone();
        }
        rooms.entry(room.clone()).or_default().clone()
    }

    /// Notes what a client saw at a position. Answers the mark that stands there.
    pub(super) fn note(
        &self,
        book: &mut Book,
        pos: Pos,
        brought: &Brought<'_>,
    ) -> Result<Option<u64>, Objection> {
        let hash = brought.hash();
        if let Some(line) = book.lines.get(&pos.off)
            && let Some(entry) = line.entry
            && line.tag == pos.tag
        {
            return if entry.hash == hash {
                Ok(entry.mark)
            } else {
                Err(Objection::Differs)
            };
        }
        self.place(book, pos)?;
        let entry = brought.read(hash, self.mark_of);
        if let Some(line) = book.lines.get_mut(&pos.off) {
            line.entry = Some(entry);
        }
        let outcome = match brought {
            Brought::Event {
                by: Some(by),
                n: Some(n),
                ..
            } => Some((*by, *n)),
            Brought::Result {
                to: Some(to), n, ..
            } => Some((*to, *n)),
            Brought::Event { .. } | Brought::Notice(_) | Brought::Result { to: None, .. } => None,
        };
        let outcome = outcome.and_then(|outcome| book.outcomes.insert(outcome, pos));
        let mark = entry.mark.and_then(|mark| book.marks.insert(mark, pos));
        match [outcome, mark]
            .into_iter()
            .flatten()
            .find(|at| book.holds(*at))
        {
            Some(elsewhere) => Err(Objection::Again(elsewhere)),
            None => Ok(entry.mark),
        }
    }

    /// Notes that a client was told of a position.
    pub(super) fn place(&self, book: &mut Book, pos: Pos) -> Result<(), Objection> {
        if pos.off == 0 {
            return Ok(());
        }
        book.last_off = book.last_off.max(pos.off);
        let fresh = Line {
            tag: pos.tag,
            entry: None,
        };
        match book.lines.entry(pos.off) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(fresh);
            }
            hash_map::Entry::Occupied(line) if line.get().tag == pos.tag => {}
            hash_map::Entry::Occupied(mut line) if self.may_diverge => {
                line.insert(fresh);
            }
            hash_map::Entry::Occupied(_) => return Err(Objection::Differs),
        }
        Ok(())
    }
}

impl Book {
    pub(super) fn at(&self, off: u64) -> Option<&Line> {
        self.lines.get(&off)
    }

    /// Whether a position belongs to the room's history.
    pub(super) fn holds(&self, pos: Pos) -> bool {
        self.at(pos.off).is_some_and(|line| line.tag == pos.tag)
    }

    /// Whether somebody has seen what stands there.
    pub(super) fn knows(&self, pos: Pos) -> bool {
        self.at(pos.off).is_some_and(|line| line.entry.is_some())
    }

    pub(super) fn last_off(&self) -> u64 {
        self.last_off
    }

    pub(super) fn where_is(&self, mark: u64) -> Option<Pos> {
        self.marks
            .get(&mark)
            .copied()
            .filter(|pos| self.holds(*pos))
    }

    /// Whether a member that has not seen an entry has lost it. What its own join or leave caused is
    /// not sent to it (A2); an act's event bears a mark.
    pub(super) fn is_missed_by(&self, member: Member, off: u64) -> bool {
        let entry = self.at(off).and_then(|line| line.entry);
        entry.is_some_and(|entry| {
            entry.is_for_all && (entry.by != Some(member) || entry.mark.is_some())
        })
    }
}

impl Brought<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Brought::Event { by, n, data } => (0, by, n, data.as_json()).hash(&mut hasher),
            Brought::Notice(data) => (1, data.as_json()).hash(&mut hasher),
            Brought::Result { n, ok, .. } => (2, n, ok).hash(&mut hasher),
        }
        hasher.finish()
    }

    fn read(&self, hash: u64, mark_of: MarkOf) -> Entry {
        match self {
            Brought::Event { by, n, data } => Entry {
                hash,
                by: *by,
                n: *n,
                mark: mark_of(data),
                is_for_all: true,
            },
            Brought::Notice(_) => Entry {
                hash,
                by: None,
                n: None,
                mark: None,
                is_for_all: false,
            },
            Brought::Result { to, n, .. } => Entry {
                hash,
                by: *to,
                n: Some(*n),
                mark: None,
                is_for_all: false,
            },
        }
    }
}
