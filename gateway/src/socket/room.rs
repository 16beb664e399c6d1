//! One room, as one socket sees it.

use std::time::Duration;

use outlast_protocol::{Payload, Pos, RoomName, ServerFrame, SnapshotReason};
use outlast_store::Request;
use tokio::time::Instant;

mod answers;
mod deliver;
mod held;
mod maintenance;
mod shortcut;

pub(crate) use self::{deliver::Turn, maintenance::Word, shortcut::Settled};
use self::{held::Held, shortcut::Shortcut};
use super::{patience::Patience, pending_actions::PendingActions};
use crate::{
    hub::{Cursor, LogReader, Subscription},
    sequencer::Sequencer,
    telemetry::{self, CatchingUp},
};

/// One room, as one socket sees it.
pub(crate) struct Room<S = Subscription> {
    pub(crate) name: RoomName,
    pub(crate) sequencer: Sequencer,
    /// The place in the room's feed; there is one whenever the session may be in the room.
    pub(crate) seat: Option<S>,
    /// True if the session's record may hold the room.
    pub(crate) recorded: bool,
    pub(crate) asked: PendingActions,
    pub(crate) membership: Membership,
    /// The position up to which the client was given the log before it left, or lost its place: never again what lies
    /// before (E1).
    delivered: Option<Cursor>,
    /// When the client is to be reminded of what is awaited: it has sent higher numbers.
    remind_at: Option<Instant>,
    /// True if the room is asked for what to remind the client of.
    reminds: bool,
    /// Snapshots in a row after which the log did not go on.
    failed_snapshots: u32,
    held: Held,
    /// The store does not reach the room, and is tried again.
    unreached: Option<Patience>,
}

/// Where the session stands in a room.
pub(crate) enum Membership {
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
    /// Catching up is over after this `off`, and then said to be.
    live: Option<(u64, CatchingUp)>,
    /// The room may be shown instead (R3).
    shortcut: Option<Shortcut>,
    /// It waits for what is read of the log.
    lags: bool,
    /// What is told when it was given everything up to that.
    pending: Option<PendingOutcome>,
    /// It stands before its own leave, and is given nothing more until the room has answered (E3).
    at_leave: Option<Patience>,
}

/// What the room says of the member itself, after the outcomes of its acts, which stand in the log.
enum PendingOutcome {
    /// Its leave was taken.
    Left { n: u64, off: u64, reason: String },
    /// It is a member no more, and this socket has not asked for that.
    Lost { off: u64, n: u64 },
    /// Its join was answered.
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

impl PendingOutcome {
    fn off(&self) -> u64 {
        match self {
            PendingOutcome::Left { off, .. } | PendingOutcome::Lost { off, .. } => *off,
            PendingOutcome::Joined(joined) => joined.pos.off,
        }
    }
}

/// A member that waits for what the room shows.
pub(crate) struct Lost {
    reason: SnapshotReason,
    /// True if it is known to be a member.
    seated: bool,
    /// Since when the room was asked, if it was.
    pub(crate) asked: Option<Patience>,
    /// Not before then: it was shown a moment ago, in vain.
    pub(crate) not_before: Option<Instant>,
    _counted: CatchingUp,
}

/// The most that one socket is given before it is another's turn (D4).
pub(crate) const TURN_BYTES: usize = 64 * 1024;
/// Time for a room to show itself before it is asked again, at first.
const VIEW_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before another room may be asked to show itself, too.
const VIEW_TURN: Duration = Duration::from_millis(500);
/// Pause before a room is shown again whose log did not go on from there, at first; then twice as long each
/// time, and after so many times the connection ends.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(50);
const FAILED_SNAPSHOTS_MAX: u32 = 9;

impl<S: LogReader> Room<S> {
    pub(crate) fn new(name: RoomName, sequencer: Sequencer) -> Self {
        Room {
            name,
            sequencer,
            seat: None,
            recorded: false,
            asked: PendingActions::default(),
            membership: Membership::Out,
            delivered: None,
            remind_at: None,
            reminds: false,
            failed_snapshots: 0,
            held: Held::default(),
            unreached: None,
        }
    }

    /// True if the session is out of the room for good, and both its record and the hub may know.
    pub(crate) fn is_over(&self) -> bool {
        let out = matches!(self.membership, Membership::Out) && self.asked.is_empty();
        out && (self.recorded || self.seat.is_some())
    }

    /// True if nothing would be lost if it were forgotten, but where its numbers stand.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.membership, Membership::Out)
            && self.asked.is_empty()
            && !self.recorded
            && self.seat.is_none()
    }

    /// True if an answer that comes now has to wait: for one before it, which waits for entries of the log.
    pub(crate) fn holds(&self) -> bool {
        self.owes() || !self.held.is_empty()
    }

    fn owes(&self) -> bool {
        matches!(&self.membership, Membership::In(follow) if follow.pending.is_some())
    }

    /// About how much memory the answers take that wait for another.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// True if there is something for the client that no entry and no answer will wake it for.
    pub(crate) fn is_ready(&mut self, now: Instant) -> bool {
        let has_waited = self.shortcut_ends().is_some_and(|at| now >= at);
        if has_waited {
            self.gives_up_shortcut();
        }
        has_waited || self.has_held()
    }

    /// True if answers have waited for another, and wait no longer.
    fn has_held(&self) -> bool {
        !self.held.is_empty() && !self.owes()
    }

    /// An action goes to the room.
    pub(crate) fn forward(&mut self, n: u64, request: &Request, now: Instant) {
        // Noted before it is done: the room's answer may overtake the store's.
        self.sequencer.forward(n);
        if self.must_wait(request) {
            self.asked.hold(n, request.clone(), now);
        } else if matches!(request, Request::Act { .. }) && self.logs_acts() {
            self.asked.expect_entry(n, now);
        } else {
            self.asked.ask(n, request.clone(), now);
        }
    }

    /// True if an action has to wait until the room has shown itself. Who has left is not shown a room: what was
    /// promised to be shown comes before the leave (R8).
    pub(crate) fn must_wait(&self, request: &Request) -> bool {
        let leaves = matches!(request, Request::Leave { .. });
        self.asked.holds() || (leaves && matches!(self.membership, Membership::Lost(_)))
    }

    /// True if the outcome of an act that comes now will stand in the log.
    fn logs_acts(&self) -> bool {
        let stays = match &self.membership {
            Membership::Out => false,
            Membership::In(follow) => {
                let goes = matches!(
                    follow.pending,
                    Some(PendingOutcome::Left { .. } | PendingOutcome::Lost { .. })
                );
                !goes && follow.at_leave.is_none()
            }
            Membership::Lost(lost) => lost.seated,
        };
        stays && self.asked.first_leave().is_none()
    }

    /// The session is a member that has read the log up to the cursor, and catches up from there. Where it is known up
    /// to where its actions are settled, it may be shown the room instead (R3).
    pub(crate) fn replay(
        &mut self,
        member: u32,
        cursor: Cursor,
        until: Pos,
        settled: Option<Settled>,
    ) {
        self.follow(member, cursor, Some(until.off));
        if let Membership::In(follow) = &mut self.membership {
            follow.shortcut = settled.map(Shortcut::new);
        }
    }

    /// The session is a member that has to be shown the room anew.
    pub(crate) fn lose(&mut self, reason: SnapshotReason, asked_at: Option<Instant>) {
        metrics::counter!(telemetry::SNAPSHOTS, "reason" => name(reason)).increment(1);
        self.note_delivered();
        if reason == SnapshotReason::Diverged {
            self.delivered = None;
        }
        self.membership = Membership::Lost(Lost {
            reason,
            seated: true,
            asked: asked_at.map(Patience::new),
            not_before: None,
            _counted: CatchingUp::begin(),
        });
    }

    fn note_delivered(&mut self) {
        if let Membership::In(follow) = &self.membership {
            self.delivered = Some(Cursor::new(follow.cursor.pos));
        }
    }

    /// True if the session is a member is not known yet: the room was asked, and shows itself if it is. The client has
    /// read up to `pos`, and where that stands in the log is known as far as `reason` says.
    pub(crate) fn ask_for(
        &mut self,
        reason: SnapshotReason,
        pos: Option<Pos>,
        asked_at: Option<Instant>,
    ) {
        self.delivered = pos.map(Cursor::new);
        self.asked.awaits_answer();
        self.lose(reason, asked_at);
        if let Membership::Lost(lost) = &mut self.membership {
            lost.seated = false;
        }
    }

    /// The room was shown, and its log did not go on from there.
    fn lose_again(&mut self, reason: SnapshotReason, now: Instant) {
        self.lose(reason, None);
        self.failed_snapshots += 1;
        // Once is nothing strange: much may have happened meanwhile.
        if let (Membership::Lost(lost), Some(doublings)) =
            (&mut self.membership, self.failed_snapshots.checked_sub(2))
        {
            lost.not_before =
                Some(now + SNAPSHOT_PAUSE * (1 << doublings.min(FAILED_SNAPSHOTS_MAX)));
        }
    }

    /// The room is listened to from now on.
    pub(crate) fn subscribe(&mut self, seat: S) {
        if let Membership::In(follow) = &mut self.membership {
            seat.set_member(follow.member);
            follow.signals = seat.signals_end();
        }
        self.seat = Some(seat);
        self.unreached = None;
    }

    fn follow(&mut self, member: u32, cursor: Cursor, live: Option<u64>) {
        let mut signals = 0;
        if let Some(seat) = &self.seat {
            seat.set_member(member);
            signals = seat.signals_end();
        }
        self.membership = Membership::In(Follow {
            member,
            cursor,
            signals,
            live: live.map(|off| (off, CatchingUp::begin())),
            shortcut: None,
            lags: false,
            pending: None,
            at_leave: None,
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

#[cfg(test)]
mod tests;
