//! What one client was sent, judged beside the ledger: lost, doubled, out of order, or differing.

use std::{collections::HashMap, sync::Arc};

use outlast_protocol::{CatchUp, Member, Pos, RoomName, ServerFrame, SnapshotReason};
use parking_lot::Mutex;

use super::{
    Ledger, LoggedBody, Verdict, Violation,
    ledger::{Conflict, Entry, Found, RoomLedger},
    seat::{Arrival, Seat},
};
use crate::{ActionId, Ask, Outcome, Seen};

/// Judges one client beside the ledger.
#[derive(Debug)]
pub struct Judge {
    client: usize,
    ledger: Arc<Ledger>,
    rooms: Vec<Room>,
    /// Actions without an outcome.
    open: HashMap<ActionId, Action>,
    /// Actions that the room is not to apply.
    refused: Vec<Action>,
    verdict: Verdict,
}

#[derive(Debug)]
struct Room {
    name: RoomName,
    ledger: Arc<Mutex<RoomLedger>>,
    /// The client's place in the log, while it is a member.
    seat: Option<Seat>,
    /// The member that the client was last.
    member: Option<Member>,
    claim: Claim,
    /// The last action that has an outcome.
    settled_n: u64,
    /// A snapshot is to come, and has not yet.
    is_promised: bool,
}

/// The position that a client asked a room to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It was given no state yet.
    Nothing,
    /// It asked for a snapshot.
    Snapshot,
    /// It has a position.
    From(Pos),
}

#[derive(Debug)]
struct Action {
    room: usize,
    n: u64,
    is_join: bool,
    fingerprint: Option<u64>,
}

impl Judge {
    /// A judge of a client that has this number for those who read the findings.
    pub fn new(client: usize, ledger: Arc<Ledger>) -> Self {
        Judge {
            client,
            ledger,
            rooms: Vec::new(),
            open: HashMap::new(),
            refused: Vec::new(),
            verdict: Verdict::default(),
        }
    }

    /// Takes what happened to the client. Returns the fingerprint of an act whose event came as it should.
    pub fn saw(&mut self, seen: &Seen) -> Option<u64> {
        match seen {
            Seen::Asked { id, room, n, ask } => {
                let fingerprint = match ask {
                    Ask::Act(data) => (self.ledger.fingerprint)(data),
                    Ask::Join(_) | Ask::Leave => None,
                };
                let action = Action {
                    room: self.room(room),
                    n: *n,
                    is_join: matches!(ask, Ask::Join(_)),
                    fingerprint,
                };
                self.open.insert(*id, action);
            }
            Seen::Renumbered { id, n } => {
                if let Some(action) = self.open.get_mut(id) {
                    action.n = *n;
                }
            }
            Seen::Settled { id, outcome } => {
                if let Some(action) = self.open.remove(id) {
                    self.settled(action, outcome);
                }
            }
            Seen::Resuming { rooms } => {
                for index in 0..self.rooms.len() {
                    // After a join whose outcome was lost, a position from before it is worth nothing.
                    let joins = self.joins(index);
                    let room = &mut self.rooms[index];
                    let claimed = rooms.get(&room.name).copied().flatten();
                    let claimed = claimed.filter(|_| !joins);
                    room.claim = claimed.map_or(Claim::Snapshot, Claim::From);
                }
            }
            Seen::Heard(frame) => return self.heard(frame),
            Seen::Garbled(text) => self.find(Violation::Garbled, None, text.clone()),
            Seen::SessionGone => self.session_gone(),
            Seen::Stopped { code } => {
                let what = format!("it was told {code}, and does not come back");
                self.find(Violation::Gone, None, what);
            }
            Seen::Connecting { .. } | Seen::Lost { .. } | Seen::Silenced | Seen::Moved => {}
        }
        None
    }

    /// Returns how far the client has read in a room, and how far anybody has.
    pub fn progress(&mut self, room: &RoomName) -> (u64, u64) {
        let index = self.room(room);
        let room = &self.rooms[index];
        let off = room.seat.as_ref().map_or(0, |seat| seat.off);
        (off, room.ledger.lock().last_off())
    }

    /// Every action has had the time to be settled: what has no outcome is lost.
    pub fn expect_settled(&mut self) {
        if let Some((id, action)) = self.open.iter().next() {
            let (count, n) = (self.open.len(), action.n);
            let what = format!("{count} actions have no outcome, such as {id} (n {n})");
            self.find(Violation::Lost, None, what);
        }
    }

    /// The run is over, and the client had the time to see everything.
    pub fn finish(&mut self) -> Verdict {
        for index in 0..self.rooms.len() {
            let room = &mut self.rooms[index];
            if let Some(seat) = &mut room.seat {
                let ledger = room.ledger.lock();
                seat.skip_to(ledger.last_off() + 1, &ledger);
            }
            self.leave(index);
        }
        for action in std::mem::take(&mut self.refused) {
            let room = self.rooms[action.room].ledger.lock();
            let applied = action.fingerprint.and_then(|act| room.applied_at(act));
            drop(room);
            if let Some(pos) = applied {
                let n = action.n;
                let what = format!("action {n} was not taken, and applied at {pos}");
                self.find(Violation::Doubled, Some(action.room), what);
            }
        }
        self.verdict.actions_open = self.open.len();
        std::mem::take(&mut self.verdict)
    }

    fn heard(&mut self, frame: &ServerFrame) -> Option<u64> {
        match frame {
            ServerFrame::Resumed { rooms, .. } => {
                self.verdict.resumed += 1;
                for (room, catch_up) in rooms {
                    let index = self.room(room);
                    self.rooms[index].is_promised = *catch_up == CatchUp::Snapshot;
                    match catch_up {
                        CatchUp::Replay => self.verdict.replays += 1,
                        CatchUp::Snapshot => {}
                        CatchUp::Gone => self.leave(index),
                    }
                }
            }
            ServerFrame::Joined {
                room, member, pos, ..
            } => {
                let index = self.room(room);
                if self.rooms[index].claim != Claim::Snapshot {
                    self.rooms[index].claim = Claim::From(*pos);
                }
                self.show(index, *member, *pos);
            }
            ServerFrame::Snapshot {
                room,
                member,
                pos,
                n,
                reason,
                ..
            } => {
                let index = self.room(room);
                self.snapshot(index, *reason, *pos, *n);
                self.show(index, *member, *pos);
            }
            ServerFrame::Event { room, pos, .. }
            | ServerFrame::Notice { room, pos, .. }
            | ServerFrame::Result { room, pos, .. } => {
                let index = self.room(room);
                return self.entry(index, *pos, frame);
            }
            ServerFrame::Live { room, pos } => self.live(room, *pos),
            ServerFrame::Left { room, .. } => {
                let index = self.room(room);
                self.leave(index);
            }
            ServerFrame::Welcome { .. }
            | ServerFrame::Signal { .. }
            | ServerFrame::Gap { .. }
            | ServerFrame::Error { .. }
            | ServerFrame::Ping {}
            | ServerFrame::Move { .. }
            | ServerFrame::Busy { .. }
            | ServerFrame::Bye { .. } => {}
        }
        None
    }

    /// Catching up is over: everything up to `pos` has come.
    fn live(&mut self, room: &RoomName, pos: Pos) {
        let index = self.room(room);
        self.told_of(index, pos);
        let Room { seat, ledger, .. } = &mut self.rooms[index];
        if let Some(seat) = seat {
            seat.skip_to(pos.off + 1, &ledger.lock());
        }
    }

    /// A snapshot has a reason that SPEC (R3, R5) or the run explains, and knows of what was settled.
    fn snapshot(&mut self, index: usize, reason: SnapshotReason, pos: Pos, n: u64) {
        self.verdict.saw_snapshot(reason);
        let joins = self.joins(index);
        let room = &mut self.rooms[index];
        let claim = std::mem::replace(&mut room.claim, Claim::From(pos));
        let is_explained = match (reason, claim) {
            // A join whose answer was lost may be answered so (R5), and a room that did not answer in time (R6).
            (SnapshotReason::Requested, Claim::From(_)) => {
                joins || (room.is_promised && self.ledger.excuses.rooms_may_be_slow)
            }
            (SnapshotReason::Requested, Claim::Nothing | Claim::Snapshot) => true,
            // Only who could have been caught up is shown less instead.
            (SnapshotReason::Shorter, Claim::From(from)) => {
                !matches!(room.ledger.lock().find(from), Found::Nothing)
            }
            (SnapshotReason::Shorter, Claim::Nothing | Claim::Snapshot)
            | (SnapshotReason::Trimmed | SnapshotReason::Diverged, _) => false,
        };
        let settled_n = std::mem::replace(&mut room.settled_n, n);
        if reason == SnapshotReason::Diverged {
            room.seat = None;
        }
        if !is_explained && !self.ledger.excuses.snapshots.contains(&reason) {
            let what = format!("{reason:?} at {pos}");
            self.find(Violation::Snapshot, Some(index), what);
        }
        if reason == SnapshotReason::Shorter {
            self.find_left_out(index, n);
        }
        if n < settled_n && reason != SnapshotReason::Diverged {
            let what = format!("it knows of action {n}, but {settled_n} was settled");
            self.find(Violation::Snapshot, Some(index), what);
        }
    }

    /// Checks that what is shown in place of a replay leaves out no outcome of the client's own (R3).
    fn find_left_out(&mut self, index: usize, n: u64) {
        let open = self.open.values();
        let left_out = open.filter(|action| action.room == index && action.n <= n);
        let numbers: Vec<u64> = left_out.map(|action| action.n).collect();
        for number in numbers {
            let what = format!("the outcome of action {number} was left out");
            self.find(Violation::Lost, Some(index), what);
        }
    }

    /// A state of the room: from here on, everything after `pos` is to come.
    fn show(&mut self, index: usize, member: Member, pos: Pos) {
        self.told_of(index, pos);
        let room = &mut self.rooms[index];
        room.is_promised = false;
        room.member = Some(member);
        let seat = room.seat.get_or_insert_with(|| Seat::new(member, pos.off));
        let off = seat.off;
        seat.show(pos.off);
        if pos.off < off {
            let what = format!("a state of {pos} came to a client that stood at {off}");
            self.find(Violation::OutOfOrder, Some(index), what);
        }
    }

    fn entry(&mut self, index: usize, pos: Pos, frame: &ServerFrame) -> Option<u64> {
        let Room {
            seat,
            ledger,
            is_promised,
            ..
        } = &mut self.rooms[index];
        // To who is no member, an outcome comes as an answer and not in the order of the log. Whether somebody is one,
        // a promised snapshot tells.
        if matches!(frame, ServerFrame::Result { .. }) && (seat.is_none() || *is_promised) {
            return None;
        }
        self.verdict.entries_seen += 1;
        let Some(seat) = seat else {
            let what = format!("{pos} came to a client that is no member");
            self.find(Violation::Gone, Some(index), what);
            return None;
        };
        let told = LoggedBody::told(frame, seat.member)?;
        let mut ledger = ledger.lock();
        let noted = ledger.note(pos, told, self.ledger.fingerprint);
        let stood = seat.off;
        let arrival = seat.arrive(pos.off, &ledger);
        drop(ledger);
        let mut act = None;
        match noted {
            Ok(fingerprint) => act = fingerprint,
            Err(conflict) => self.conflict(index, pos, &conflict),
        }
        let (violation, what) = match arrival {
            Arrival::InOrder => return act,
            Arrival::Late => (Violation::OutOfOrder, "came late"),
            Arrival::Covered => (
                Violation::OutOfOrder,
                "is older than the state that was shown",
            ),
            Arrival::Again => (Violation::Doubled, "came twice"),
        };
        let what = format!("{pos} {what}: the client stood at {stood}");
        self.find(violation, Some(index), what);
        None
    }

    fn settled(&mut self, action: Action, outcome: &Outcome) {
        self.verdict.actions_settled += 1;
        let room = &mut self.rooms[action.room];
        if !matches!(outcome, Outcome::NotTaken { .. }) {
            room.settled_n = room.settled_n.max(action.n);
        }
        if let Outcome::Event(pos) | Outcome::Taken(pos) | Outcome::Refused { pos, .. } = outcome {
            let is_so = match room.ledger.lock().find(*pos) {
                Found::Entry(entry) => action.is_settled_by(entry, outcome, room.member),
                Found::Nothing => false,
                Found::Unknown => true,
            };
            if !is_so {
                let n = action.n;
                let what = format!("action {n} has its outcome at {pos}, but not in the log there");
                self.find(Violation::Lost, Some(action.room), what);
            }
        }
        if let Outcome::Refused { .. } | Outcome::NotTaken { .. } = outcome {
            self.verdict.actions_refused += 1;
            self.refused.push(action);
        }
    }

    /// Every position that a client is told stands in the log.
    fn told_of(&mut self, index: usize, pos: Pos) {
        let placed = self.rooms[index].ledger.lock().place(pos);
        if let Err(conflict) = placed {
            self.conflict(index, pos, &conflict);
        }
    }

    fn conflict(&mut self, index: usize, pos: Pos, conflict: &Conflict) {
        let (violation, what) = match conflict {
            Conflict::NotInLog => (
                Violation::Differing,
                format!("{pos} does not stand in the log"),
            ),
            Conflict::Differs => (
                Violation::Differing,
                format!("{pos} is not what the log has there"),
            ),
            Conflict::Again(other) => (
                Violation::Doubled,
                format!("the same action stands at {other} and at {pos}"),
            ),
        };
        self.find(violation, Some(index), what);
    }

    fn leave(&mut self, index: usize) {
        let room = &mut self.rooms[index];
        let Some(seat) = room.seat.take() else {
            return;
        };
        let missed = seat.missed(&room.ledger.lock());
        for off in missed {
            let what = format!("entry {off} never came");
            self.find(Violation::Lost, Some(index), what);
        }
    }

    fn session_gone(&mut self) {
        if !self.ledger.excuses.sessions_may_go {
            self.find(Violation::Gone, None, "the session is gone".into());
        }
        for room in &mut self.rooms {
            (room.seat, room.member) = (None, None);
            (room.claim, room.settled_n) = (Claim::Nothing, 0);
        }
    }

    /// A join of the room has no outcome.
    fn joins(&self, index: usize) -> bool {
        let mut open = self.open.values();
        open.any(|action| action.is_join && action.room == index)
    }

    fn room(&mut self, name: &RoomName) -> usize {
        if let Some(index) = self.rooms.iter().position(|room| room.name == *name) {
            return index;
        }
        self.rooms.push(Room {
            name: name.clone(),
            ledger: self.ledger.room(name),
            seat: None,
            member: None,
            claim: Claim::Nothing,
            settled_n: 0,
            is_promised: false,
        });
        self.rooms.len() - 1
    }

    fn find(&mut self, violation: Violation, room: Option<usize>, what: String) {
        let room = room.map(|index| &self.rooms[index].name);
        self.verdict.find(violation, Some(self.client), room, what);
    }
}

impl Action {
    /// The entry that an outcome names says so, to whoever the client was last.
    fn is_settled_by(&self, entry: &Entry, outcome: &Outcome, member: Option<Member>) -> bool {
        // To who is no member any more, an event is told as a result (A3): who it was in the room it may not know.
        let is_own = |of: Member| member.is_none_or(|member| member == of);
        match (outcome, &entry.body) {
            (Outcome::Event(_), LoggedBody::Event { by, n, .. }) => {
                let is_it = self.fingerprint.is_none() || self.fingerprint == entry.fingerprint;
                is_it && *by == member && *n == Some(self.n)
            }
            (Outcome::Taken(_), LoggedBody::Event { by, n, .. }) => {
                by.is_some_and(is_own) && *n == Some(self.n)
            }
            (Outcome::Taken(_), LoggedBody::Result { to, n, ok }) => {
                *ok && *n >= self.n && is_own(*to)
            }
            (Outcome::Refused { .. }, LoggedBody::Result { n, ok, .. }) => !*ok && *n == self.n,
            _ => false,
        }
    }
}
