//! One room as its client sees it: what is not settled yet, and where the client stands.

use std::{collections::VecDeque, time::Instant};

use outlast_protocol::{CatchUp, ClientFrame, Member, Pos, RoomName, ServerFrame, SnapshotReason};

use crate::record::{ActionId, Ask, Outcome, Seen};

/// A room that the client has to do with.
#[derive(Debug)]
pub(super) struct Room {
    name: RoomName,
    /// The number of the next action.
    next_n: u64,
    /// Actions without an outcome, by rising number.
    pending: VecDeque<Pending>,
    /// The client's member number and how far it has read, while it is a member.
    seat: Option<Seat>,
    /// Nothing is sent before then: the room asked for a pause (A5).
    pause_until: Option<Instant>,
    /// `resumed` has announced a snapshot that has not come yet.
    snapshot_due: bool,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    member: Member,
    pos: Pos,
    /// Up to where another socket has delivered what this one delivers, too.
    overlap_off: u64,
}

#[derive(Debug)]
struct Pending {
    id: ActionId,
    n: u64,
    ask: Ask,
    /// The number that it was sent with on this socket.
    sent_n: Option<u64>,
}

impl Room {
    pub(super) fn new(name: RoomName) -> Self {
        Room {
            name,
            next_n: 1,
            pending: VecDeque::new(),
            seat: None,
            pause_until: None,
            snapshot_due: false,
        }
    }

    /// The position that `resume` names for this room; `None` when it does not name the room. A join without an outcome
    /// takes a snapshot (R1): it has no entry that a replay could bring.
    pub(super) fn claim(&self) -> Option<Option<Pos>> {
        let concerned = self.seat.is_some() || !self.pending.is_empty();
        let joins = |action: &Pending| matches!(action.ask, Ask::Join(_));
        let seat = self.seat.filter(|_| !self.pending.iter().any(joins));
        concerned.then(|| seat.map(|seat| seat.pos))
    }

    pub(super) fn is_member(&self) -> bool {
        self.seat.is_some()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.pause_until
    }

    /// Takes an action and gives it its number.
    pub(super) fn ask(&mut self, id: ActionId, ask: Ask) -> Seen {
        let n = self.next_n;
        self.next_n += 1;
        self.pending.push_back(Pending {
            id,
            n,
            ask: ask.clone(),
            sent_n: None,
        });
        let room = self.name.clone();
        Seen::Asked { id, room, n, ask }
    }

    /// A new socket: everything that is pending is to be sent on it (A3).
    pub(super) fn forget_sent(&mut self) {
        self.pause_until = None;
        self.snapshot_due = false;
        self.pending
            .iter_mut()
            .for_each(|action| action.sent_n = None);
    }

    /// The frames to be sent now.
    pub(super) fn flush(&mut self, now: Instant) -> Vec<ClientFrame> {
        if self.pause_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        self.pause_until = None;
        // An action that is under way with a number that it no longer bears will be answered with an
        // error or a gap (A5); until then a new one with that number could not be told from it.
        if self
            .pending
            .iter()
            .any(|action| action.sent_n.is_some_and(|sent| sent != action.n))
        {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for action in self
            .pending
            .iter_mut()
            .filter(|action| action.sent_n.is_none())
        {
            action.sent_n = Some(action.n);
            let (room, n) = (self.name.clone(), action.n);
            frames.push(match action.ask.clone() {
                Ask::Join(data) => ClientFrame::Join { room, n, data },
                Ask::Act(data) => ClientFrame::Act { room, n, data },
                Ask::Leave => ClientFrame::Leave { room, n },
            });
        }
        frames
    }

    /// A frame about this room came.
    pub(super) fn heard(&mut self, frame: &ServerFrame, seen: &mut Vec<Seen>) {
        if let ServerFrame::Joined { n, member, pos, .. } = frame {
            self.joined(*n, *member, *pos, seen);
        } else if let ServerFrame::Event { by, n, pos, .. } = frame {
            self.event(*by, *n, *pos, seen);
        } else if let ServerFrame::Notice { pos, .. } | ServerFrame::Live { pos, .. } = frame {
            self.passed(*pos);
        } else if let ServerFrame::Result {
            n, pos, ok, code, ..
        } = frame
        {
            let refused = (!ok).then(|| code.clone().unwrap_or_default());
            self.result(*n, *pos, refused, seen);
        } else if let ServerFrame::Snapshot {
            pos,
            member,
            n,
            reason,
            ..
        } = frame
        {
            self.snapshot(*pos, *member, *n, *reason, seen);
        } else if let ServerFrame::Left { n, .. } = frame {
            self.left(*n, seen);
        } else if let ServerFrame::Gap { expect, .. } = frame {
            self.gap(*expect, seen);
        }
    }

    /// R1: what `resumed` says of this room.
    pub(super) fn resumed(&mut self, catch_up: CatchUp, seen: &mut Vec<Seen>) {
        match catch_up {
            CatchUp::Replay => {}
            CatchUp::Snapshot => self.snapshot_due = true,
            // A member that is one no longer has left: the leave was applied, and what came before it.
            // Who was none may still be on the way in.
            CatchUp::Gone => {
                let leave = self.pending.iter().find(|action| action.ask == Ask::Leave);
                if let Some(n) = self.seat.take().and(leave).map(|leave| leave.n) {
                    self.settle(n, Outcome::Left, seen);
                    self.settle_all(Outcome::Unknown, seen, |action| action.n < n);
                }
            }
        }
    }

    fn joined(&mut self, n: u64, member: Member, pos: Pos, seen: &mut Vec<Seen>) {
        self.seat = Some(Seat {
            member,
            pos: self.seat.map_or(pos, |seat| seat.pos.max(pos)),
            overlap_off: self.seat.map_or(0, |seat| seat.overlap_off),
        });
        self.settle(n, Outcome::Joined, seen);
        // The room has applied everything before the join, and `pos` lies after what came of it.
        self.settle_all(Outcome::Unknown, seen, |action| action.n < n);
    }

    fn left(&mut self, n: Option<u64>, seen: &mut Vec<Seen>) {
        self.seat = None;
        if let Some(n) = n {
            self.settle(n, Outcome::Left, seen);
            self.settle_all(Outcome::Unknown, seen, |action| action.n < n);
            return;
        }
        // A9: what stands before a join that is still to come is over.
        let joins = |action: &&Pending| matches!(action.ask, Ask::Join(_));
        let join = self.pending.iter().find(joins);
        let before = join.map_or(u64::MAX, |join| join.n);
        let leaves = |action: &Pending| action.n < before && action.ask == Ask::Leave;
        self.settle_all(Outcome::Left, seen, leaves);
        self.settle_all(Outcome::Unknown, seen, |action| action.n < before);
    }

    /// An entry or `live` came: the client stands there now (E1).
    fn passed(&mut self, pos: Pos) {
        if let Some(seat) = &mut self.seat {
            seat.pos = if pos.off > seat.pos.off {
                pos
            } else {
                seat.pos
            };
        }
    }

    /// Another socket begins to deliver, from a position that may lie before this one.
    pub(super) fn overlap(&mut self) {
        if let Some(seat) = &mut self.seat {
            seat.overlap_off = seat.pos.off;
        }
    }

    /// The entry has come on another socket before.
    pub(super) fn has_passed(&self, pos: Pos) -> bool {
        self.seat.is_some_and(|seat| pos.off <= seat.overlap_off)
    }

    /// The state is older than what has come on another socket before.
    pub(super) fn has_passed_state(&mut self, pos: Pos) -> bool {
        let passed = self.has_passed(pos);
        self.snapshot_due &= !passed;
        passed
    }

    fn event(&mut self, by: Option<Member>, n: Option<u64>, pos: Pos, seen: &mut Vec<Seen>) {
        self.passed(pos);
        let mine = self.seat.is_some_and(|seat| by == Some(seat.member));
        if let Some(n) = n.filter(|_| mine) {
            self.settle(n, Outcome::Event(pos), seen);
        }
    }

    /// A2: one `ok` stands for every act up to its number that has no outcome.
    fn result(&mut self, n: u64, pos: Pos, refused: Option<String>, seen: &mut Vec<Seen>) {
        self.passed(pos);
        match refused {
            Some(code) => self.settle(n, Outcome::Refused { pos, code }, seen),
            None => self.settle_all(Outcome::Taken(pos), seen, |action| {
                action.n <= n && matches!(action.ask, Ask::Act(_))
            }),
        }
    }

    /// R5: what the snapshot covers is settled, what is above it is sent again.
    fn snapshot(
        &mut self,
        pos: Pos,
        member: Member,
        n: u64,
        reason: SnapshotReason,
        seen: &mut Vec<Seen>,
    ) {
        self.seat = Some(Seat {
            member,
            pos,
            overlap_off: 0,
        });
        self.settle_all(Outcome::Unknown, seen, |action| action.n <= n);
        let announced = std::mem::take(&mut self.snapshot_due);
        if reason == SnapshotReason::Diverged {
            self.renumber_from(n + 1, seen);
        } else {
            self.next_n = self.next_n.max(n + 1);
        }
        // What `resume` announced came on this socket, where everything has just been sent.
        if !announced || reason == SnapshotReason::Diverged {
            self.pending
                .iter_mut()
                .for_each(|action| action.sent_n = None);
        }
    }

    /// A1: the room waits for an earlier number.
    fn gap(&mut self, expect: u64, seen: &mut Vec<Seen>) {
        let Some(first) = self.pending.front() else {
            // Everything has its outcome. Who is out was forgotten; inside, that is late news (A10).
            if self.seat.is_none() {
                self.next_n = expect;
            }
            return;
        };
        if expect < first.n {
            // The store has lost what was settled, and no entry of the log with it: the room has forgotten
            // a session that is not in it, or a join of one that was.
            self.renumber_from(expect, seen);
        }
        for action in self.pending.iter_mut().filter(|action| action.n >= expect) {
            action.sent_n = None;
        }
    }

    /// A5: the action was not taken.
    pub(super) fn not_taken(
        &mut self,
        n: u64,
        code: String,
        retry_at: Option<Instant>,
        seen: &mut Vec<Seen>,
    ) {
        let Some(at) = self
            .pending
            .iter()
            .position(|action| action.sent_n == Some(n))
        else {
            return;
        };
        if retry_at.is_some() {
            self.pause_until = self.pause_until.max(retry_at);
            self.pending
                .iter_mut()
                .skip(at)
                .for_each(|action| action.sent_n = None);
            return;
        }
        if let Some(action) = self.pending.remove(at) {
            seen.push(Seen::Settled {
                id: action.id,
                outcome: Outcome::NotTaken { code },
            });
        }
        for action in self.pending.iter_mut().skip(at) {
            action.n -= 1;
            seen.push(Seen::Renumbered {
                id: action.id,
                n: action.n,
            });
        }
        self.next_n -= 1;
    }

    /// The session is over, and with it everything here.
    pub(super) fn end(&mut self, seen: &mut Vec<Seen>) {
        self.seat = None;
        self.settle_all(Outcome::Lost, seen, |_| true);
    }

    fn settle(&mut self, n: u64, outcome: Outcome, seen: &mut Vec<Seen>) {
        if let Some(at) = self.pending.iter().position(|action| action.n == n)
            && let Some(action) = self.pending.remove(at)
        {
            seen.push(Seen::Settled {
                id: action.id,
                outcome,
            });
        }
    }

    fn settle_all(
        &mut self,
        outcome: Outcome,
        seen: &mut Vec<Seen>,
        settled: impl Fn(&Pending) -> bool,
    ) {
        self.pending.retain(|action| {
            let done = settled(action);
            if done {
                seen.push(Seen::Settled {
                    id: action.id,
                    outcome: outcome.clone(),
                });
            }
            !done
        });
    }

    fn renumber_from(&mut self, first: u64, seen: &mut Vec<Seen>) {
        self.next_n = first;
        for action in &mut self.pending {
            action.n = self.next_n;
            self.next_n += 1;
            seen.push(Seen::Renumbered {
                id: action.id,
                n: action.n,
            });
        }
    }
}
