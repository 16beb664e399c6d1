//! One room, as one socket sees it.

use std::time::Duration;

use outlast_broker::Request;
use outlast_protocol::{Payload, Pos, RoomName, ServerFrame, SnapshotReason};
use tokio::time::Instant;

mod answers;
mod turn;

pub(crate) use self::turn::Turn;
use super::asked::Asked;
use crate::{
    hub::{Cursor, Seat},
    room_gate::RoomGate,
    telemetry::{self, CatchingUp},
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

    /// An action goes to the room.
    pub(crate) fn forward(&mut self, n: u64, request: &Request, now: Instant) {
        // Noted before it is done: the room's answer may overtake the store's.
        self.gate.forward(n);
        if matches!(request, Request::Act { .. }) && self.logs_acts() {
            self.asked.expect_entry(n, now);
        } else {
            self.asked.ask(n, request.clone(), now);
        }
    }

    /// Whether the outcome of an act that comes now will stand in the log.
    fn logs_acts(&self) -> bool {
        let stays = match &self.stand {
            Stand::Out => false,
            Stand::In(follow) => !matches!(follow.due, Some(Due::Left { .. })),
            Stand::Lost(_) => true,
        };
        stays && !self.asked.leaves()
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
