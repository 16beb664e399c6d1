use std::{collections::HashMap, sync::Arc};

use outlast_protocol::{CatchUp, Member, Pos, RoomName, ServerFrame, SnapshotReason};
use parking_lot::Mutex;

use super::{
    Tally,
    ledger::{Book, Brought, Entry, Ledger, Objection},
};
use crate::{ActionId, Ask, Outcome, Seen, Wrong};

/// Watches one client, and judges what it sees beside the ledger. It holds what [`check`](crate::check())
/// holds, but for what only the store's own log can tell.
#[derive(Debug)]
pub struct Watcher {
    name: String,
    ledger: Arc<Ledger>,
    rooms: Vec<Place>,
    /// Actions without an outcome.
    open: HashMap<ActionId, Open>,
    /// Acts whose event was not known yet when it was told that there is one.
    acknowledged: Vec<Acknowledged>,
    /// Marks of actions that the room is not to apply.
    refused: Vec<(RoomName, u64)>,
    tally: Tally,
}

/// What a client saw that the application would care for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// An act's event, by its mark.
    Event(u64),
}

#[derive(Debug)]
struct Place {
    room: RoomName,
    book: Arc<Mutex<Book>>,
    /// Who the client is, and how far it has read, while it is a member.
    seat: Option<Seat>,
    /// From where it asked to go on when it resumed last.
    asked: Option<Pos>,
    settled_n: u64,
    /// A snapshot is to come, and has not yet.
    is_promised: bool,
}

#[derive(Debug)]
struct Seat {
    member: Member,
    /// Where the client came in.
    floor_off: u64,
    off: u64,
    /// What stands before `off` and did not come; most of it is for others.
    skipped: Vec<u64>,
}

#[derive(Debug)]
struct Acknowledged {
    place: usize,
    member: Option<Member>,
    pos: Pos,
    n: u64,
    mark: Option<u64>,
}

#[derive(Debug)]
struct Open {
    place: usize,
    n: u64,
    is_join: bool,
    mark: Option<u64>,
}

/// A client that jumps further than this has lost enough to be told so.
const SKIPPED_MAX: usize = 10_000;

impl Watcher {
    /// Watches a client, of this name for those who read the findings.
    pub fn new(name: impl Into<String>, ledger: Arc<Ledger>) -> Self {
        Watcher {
            name: name.into(),
            ledger,
            rooms: Vec::new(),
            open: HashMap::new(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Something happened to the client.
    pub fn saw(&mut self, seen: &Seen) -> News {
        match seen {
            Seen::Asked { id, room, n, ask } => {
                let (is_join, mark) = match ask {
                    Ask::Join(_) => (true, None),
                    Ask::Act(data) => (false, self.ledger.mark_of(data)),
                    Ask::Leave => (false, None),
                };
                let open = Open {
                    place: self.place(room),
                    n: *n,
                    is_join,
                    mark,
                };
                self.open.insert(*id, open);
            }
            Seen::Renumbered { id, n } => {
                if let Some(open) = self.open.get_mut(id) {
                    open.n = *n;
                }
            }
            Seen::Settled { id, outcome } => {
                if let Some(open) = self.open.remove(id) {
                    self.settled(&open, outcome);
                }
            }
            Seen::Resuming { rooms } => {
                for (index, place) in self.rooms.iter_mut().enumerate() {
                    // Behind a join whose outcome was lost, a position from before it is worth nothing.
                    let joins = self
                        .open
                        .values()
                        .any(|open| open.is_join && open.place == index);
                    let asked = rooms.get(&place.room).copied().flatten();
                    place.asked = asked.filter(|_| !joins);
                }
            }
            Seen::Heard(frame) => return self.heard(frame),
            Seen::Garbled(text) => self.find(Wrong::Garbled, || text.clone()),
            Seen::SessionGone if !self.ledger.may_diverge() => {
                self.find(Wrong::Gone, || "the session is gone".into());
                self.forget_seats();
            }
            Seen::SessionGone => self.forget_seats(),
            Seen::Stopped { code } => {
                self.find(Wrong::Gone, || {
                    format!("it was told {code}, and does not come back")
                });
            }
            Seen::Connecting { .. } | Seen::Lost { .. } | Seen::Silenced | Seen::Moved => {}
        }
        News::None
    }

    /// What it is judged beside.
    pub fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }

    /// How far the client has read in a room, and how far anybody has.
    pub fn progress(&mut self, room: &RoomName) -> (u64, u64) {
        let place = self.place(room);
        let place = &self.rooms[place];
        let off = place.seat.as_ref().map_or(0, |seat| seat.off);
        (off, place.book.lock().last_off())
    }

    /// The run is over, and the client had the time to see everything.
    pub fn finish(mut self) -> Tally {
        for acknowledged in std::mem::take(&mut self.acknowledged) {
            self.judge_acknowledged(&acknowledged);
        }
        for place in std::mem::take(&mut self.rooms) {
            let Some(mut seat) = place.seat else {
                continue;
            };
            let last = place.book.lock().last_off();
            seat.skip_to(last + 1);
            self.judge_skipped(&place.room, &place.book, &seat);
        }
        for (room, mark) in std::mem::take(&mut self.refused) {
            let applied = self.ledger.book(&room).lock().where_is(mark);
            if let Some(pos) = applied {
                self.find(Wrong::Doubled, || {
                    format!("{room}: {mark:x} was not taken, and applied at {pos}")
                });
            }
        }
        self.tally.actions_open = self.open.len() as u64;
        if let Some((action, open)) = self.open.iter().next() {
            let (action, n) = (*action, open.n);
            let count = self.open.len();
            self.find(Wrong::Lost, || {
                format!("{count} actions have no outcome, such as {action} (n {n})")
            });
        }
        self.tally
    }

    fn heard(&mut self, frame: &ServerFrame) -> News {
        match frame {
            ServerFrame::Resumed { rooms, .. } => {
                self.tally.resumed += 1;
                for (room, how) in rooms {
                    let place = self.place(room);
                    self.rooms[place].is_promised = *how == CatchUp::Snapshot;
                    match how {
                        CatchUp::Replay => self.tally.replays += 1,
                        CatchUp::Snapshot => {}
                        CatchUp::Gone => self.leave(room),
                    }
                }
            }
            ServerFrame::Joined {
                room, member, pos, ..
            } => self.stand(room, *member, *pos),
            ServerFrame::Snapshot {
                room,
                member,
                pos,
                n,
                reason,
                ..
            } => self.snapshot(room, *member, *pos, *n, *reason),
            ServerFrame::Event {
                room,
                pos,
                by,
                n,
                data,
            } => {
                let brought = Brought::Event {
                    by: *by,
                    n: *n,
                    data,
                };
                return self.entry(room, *pos, &brought);
            }
            ServerFrame::Notice { room, pos, data } => {
                self.entry(room, *pos, &Brought::Notice(data));
            }
            ServerFrame::Result {
                room, pos, n, ok, ..
            } => {
                let place = self.place(room);
                let Place {
                    seat, is_promised, ..
                } = &self.rooms[place];
                // To who is no member, an outcome comes as an answer and not in the order of the log. Whether somebody
                // is one, a promised snapshot tells.
                if let Some(seat) = seat.as_ref().filter(|_| !is_promised) {
                    let to = Some(seat.member);
                    self.entry(room, *pos, &Brought::Result { to, n: *n, ok: *ok });
                }
            }
            ServerFrame::Live { room, pos } => {
                self.told_of(room, *pos);
                let place = self.place(room);
                if let Some(seat) = &mut self.rooms[place].seat {
                    seat.skip_to(pos.off + 1);
                }
            }
            ServerFrame::Left { room, .. } => self.leave(room),
            ServerFrame::Welcome { .. }
            | ServerFrame::Signal { .. }
            | ServerFrame::Gap { .. }
            | ServerFrame::Error { .. }
            | ServerFrame::Ping {}
            | ServerFrame::Move { .. }
            | ServerFrame::Busy { .. }
            | ServerFrame::Bye { .. } => {}
        }
        News::None
    }

    fn snapshot(
        &mut self,
        room: &RoomName,
        member: Member,
        pos: Pos,
        n: u64,
        reason: SnapshotReason,
    ) {
        let diverged = reason == SnapshotReason::Diverged;
        let name = match reason {
            SnapshotReason::Trimmed => "trimmed",
            SnapshotReason::Diverged => "diverged",
            SnapshotReason::Requested => "requested",
            SnapshotReason::Shorter => "shorter",
        };
        *self.tally.snapshots.entry(name.into()).or_default() += 1;
        let index = self.place(room);
        // A join whose answer was lost may be answered so (R5).
        let mut open = self.open.values();
        let joins = open.any(|open| open.is_join && open.place == index);
        let place = &mut self.rooms[index];
        let explained = place.asked.is_none()
            || reason == SnapshotReason::Shorter
            || (joins && reason == SnapshotReason::Requested);
        let settled = std::mem::replace(&mut place.settled_n, n);
        if diverged {
            place.seat = None;
        }
        let excused = diverged && self.ledger.may_diverge();
        if !(explained || excused) {
            self.find(Wrong::Snapshot, || format!("{room}: {reason:?} at {pos}"));
        }
        if n < settled && !diverged {
            self.find(Wrong::Snapshot, || {
                format!("{room}: it knows of action {n}, but {settled} was settled")
            });
        }
        self.stand(room, member, pos);
    }

    /// A state of the room: from here on, everything behind `pos` is to come.
    fn stand(&mut self, room: &RoomName, member: Member, pos: Pos) {
        self.told_of(room, pos);
        let index = self.place(room);
        self.rooms[index].is_promised = false;
        match &mut self.rooms[index].seat {
            Some(seat) if pos.off < seat.off => {
                let off = seat.off;
                self.find(Wrong::OutOfOrder, || {
                    format!("{room}: a state of {pos} came to a client that stood at {off}")
                });
            }
            Some(seat) => seat.off = pos.off,
            none => {
                *none = Some(Seat {
                    member,
                    floor_off: pos.off,
                    off: pos.off,
                    skipped: Vec::new(),
                });
            }
        }
    }

    fn entry(&mut self, room: &RoomName, pos: Pos, brought: &Brought<'_>) -> News {
        self.tally.entries += 1;
        let index = self.place(room);
        let place = &mut self.rooms[index];
        let noted = self.ledger.note(&mut place.book.lock(), pos, brought);
        let mut news = News::None;
        match noted {
            Ok(mark) => news = mark.map_or(News::None, News::Event),
            Err(Objection::Differs) => self.differs(room, pos),
            Err(Objection::Again(other)) => self.find(Wrong::Doubled, || {
                format!("{room}: the same action stands at {other} and at {pos}")
            }),
        }
        let Some(seat) = &mut self.rooms[index].seat else {
            self.find(Wrong::Gone, || {
                format!("{room}: {pos} came to a client that is no member")
            });
            return News::None;
        };
        if pos.off > seat.off {
            seat.skip_to(pos.off);
            seat.off = pos.off;
            return news;
        }
        let late = seat.skipped.iter().position(|off| *off == pos.off);
        if let Some(at) = late {
            seat.skipped.swap_remove(at);
        }
        let (stood, floor) = (seat.off, seat.floor_off);
        if late.is_some() || pos.off <= floor {
            self.find(Wrong::OutOfOrder, || {
                format!("{room}: {pos} came to a client that stood at {stood}")
            });
        } else {
            self.find(Wrong::Doubled, || format!("{room}: {pos} came twice"));
        }
        News::None
    }

    fn settled(&mut self, open: &Open, outcome: &Outcome) {
        self.tally.actions_settled += 1;
        let place = &mut self.rooms[open.place];
        let room = place.room.clone();
        if !matches!(outcome, Outcome::NotTaken { .. }) {
            place.settled_n = place.settled_n.max(open.n);
        }
        match outcome {
            Outcome::Event(pos) => {
                let acknowledged = Acknowledged {
                    place: open.place,
                    member: place.seat.as_ref().map(|seat| seat.member),
                    pos: *pos,
                    n: open.n,
                    mark: open.mark,
                };
                let is_known = place.book.lock().knows(*pos);
                if is_known {
                    self.judge_acknowledged(&acknowledged);
                } else {
                    self.acknowledged.push(acknowledged);
                }
            }
            Outcome::Refused { .. } | Outcome::NotTaken { .. } => {
                self.tally.actions_refused += 1;
                self.refused.extend(open.mark.map(|mark| (room, mark)));
            }
            Outcome::Taken(_)
            | Outcome::Joined
            | Outcome::Left
            | Outcome::Unknown
            | Outcome::Lost => {}
        }
    }

    /// What was acknowledged stands where the acknowledgement said.
    fn judge_acknowledged(&mut self, acknowledged: &Acknowledged) {
        let Acknowledged {
            place,
            member,
            pos,
            n,
            mark,
        } = acknowledged;
        let place = &self.rooms[*place];
        let line = place.book.lock().at(pos.off).copied();
        let entry = line
            .filter(|line| line.tag == pos.tag)
            .and_then(|line| line.entry);
        let own = |entry: Entry| entry.by == *member && entry.n == Some(*n) && entry.mark == *mark;
        if !entry.is_some_and(own) {
            let room = place.room.clone();
            self.find(Wrong::Lost, || {
                format!("{room}: action {n} was acknowledged at {pos}, where another stands")
            });
        }
    }

    /// Every position that a client is told stands in the log.
    fn told_of(&mut self, room: &RoomName, pos: Pos) {
        let index = self.place(room);
        let placed = self.ledger.place(&mut self.rooms[index].book.lock(), pos);
        if placed.is_err() {
            self.differs(room, pos);
        }
    }

    fn differs(&mut self, room: &RoomName, pos: Pos) {
        self.find(Wrong::Differing, || {
            format!("{room}: at {pos} another client saw something else")
        });
    }

    fn leave(&mut self, room: &RoomName) {
        let index = self.place(room);
        if let Some(seat) = self.rooms[index].seat.take() {
            let book = self.rooms[index].book.clone();
            self.judge_skipped(room, &book, &seat);
        }
    }

    fn judge_skipped(&mut self, room: &RoomName, book: &Mutex<Book>, seat: &Seat) {
        let book = book.lock();
        for off in &seat.skipped {
            if book.is_missed_by(seat.member, *off) {
                self.find(Wrong::Lost, || format!("{room}: entry {off} never came"));
            }
        }
    }

    fn forget_seats(&mut self) {
        for place in &mut self.rooms {
            (place.seat, place.asked, place.settled_n) = (None, None, 0);
        }
    }

    fn place(&mut self, room: &RoomName) -> usize {
        if let Some(index) = self.rooms.iter().position(|place| place.room == *room) {
            return index;
        }
        self.rooms.push(Place {
            room: room.clone(),
            book: self.ledger.book(room),
            seat: None,
            asked: None,
            settled_n: 0,
            is_promised: false,
        });
        self.rooms.len() - 1
    }

    fn find(&mut self, wrong: Wrong, what: impl FnOnce() -> String) {
        let name = &self.name;
        self.tally.find(wrong, || format!("{name}: {}", what()));
    }
}

impl Seat {
    /// The next that comes stands at `off`: what lies between is for others, or lost.
    fn skip_to(&mut self, off: u64) {
        let room = SKIPPED_MAX.saturating_sub(self.skipped.len());
        self.skipped.extend((self.off + 1..off).take(room));
        self.off = self.off.max(off.saturating_sub(1));
    }
}
