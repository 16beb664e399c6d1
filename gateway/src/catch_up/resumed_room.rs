//! One room of a session that resumes: where the session stands, given what the room said and where the client's
//! position lies in the log. Pure.

use outlast_protocol::{CatchUp, Pos, RoomName, SnapshotReason};
use outlast_store::{Answer, SeatRead};
use tokio::time::Instant;

use crate::{
    hub::{Cursor, Pulled},
    socket::room::{Room, Settled},
};

/// One of the session's rooms.
pub(super) struct ResumedRoom {
    pub(super) name: RoomName,
    pub(super) slot: u8,
    /// Up to where the client has read the log, if it knows.
    pub(super) pos: Option<Pos>,
    /// True if the room shows itself along with its answer.
    pub(super) view: bool,
    /// True if the store reaches the room, as far as was tried.
    pub(super) reached: bool,
    pub(super) seat: Option<Seat>,
    /// True if the room stands still, as its worker said (W10).
    stands_still: bool,
    lookup: Option<Lookup>,
    /// Why the client cannot go on from its position, as far as the log has told.
    gone: Option<SnapshotReason>,
}

/// Where the session stands, as the room answered, or as its last commit says.
pub(super) struct Seat {
    member: Option<u32>,
    n: u64,
    pos: Pos,
    joined: Option<Pos>,
    /// Up to where its actions are settled, where that is known.
    settled: Option<Settled>,
    /// What the room said itself, if it was asked.
    pub(super) answer: Option<Answer>,
}

/// Where the client's position lies in the room's log.
enum Lookup {
    /// What follows can be replayed.
    Found(Cursor),
    Lost(SnapshotReason),
}

impl ResumedRoom {
    pub(super) fn new(name: RoomName, slot: u8, pos: Option<Pos>, view: bool) -> Self {
        ResumedRoom {
            name,
            slot,
            pos,
            view,
            reached: false,
            seat: None,
            stands_still: false,
            lookup: None,
            gone: None,
        }
    }

    /// Takes in what the room answers, which counts more than what was seen of it before.
    pub(super) fn hear(&mut self, answer: Answer, generation: u64) {
        self.stands_still |= matches!(answer, Answer::NotTaken { n: 0, .. });
        if let Some(seat) = Seat::answered(answer, generation) {
            self.seat = Some(seat);
        }
    }

    /// True if the room's answer may still come in time.
    pub(super) fn is_awaited(&self) -> bool {
        self.reached && self.seat.is_none() && !self.stands_still
    }

    /// The position is looked up, anew if it was before.
    pub(super) fn begin_lookup(&mut self) -> Option<Cursor> {
        self.lookup = None;
        self.pos.map(Cursor::new)
    }

    /// Looks the position up, with `check`, which is told where the log ended. False if it has to be tried again.
    pub(super) fn look_up(
        &mut self,
        cursor: &mut Cursor,
        check: impl FnOnce(&mut Cursor, Pos) -> Pulled,
    ) -> bool {
        let seat = self.seat.as_ref();
        let Some(seat) = seat.filter(|found| found.member.is_some()) else {
            return true;
        };
        if self.lookup.is_some() {
            return true;
        }
        let pulled = check(cursor, seat.pos);
        // A state from before the newest join is another visit's.
        let is_of_another_visit = seat
            .joined
            .is_some_and(|joined| cursor.pos.off < joined.off);
        self.lookup = match pulled {
            _ if is_of_another_visit => Some(Lookup::Lost(SnapshotReason::Trimmed)),
            Pulled::End | Pulled::More => Some(Lookup::Found(*cursor)),
            Pulled::Lost(reason) => Some(Lookup::Lost(reason)),
            Pulled::Wait => None,
        };
        self.lookup.is_some()
    }

    /// True if what follows the client's position can be replayed.
    pub(super) fn is_found(&self) -> bool {
        matches!(self.lookup, Some(Lookup::Found(_)))
    }

    /// The room has to answer where the session stands.
    pub(super) fn has_to_answer(&mut self) {
        self.seat = None;
        if let Some(Lookup::Lost(reason)) = self.lookup {
            self.gone = Some(reason);
        }
    }

    /// Puts the session into the room as it stands there.
    pub(super) fn restore(&self, room: &mut Room, now: Instant) -> CatchUp {
        let seat = self.seat.as_ref().filter(|_| self.reached);
        let Some(seat) = seat else {
            self.leave_open(room, now);
            return CatchUp::Snapshot;
        };
        let Some(member) = seat.member else {
            return CatchUp::Gone;
        };
        room.sequencer.applied(seat.n);
        match self.lookup {
            Some(Lookup::Found(cursor)) => {
                room.replay(member, cursor, seat.pos, seat.settled);
                return CatchUp::Replay;
            }
            Some(Lookup::Lost(reason)) => room.lose(reason, None),
            None => {
                let shows = self.view && seat.answer.is_some();
                room.lose(SnapshotReason::Requested, shows.then_some(now));
            }
        }
        CatchUp::Snapshot
    }

    /// The room will answer, or has to be told of this socket first.
    fn leave_open(&self, room: &mut Room, now: Instant) {
        let reason = self.gone.unwrap_or(SnapshotReason::Requested);
        let shows = self.view && self.reached;
        room.ask_for(reason, self.pos, shows.then_some(now));
        if !self.reached {
            room.asked.awaits_no_answer();
            room.unreached(now);
        }
    }
}

impl Seat {
    /// The seat as of the room's last commit, unless a newer socket has it.
    pub(super) fn committed(SeatRead { seat, last }: SeatRead, generation: u64) -> Option<Self> {
        let stays = seat.joined.is_some() && seat.generation <= generation;
        stays.then_some(Seat {
            member: seat.member,
            n: seat.n,
            pos: last,
            joined: seat.joined,
            settled: seat.settled_off.map(|off| Settled { n: seat.n, off }),
            answer: None,
        })
    }

    fn answered(answer: Answer, asked: u64) -> Option<Self> {
        match answer {
            Answer::Seated {
                generation,
                member,
                n,
                pos,
                joined,
                ..
            } if generation == asked => Some(Seat {
                member,
                n,
                pos,
                joined,
                settled: None,
                answer: Some(answer),
            }),
            Answer::Seated { .. }
            | Answer::Joined { .. }
            | Answer::Outcome(_)
            | Answer::Gap { .. }
            | Answer::NotTaken { .. }
            | Answer::Superseded { .. } => None,
        }
    }
}
