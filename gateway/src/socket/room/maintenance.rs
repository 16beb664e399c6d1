//! What has to be done about a room besides what its client asks for.

use std::time::Duration;

use outlast_protocol::{ServerFrame, SnapshotReason};
use outlast_store::Request;
use tokio::time::Instant;

use super::{FAILED_SNAPSHOTS_MAX, Lost, Membership, Patience, Room, VIEW_PATIENCE, VIEW_TURN};
use crate::{hub::LogReader, socket::pending_actions::PATIENCE, telemetry};

/// What a client is told of its own accord, because time has passed.
#[derive(Debug, PartialEq)]
pub(crate) enum Word {
    /// This.
    Frame(ServerFrame),
    /// That the connection ends: the room and its log contradict each other.
    End,
}

/// Pause before the store is tried again that did not reach a room, at first.
const REACH_PATIENCE: Duration = Duration::from_millis(500);
/// When to come again with an action that got no word, in milliseconds.
const RETRY_MS: u64 = 1_000;

impl<S: LogReader> Room<S> {
    /// What the client sent comes after something that is awaited, and is not taken.
    pub(crate) fn ignore(&mut self, now: Instant) {
        self.remind_at.get_or_insert(now + PATIENCE);
    }

    /// What the client has to be told now, so that nothing that it sent goes without a word (A8).
    pub(crate) fn word(&mut self, now: Instant) -> Option<Word> {
        if self.failed_snapshots > FAILED_SNAPSHOTS_MAX {
            return Some(Word::End);
        }
        if let Some(n) = self.asked.overdue(now)
            && let Some(frame) = self.give_back(n, now)
        {
            return Some(Word::Frame(frame));
        }
        self.remind_at.take_if(|at| now >= *at)?;
        if self.sequencer.awaited().is_some() {
            self.reminds = true;
            self.asked.doubt();
            self.remind_at = Some(now + PATIENCE);
        }
        None
    }

    /// The action with this number has gone without a word for too long.
    fn give_back(&mut self, n: u64, now: Instant) -> Option<ServerFrame> {
        if !self.sequencer.refuse(n) {
            // A later one has its outcome, so this was applied. What a member has missed, a snapshot settles (R5).
            match &self.membership {
                Membership::In(_) => self.lose(SnapshotReason::Requested, None),
                Membership::Lost(_) => {}
                Membership::Out => self.sequencer.reopen(n),
            }
            if !matches!(self.membership, Membership::Out) {
                self.asked.excuse(now);
                return None;
            }
        }
        self.asked.drop_from(n);
        Some(self.busy(n))
    }

    /// Tells the client to send everything from this action on once more, soon.
    pub(super) fn busy(&self, n: u64) -> ServerFrame {
        metrics::counter!(telemetry::REFUSED, "code" => "busy").increment(1);
        ServerFrame::Error {
            code: "busy".to_owned(),
            message: "the room does not answer".to_owned(),
            room: Some(self.name.to_string()),
            n: Some(n),
            retry_ms: Some(RETRY_MS),
        }
    }

    /// What the room has to be asked now, besides being shown.
    pub(crate) fn ask_again(&mut self, now: Instant) -> Vec<Request> {
        if !matches!(self.membership, Membership::Lost(_)) && self.asked.holds() {
            let released = self.asked.release(now);
            if matches!(self.membership, Membership::In(_)) {
                self.asked.settle_acts(now);
            }
            return released;
        }
        // Nobody may have told this socket that the session has left.
        if let Membership::In(follow) = &mut self.membership
            && let Some(at_leave) = &mut follow.at_leave
            && follow.pending.is_none()
            && now >= at_leave.ends(PATIENCE)
        {
            at_leave.again(now);
            self.asked.doubt();
        }
        self.asked.again(now)
    }

    /// When one of these has to be looked at again.
    pub(crate) fn next(&self) -> Option<Instant> {
        let at_leave = match &self.membership {
            Membership::In(follow) if follow.pending.is_none() => follow.at_leave,
            Membership::In(_) | Membership::Out | Membership::Lost(_) => None,
        };
        let at_leave = at_leave.map(|at_leave| at_leave.ends(PATIENCE));
        let times = [
            at_leave,
            self.remind_at,
            self.asked.next(),
            self.shortcut_ends(),
        ];
        times.into_iter().flatten().min()
    }

    /// Until when no other room is asked to show itself: that takes memory.
    pub(crate) fn shows_until(&self) -> Option<Instant> {
        let asked = self.lost().and_then(|lost| lost.asked);
        let lost = asked.map(|asked| asked.at() + VIEW_TURN);
        lost.or(self.shortcut_until())
    }

    /// When the room has to be asked to show itself, if it has to.
    pub(crate) fn shows_at(&self, now: Instant) -> Option<Instant> {
        let Some(lost) = self.lost() else {
            return self.wants_shortcut();
        };
        let asked = lost.asked.map(|asked| asked.ends(VIEW_PATIENCE));
        Some(asked.max(lost.not_before).unwrap_or(now))
    }

    /// The room is asked to show itself.
    pub(crate) fn shows(&mut self, now: Instant) {
        self.asks_for_shortcut(now);
        if let Membership::Lost(lost) = &mut self.membership {
            match &mut lost.asked {
                Some(asked) => asked.again(now),
                None => lost.asked = Some(Patience::new(now)),
            }
        }
    }

    /// What was asked may have been lost, or its answer.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.asked.hurry(now);
        if let Membership::Lost(lost) = &mut self.membership {
            lost.asked = None;
        }
    }

    /// The store did not reach the room. Nothing else is asked of it until it does.
    pub(crate) fn unreached(&mut self, now: Instant) {
        match &mut self.unreached {
            Some(unreached) => unreached.again(now),
            None => self.unreached = Some(Patience::new(now)),
        }
    }

    /// The room was told of this socket, and is listened to.
    pub(crate) fn reached(&mut self, seat: Option<S>, now: Instant) {
        if let Some(seat) = seat {
            self.subscribe(seat);
        }
        self.unreached = None;
        self.hurry(now);
    }

    /// When the store has to try again to reach the room, if it did not.
    pub(crate) fn reach_at(&self) -> Option<Instant> {
        let unreached = self.unreached.filter(|_| self.is_awaited())?;
        Some(unreached.ends(REACH_PATIENCE))
    }

    /// True if the store did not reach the room: nothing goes there until it does, or, where nothing is awaited, for a
    /// while.
    pub(crate) fn is_out_of_reach(&self, now: Instant) -> bool {
        let pauses = |unreached: Patience| now < unreached.ends(REACH_PATIENCE);
        self.reach_at().is_some() || self.unreached.is_some_and(pauses)
    }

    /// True if anything is expected of the room.
    fn is_awaited(&self) -> bool {
        !matches!(self.membership, Membership::Out) || !self.asked.is_empty()
    }

    fn lost(&self) -> Option<&Lost> {
        match &self.membership {
            Membership::Lost(lost) => Some(lost),
            Membership::Out | Membership::In(_) => None,
        }
    }
}
