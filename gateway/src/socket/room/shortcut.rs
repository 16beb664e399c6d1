//! A room that is shown in place of its log, where that is shorter (R3).

use std::time::Duration;

use outlast_protocol::{Payload, Pos};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{Membership, Room, TURN_BYTES, VIEW_TURN};
use crate::hub::{LogReader, Pulled};

/// Up to where a member's actions are settled, as of the room's last commit when the member came back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    /// The last action applied.
    pub(crate) n: u64,
    /// No outcome of it, or of one before, stands in the log after this `off`.
    pub(crate) off: u64,
}

/// A snapshot that may take the place of what is left of a replay.
pub(super) struct Shortcut {
    settled: Settled,
    step: Step,
    /// Of the room's few that may be under way.
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy)]
enum Step {
    /// What is left may be large.
    Possible,
    /// The room is to be asked to show itself, since then.
    Wanted { since: Instant },
    /// It was.
    Asked { since: Instant, at: Instant },
}

/// A replay of less is always sent: it costs less than to ask.
const LEAST_BYTES: usize = if cfg!(test) { 0 } else { TURN_BYTES };
/// Time that the replay waits for the room to show itself.
const WITHIN: Duration = Duration::from_secs(1);

impl Shortcut {
    pub(super) fn new(settled: Settled) -> Self {
        Shortcut {
            settled,
            step: Step::Possible,
            permit: None,
        }
    }

    fn since(&self) -> Option<Instant> {
        match self.step {
            Step::Possible => None,
            Step::Wanted { since } | Step::Asked { since, .. } => Some(since),
        }
    }
}

impl<S: LogReader> Room<S> {
    /// True if the replay waits for the room to show itself instead.
    pub(super) fn takes_shortcut(&mut self, now: Instant) -> bool {
        let (Membership::In(follow), Some(seat)) = (&mut self.membership, &self.seat) else {
            return false;
        };
        let Some(shortcut) = &mut follow.shortcut else {
            return false;
        };
        let over = follow.live.is_none() || follow.pending.is_some() || follow.at_leave.is_some();
        if over || self.asked.turns() {
            follow.shortcut = None;
            return false;
        }
        let waits = match shortcut.step {
            Step::Wanted { since } | Step::Asked { since, .. } => now < since + WITHIN,
            // An outcome of the member's own is given first (A2).
            Step::Possible if follow.cursor.pos.off < shortcut.settled.off => return false,
            Step::Possible => {
                let Some(ahead) = seat.bytes_ahead(&follow.cursor, follow.member) else {
                    return false;
                };
                let shown = seat.shown_bytes();
                if ahead > LEAST_BYTES && shown.is_none_or(|shown| shown < ahead) {
                    // A herd that comes back shares reads of the log, and no more than a few have the room show itself.
                    shortcut.permit = seat.shortcut_permit();
                }
                shortcut.permit.is_some()
            }
        };
        if !waits {
            follow.shortcut = None;
        } else if shortcut.since().is_none() {
            shortcut.step = Step::Wanted { since: now };
        }
        waits
    }

    /// True if what the room shows takes the place of what is left of the replay: where that is longer, and nothing was
    /// applied since the member came back whose outcome would be skipped.
    pub(super) fn is_shorter(&mut self, n: u64, pos: Pos, state: &Payload) -> bool {
        let shown = state.as_json().len();
        let (Membership::In(follow), Some(seat)) = (&mut self.membership, &self.seat) else {
            return false;
        };
        let Some(shortcut) = follow.shortcut.take() else {
            return false;
        };
        let whole = follow.pending.is_none() && follow.at_leave.is_none() && !self.asked.turns();
        // Where the log has gone another way, that is told instead (R4).
        let goes_on = seat.pull(&mut follow.cursor, |_| false) == Pulled::More;
        whole
            && goes_on
            && shortcut.since().is_some()
            && n == shortcut.settled.n
            && pos.off >= follow.cursor.pos.off
            && follow.cursor.pos.off >= shortcut.settled.off
            && seat
                .bytes_ahead(&follow.cursor, follow.member)
                .is_some_and(|ahead| shown < ahead)
    }

    /// The room does not show itself: the replay goes on.
    pub(super) fn gives_up_shortcut(&mut self) {
        if let Membership::In(follow) = &mut self.membership {
            follow.shortcut = None;
        }
    }

    /// When the room is wanted to show itself in place of its log.
    pub(super) fn wants_shortcut(&self) -> Option<Instant> {
        match self.shortcut()?.step {
            Step::Wanted { since } => Some(since),
            Step::Possible | Step::Asked { .. } => None,
        }
    }

    /// The room is asked to show itself in place of its log.
    pub(super) fn asks_for_shortcut(&mut self, now: Instant) {
        if let Membership::In(follow) = &mut self.membership
            && let Some(shortcut) = &mut follow.shortcut
        {
            let since = shortcut.since().unwrap_or(now);
            shortcut.step = Step::Asked { since, at: now };
        }
    }

    /// Until when no other room is asked to show itself: this one was.
    pub(super) fn shortcut_until(&self) -> Option<Instant> {
        match self.shortcut()?.step {
            Step::Asked { at, .. } => Some(at + VIEW_TURN),
            Step::Possible | Step::Wanted { .. } => None,
        }
    }

    /// When the replay goes on if the room has not shown itself.
    pub(crate) fn shortcut_ends(&self) -> Option<Instant> {
        Some(self.shortcut()?.since()? + WITHIN)
    }

    fn shortcut(&self) -> Option<&Shortcut> {
        match &self.membership {
            Membership::In(follow) => follow.shortcut.as_ref(),
            Membership::Out | Membership::Lost(_) => None,
        }
    }
}
