//! One room, as one socket sees it.

use std::time::Duration;

use outlast_broker::{Answer, Outcome, OutcomeBody};
use outlast_protocol::{Payload, Pos, RoomName, ServerFrame, SnapshotReason};
use tokio::time::Instant;

use super::asked::Asked;
use crate::{
    hub::{Cursor, Pulled, Seat},
    room_gate::RoomGate,
    telemetry::{self, CatchingUp},
    wire::Wire,
};

/// One room, as one socket sees it.
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) gate: RoomGate,
    /// The place in the room's feed; there is one whenever the session may be in the room.
    pub(crate) seat: Option<Seat>,
    /// Whether the session's record may hold the room.
    pub(crate) recorded: bool,
    pub(crate) asked: Asked,
    pub(crate) stand: Stand,
}

/// Where the session stands in a room.
pub(crate) enum Stand {
    /// It is not in it, as far as is known.
    Out,
    /// It is a member, and is given the log.
    In(Follow),
    /// It is a member, and its place in the log is gone: the room has to show it anew (R1, R4).
    Lost(Lost),
}

/// A member that is given the log.
pub(crate) struct Follow {
    member: u32,
    cursor: Cursor,
    /// The signals that it was given.
    signals: u64,
    /// Catching up is over behind this `off`, and then said to be.
    live: Option<(u64, CatchingUp)>,
    /// It waits for what is read of the log.
    behind: bool,
    /// An outcome that is told when it was given everything up to that.
    due: Option<Due>,
}

/// The outcome of a member's own leave or join, behind the outcomes of its acts, which stand in the log.
enum Due {
    Left { n: u64, off: u64, reason: String },
    Joined(Joined),
}

/// What a room answers a join.
struct Joined {
    n: u64,
    applied: u64,
    member: u32,
    pos: Pos,
    state: Payload,
}

impl Due {
    fn off(&self) -> u64 {
        match self {
            Due::Left { off, .. } => *off,
            Due::Joined(joined) => joined.pos.off,
        }
    }
}

/// A member that waits for what the room shows.
pub(crate) struct Lost {
    reason: SnapshotReason,
    /// When the room was asked.
    pub(crate) asked_at: Option<Instant>,
    _counted: CatchingUp,
}

/// What is left to do after a room was given its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing, until it is woken.
    Done,
    /// More, as soon as the client has read this.
    More,
}

/// How much one socket is given before it is another's turn (D4).
pub(crate) const TURN_BYTES: usize = 64 * 1024;
/// How long a room may take to show itself before it is asked again.
const VIEW_PATIENCE: Duration = Duration::from_secs(3);

impl Room {
    pub(crate) fn new(name: RoomName, gate: RoomGate) -> Self {
        Room {
            name,
            gate,
            seat: None,
            recorded: false,
            asked: Asked::default(),
            stand: Stand::Out,
        }
    }

    /// Whether the session is out of the room for good, and both its record and the hub may know.
    pub(crate) fn is_over(&self) -> bool {
        let out = matches!(self.stand, Stand::Out) && self.asked.is_empty();
        out && (self.recorded || self.seat.is_some())
    }

    /// Whether nothing would be lost if it were forgotten, but where its numbers stand.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stand, Stand::Out)
            && self.asked.is_empty()
            && !self.recorded
            && self.seat.is_none()
    }

    /// Whether an outcome has come that has to wait for entries before it.
    pub(crate) fn owes(&self) -> bool {
        matches!(&self.stand, Stand::In(follow) if follow.due.is_some())
    }

    /// Whether an act's outcome will stand in the log.
    pub(crate) fn is_member(&self) -> bool {
        matches!(self.stand, Stand::In(_) | Stand::Lost(_))
    }

    /// Until when the room has time to show itself, if it was asked to.
    pub(crate) fn shows_until(&self) -> Option<Instant> {
        match &self.stand {
            Stand::Lost(lost) => lost.asked_at.map(|at| at + VIEW_PATIENCE),
            Stand::Out | Stand::In(_) => None,
        }
    }

    /// The session is a member that has read the log up to the cursor, and catches up from there.
    pub(crate) fn replay(&mut self, member: u32, cursor: Cursor, until: Pos) {
        self.follow(member, cursor, Some(until.off));
    }

    /// The session is a member that has to be shown the room anew.
    pub(crate) fn lose(&mut self, reason: SnapshotReason, asked_at: Option<Instant>) {
        metrics::counter!(telemetry::SNAPSHOTS, "reason" => name(reason)).increment(1);
        self.stand = Stand::Lost(Lost {
            reason,
            asked_at,
            _counted: CatchingUp::begin(),
        });
    }

    /// The room answers; what the client is told of that.
    pub(crate) fn hear(&mut self, answer: Answer, now: Instant) -> Option<ServerFrame> {
        let room = self.name.clone();
        match answer {
            Answer::Joined {
                n,
                applied,
                member,
                pos,
                state,
            } => {
                let joined = Joined {
                    n,
                    applied,
                    member,
                    pos,
                    state,
                };
                self.joined(joined, now)
            }
            Answer::Outcome(outcome) => self.settle(outcome),
            // The socket has been told to go.
            Answer::Superseded { .. } => None,
            Answer::Gap { expect } => {
                self.gate.gap(expect);
                self.asked.drop_from(expect);
                Some(ServerFrame::Gap { room, expect })
            }
            Answer::NotTaken {
                n,
                code,
                message,
                retry_ms,
            } => {
                match retry_ms {
                    Some(_) if !self.gate.refuse(n) => return None,
                    Some(_) => {}
                    None => self.gate.free(n),
                }
                self.asked.drop_from(n);
                Some(ServerFrame::Error {
                    code,
                    message,
                    room: Some(room.to_string()),
                    n: Some(n),
                    retry_ms,
                })
            }
            Answer::Seated {
                member,
                n,
                pos,
                state,
                ..
            } => {
                let Stand::Lost(Lost { reason, .. }) = self.stand else {
                    return None;
                };
                let Some(member) = member else {
                    self.stand = Stand::Out;
                    return Some(ServerFrame::Left {
                        room,
                        n: None,
                        reason: "lost".to_owned(),
                    });
                };
                Some(self.show(member, n, pos, state?, reason))
            }
        }
    }

    fn joined(&mut self, joined: Joined, now: Instant) -> Option<ServerFrame> {
        let n = joined.n;
        if !self.asked.contains(n) {
            return None;
        }
        match &mut self.stand {
            Stand::In(follow) if follow.cursor.pos.off > joined.pos.off => {
                // The log has overtaken the answer.
                self.asked.hurry(now);
                None
            }
            Stand::In(follow) => {
                follow.due = Some(Due::Joined(joined));
                None
            }
            Stand::Out if joined.applied == n && !self.asked.owes_before(n) => {
                self.gate.reach(n);
                self.asked.settle_to(n);
                self.asked.settle_acts();
                self.follow(joined.member, Cursor::new(joined.pos), None);
                Some(joined.frame(self.name.clone()))
            }
            // Other outcomes were lost, or stand in the log before what the room shows (R5).
            Stand::Out => Some(self.rejoin(joined, SnapshotReason::Requested)),
            Stand::Lost(Lost { reason, .. }) => {
                let reason = *reason;
                Some(self.rejoin(joined, reason))
            }
        }
    }

    fn rejoin(&mut self, joined: Joined, reason: SnapshotReason) -> ServerFrame {
        let Joined {
            applied,
            member,
            pos,
            state,
            ..
        } = joined;
        self.asked.settle_acts();
        self.show(member, applied, pos, state, reason)
    }

    /// Shows the room anew to a member (R5).
    fn show(
        &mut self,
        member: u32,
        n: u64,
        pos: Pos,
        state: Payload,
        reason: SnapshotReason,
    ) -> ServerFrame {
        if reason == SnapshotReason::Diverged {
            self.gate.expect(n + 1);
        } else {
            self.gate.reach(n);
        }
        self.asked.settle_to(n);
        self.follow(member, Cursor::new(pos), Some(pos.off));
        ServerFrame::Snapshot {
            room: self.name.clone(),
            pos,
            state,
            member,
            n,
            reason,
        }
    }

    /// Writes what the log has for this member, until the socket's turn is over.
    pub(crate) fn pull(&mut self, wire: &mut Wire) -> Turn {
        let (Stand::In(follow), Some(seat)) = (&mut self.stand, &self.seat) else {
            return Turn::Done;
        };
        let (codec, member, gate) = (wire.codec(), follow.member, &mut self.gate);
        let end = follow.due.as_ref().map_or(u64::MAX, Due::off);
        let mut sent = 0;
        let pulled = seat.pull(&mut follow.cursor, |item| {
            if wire.unsent() >= TURN_BYTES || item.entry.pos.off > end {
                return false;
            }
            if item.entry.body.is_for(member) {
                if let Some(n) = item.entry.body.settles(member) {
                    gate.tell(n);
                }
                wire.send_encoded(item.frame(&self.name, codec));
                sent += 1;
            }
            true
        });
        if sent > 0 {
            metrics::counter!(telemetry::ENTRIES).increment(sent);
            if follow.live.is_some() {
                metrics::counter!(telemetry::REPLAYED).increment(sent);
            }
        }
        let lost = match pulled {
            Pulled::Lost(reason) => Some(reason),
            Pulled::End | Pulled::More | Pulled::Wait => None,
        };
        if lost.is_some() || follow.cursor.pos.off >= end {
            match follow.due.take() {
                Some(Due::Left { n, reason, .. }) => {
                    self.stand = Stand::Out;
                    wire.send(&ServerFrame::Left {
                        room: self.name.clone(),
                        n: Some(n),
                        reason,
                    });
                    return Turn::Done;
                }
                Some(Due::Joined(joined)) => {
                    let frame = match lost {
                        Some(reason) => self.rejoin(joined, reason),
                        None if self.asked.owes_before(joined.n) => {
                            self.rejoin(joined, SnapshotReason::Requested)
                        }
                        None => {
                            self.gate.reach(joined.n);
                            self.asked.settle_to(joined.n);
                            joined.frame(self.name.clone())
                        }
                    };
                    wire.send(&frame);
                    return Turn::More;
                }
                None => {}
            }
        }
        match pulled {
            Pulled::End => {
                follow.behind = false;
                if let Some((off, _)) = &follow.live
                    && follow.cursor.pos.off >= *off
                {
                    follow.live = None;
                    let pos = follow.cursor.pos;
                    wire.send(&ServerFrame::Live {
                        room: self.name.clone(),
                        pos,
                    });
                }
                if follow.live.is_none() {
                    seat.signals(&mut follow.signals, codec, |frame| wire.send_encoded(frame));
                }
                Turn::Done
            }
            Pulled::More => Turn::More,
            Pulled::Wait => {
                if follow.live.is_none() && !std::mem::replace(&mut follow.behind, true) {
                    metrics::counter!(telemetry::FELL_BEHIND).increment(1);
                }
                Turn::Done
            }
            Pulled::Lost(reason) => {
                self.lose(reason, None);
                Turn::Done
            }
        }
    }

    fn settle(&mut self, outcome: Outcome) -> Option<ServerFrame> {
        let Outcome { n, pos, body } = outcome;
        if !self.asked.contains(n) {
            return None;
        }
        self.asked.settle(n);
        self.gate.reach(n);
        let room = self.name.clone();
        let (ok, data, code, message) = match body {
            OutcomeBody::Left { reason } => {
                if let Stand::In(follow) = &mut self.stand {
                    let off = pos.off;
                    follow.due = Some(Due::Left { n, off, reason });
                    return None;
                }
                self.stand = Stand::Out;
                return Some(ServerFrame::Left {
                    room,
                    n: Some(n),
                    reason,
                });
            }
            OutcomeBody::Refused { code, message } => (false, None, Some(code), Some(message)),
            OutcomeBody::Done { data } => (true, data, None, None),
        };
        Some(ServerFrame::Result {
            room,
            n,
            pos,
            ok,
            data,
            code,
            message,
        })
    }

    fn follow(&mut self, member: u32, cursor: Cursor, live: Option<u64>) {
        let mut signals = 0;
        if let Some(seat) = &self.seat {
            seat.set_member(member);
            signals = seat.signals_end();
        }
        self.stand = Stand::In(Follow {
            member,
            cursor,
            signals,
            live: live.map(|off| (off, CatchingUp::begin())),
            behind: false,
            due: None,
        });
    }
}

impl Joined {
    fn frame(self, room: RoomName) -> ServerFrame {
        let Joined {
            n,
            member,
            pos,
            state,
            ..
        } = self;
        ServerFrame::Joined {
            room,
            n,
            member,
            pos,
            state,
        }
    }
}

fn name(reason: SnapshotReason) -> &'static str {
    match reason {
        SnapshotReason::Trimmed => "trimmed",
        SnapshotReason::Diverged => "diverged",
        SnapshotReason::Requested => "requested",
        SnapshotReason::Shorter => "shorter",
    }
}
