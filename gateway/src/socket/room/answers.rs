//! What a room answers, and what its client is told of that.

use outlast_protocol::{Payload, Pos, ServerFrame, SnapshotReason};
use outlast_store::{Answer, Outcome, OutcomeBody};
use tokio::time::Instant;

use super::{Joined, Membership, PendingOutcome, Room};
use crate::hub::{Cursor, LogReader, Pulled};

/// Where the room says that the session stands.
struct Seated {
    member: Option<u32>,
    n: u64,
    pos: Pos,
    joined: Option<Pos>,
    state: Option<Payload>,
}

impl<S: LogReader> Room<S> {
    /// The room answers; returns what the client is told of that now.
    pub(crate) fn receive(&mut self, answer: Answer, now: Instant) -> Option<ServerFrame> {
        if self.holds() {
            self.held.push(answer);
            return None;
        }
        self.apply(answer, now)
    }

    pub(super) fn apply(&mut self, answer: Answer, now: Instant) -> Option<ServerFrame> {
        let room = self.name.clone();
        self.note_shown(&answer);
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
            Answer::Outcome(outcome) => self.settle(outcome, now),
            // The socket has been told to go.
            Answer::Superseded { .. } => None,
            Answer::Gap { expect } => self.gap(expect),
            Answer::NotTaken {
                n,
                code,
                message,
                retry_ms,
            } => {
                self.gives_up_shortcut();
                self.not_taken(n, retry_ms).then(|| ServerFrame::Error {
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
                joined,
                state,
                ..
            } => self.seated(
                Seated {
                    member,
                    n,
                    pos,
                    joined,
                    state,
                },
                now,
            ),
        }
    }

    /// The room did not take an action. Returns true if the client has to be told.
    fn not_taken(&mut self, n: u64, retry_ms: Option<u64>) -> bool {
        match retry_ms {
            Some(_) if !self.sequencer.refuse(n) => return false,
            Some(_) => {}
            // It was told before, and the number may belong to another action by now.
            None if !self.asked.contains(n) => return false,
            None => self.sequencer.free(n),
        }
        self.asked.drop_from(n);
        true
    }

    /// The room says where the session stands, and shows itself if it was asked to.
    fn seated(&mut self, seated: Seated, now: Instant) -> Option<ServerFrame> {
        let Seated {
            member,
            n,
            pos,
            joined,
            state,
        } = seated;
        if state.is_none()
            && let Some(gap) = self.check(n, member.is_some(), now)
        {
            return Some(gap);
        }
        if let (Some(member), Some(state)) = (member, &state)
            && self.is_shorter(n, pos, state)
        {
            self.lose(SnapshotReason::Shorter, None);
            self.sequencer.applied(n);
            let (state, reason) = (state.clone(), SnapshotReason::Shorter);
            return Some(self.show(member, n, pos, state, reason, now));
        }
        let (holds, turned) = (self.asked.holds(), self.asked.turns());
        // What it has asked for will be answered, and says more; unless the room has forgotten the session.
        let turns = turned && !self.sequencer.has_told(n + 1);
        match &mut self.membership {
            // Its join was answered, and that was not heard.
            Membership::Out if member.is_some() && !turned && self.seat.is_some() => {
                self.lose(SnapshotReason::Requested, None);
                None
            }
            Membership::Out => None,
            Membership::In(_) if member.is_none() && turns => None,
            // An older socket had asked to leave, and this one does not ask again.
            Membership::In(follow) if member.is_none() => {
                let lost = PendingOutcome::Lost { off: pos.off, n };
                follow.pending.get_or_insert(lost);
                None
            }
            Membership::In(follow) => {
                let off = follow.cursor.pos.off;
                let returned = joined.is_some_and(|joined| joined.off > off);
                if follow.at_leave.take().is_some() && returned {
                    self.lose(SnapshotReason::Requested, None);
                } else {
                    self.sequencer.has_applied(n);
                }
                None
            }
            Membership::Lost(_) if member.is_none() && turns && holds => {
                // What waited to be shown is answered without.
                self.leave();
                None
            }
            Membership::Lost(_) if member.is_none() && turns => None,
            Membership::Lost(_) if member.is_none() => Some(self.lost_member(n, now)),
            Membership::Lost(lost) => {
                lost.seated = true;
                let reason = self.shown_at(pos)?;
                self.sequencer.applied(n);
                self.asked.settle_acts(now);
                Some(self.show(member?, n, pos, state?, reason, now))
            }
        }
    }

    fn note_shown(&self, answer: &Answer) {
        let state = match answer {
            Answer::Joined { state, .. } => Some(state),
            Answer::Seated { state, .. } => state.as_ref(),
            Answer::Outcome(_)
            | Answer::Gap { .. }
            | Answer::NotTaken { .. }
            | Answer::Superseded { .. } => None,
        };
        if let (Some(state), Some(seat)) = (state, &self.seat) {
            seat.set_shown_bytes(state.as_json().len());
        }
    }

    /// The room says that the session is no member, and has applied so many of its actions.
    pub(super) fn lost_member(&mut self, applied: u64, now: Instant) -> ServerFrame {
        self.leave();
        let forgotten = self.sequencer.has_told(applied + 1);
        self.sequencer.lost();
        self.asked.give_up();
        if forgotten {
            // The client numbers on from where it was, and would hear of that only when it asks for something (A10).
            self.sequencer.expect(applied + 1);
            self.asked.drop_from(applied + 1);
            self.delivered = None;
            self.remind_at = Some(now);
        }
        ServerFrame::Left {
            room: self.name.clone(),
            n: None,
            reason: "lost".to_owned(),
        }
    }

    /// The room expects a lower number than it was sent.
    fn gap(&mut self, expect: u64) -> Option<ServerFrame> {
        if !matches!(self.membership, Membership::Out) && self.sequencer.has_told(expect) {
            // Either it has come since, and its outcome was faster; or the room knows no such member any more, which it
            // says when it is asked.
            self.asked.doubt();
            return None;
        }
        self.sequencer.gap(expect);
        self.asked.drop_from(expect);
        let room = self.name.clone();
        Some(ServerFrame::Gap { room, expect })
    }

    /// The room says what it has applied: what was lost on the way to it has to come again.
    fn check(&mut self, applied: u64, seated: bool, now: Instant) -> Option<ServerFrame> {
        // Older than what the client was told: the next answer counts.
        let late = self.sequencer.has_told(applied + 1);
        if !late
            && std::mem::take(&mut self.reminds)
            && let Some(awaited) = self.sequencer.awaited()
        {
            // Only the room knows whether what is awaited was taken after all.
            let expect = awaited.min(applied + 1);
            self.asked.drop_from(expect);
            if applied >= awaited {
                // No gap: who has settled what is awaited otherwise would number the rest anew (A10).
                self.sequencer.let_pass(awaited);
                return Some(self.busy(awaited));
            }
            self.sequencer.expect(expect);
            let room = self.name.clone();
            return Some(ServerFrame::Gap { room, expect });
        }
        if seated && let Some(expect) = self.asked.heard_applied(applied, now) {
            self.sequencer.expect(expect);
            let room = self.name.clone();
            return Some(ServerFrame::Gap { room, expect });
        }
        let expect = self.asked.expected_instead(applied)?;
        self.gap(expect)
    }

    pub(super) fn leave(&mut self) {
        self.note_delivered();
        self.membership = Membership::Out;
        self.asked.leave();
    }

    fn joined(&mut self, joined: Joined, now: Instant) -> Option<ServerFrame> {
        let n = joined.n;
        if !self.asked.contains(n) {
            return None;
        }
        if matches!(self.membership, Membership::Out) && self.is_late(joined.pos) {
            self.lose(SnapshotReason::Requested, None);
            return None;
        }
        match &mut self.membership {
            Membership::In(follow) if follow.cursor.pos.off > joined.pos.off => {
                // The log has overtaken the answer, and would do so again where much happens.
                self.lose(SnapshotReason::Requested, None);
                None
            }
            Membership::In(follow) => {
                follow.pending = Some(PendingOutcome::Joined(joined));
                None
            }
            Membership::Out if joined.applied == n && !self.asked.owes_before(n) => {
                self.sequencer.reach(n);
                self.asked.settle_to(n);
                self.asked.settle_acts(now);
                self.follow(joined.member, Cursor::said(joined.pos), None);
                Some(joined.frame(self.name.clone()))
            }
            // Other outcomes were lost, or stand in the log before what the room shows (R5).
            Membership::Out => Some(self.rejoin(joined, SnapshotReason::Requested, now)),
            Membership::Lost(_) => {
                let reason = self.shown_at(joined.pos)?;
                Some(self.rejoin(joined, reason, now))
            }
        }
    }

    /// Why the room is shown as of this position; `None` where the answer is older than what the member was given (E1).
    fn shown_at(&mut self, pos: Pos) -> Option<SnapshotReason> {
        if self.is_late(pos) {
            return None;
        }
        match &self.membership {
            Membership::Lost(lost) => Some(lost.reason),
            Membership::In(_) | Membership::Out => None,
        }
    }

    /// True if the member was given more than this before, unless the log says that there is another history by now.
    fn is_late(&mut self, pos: Pos) -> bool {
        let Some(delivered) = &mut self.delivered else {
            return false;
        };
        let diverged = Pulled::Lost(SnapshotReason::Diverged);
        let late = pos.off < delivered.pos.off;
        if late
            && let Some(seat) = &self.seat
            && seat.pull(delivered, |_| false) == diverged
        {
            self.delivered = None;
            if let Membership::Lost(lost) = &mut self.membership {
                lost.reason = SnapshotReason::Diverged;
            }
            return false;
        }
        late
    }

    pub(super) fn rejoin(
        &mut self,
        joined: Joined,
        reason: SnapshotReason,
        now: Instant,
    ) -> ServerFrame {
        let Joined {
            applied,
            member,
            pos,
            state,
            ..
        } = joined;
        self.show(member, applied, pos, state, reason, now)
    }

    /// Shows the room anew to a member (R5).
    fn show(
        &mut self,
        member: u32,
        n: u64,
        pos: Pos,
        state: Payload,
        reason: SnapshotReason,
        now: Instant,
    ) -> ServerFrame {
        if reason == SnapshotReason::Diverged {
            self.sequencer.expect(n + 1);
            self.asked.drop_from(n + 1);
        } else {
            self.sequencer.reach(n);
        }
        self.asked.settle_to(n);
        self.asked.settle_acts(now);
        self.follow(member, Cursor::said(pos), Some(pos.off));
        ServerFrame::Snapshot {
            room: self.name.clone(),
            pos,
            state,
            member,
            n,
            reason,
        }
    }

    fn settle(&mut self, outcome: Outcome, now: Instant) -> Option<ServerFrame> {
        let Outcome { n, pos, body } = outcome;
        let room = self.name.clone();
        let (ok, data, code, message) = match body {
            OutcomeBody::Left { reason } => return self.has_left(n, pos, reason, now),
            OutcomeBody::Refused { code, message } => (false, None, Some(code), Some(message)),
            OutcomeBody::Done { data } => (true, data, None, None),
        };
        if !self.asked.contains(n) {
            return None;
        }
        if let Membership::In(follow) = &self.membership
            && pos.off > follow.cursor.pos.off
        {
            // It left since, and will be told so; until then the log tells, up to its leave.
            return None;
        }
        self.asked.settle(n);
        self.sequencer.reach(n);
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

    /// The session has left with this action.
    fn has_left(&mut self, n: u64, pos: Pos, reason: String, now: Instant) -> Option<ServerFrame> {
        // Who asks for what happened before that has forgotten where its numbers stand.
        let forgot = matches!(self.membership, Membership::Out) && self.asked.ends_before(n);
        if !(forgot || self.asked.contains(n)) {
            return None;
        }
        if let Membership::In(follow) = &mut self.membership {
            let off = pos.off;
            follow.pending = Some(PendingOutcome::Left { n, off, reason });
            return None;
        }
        self.depart(n, reason, now)
    }

    /// The session has left with this action, and was given what it had to be given before.
    pub(super) fn depart(&mut self, n: u64, reason: String, now: Instant) -> Option<ServerFrame> {
        self.leave();
        if !self.asked.left(n, now) {
            return None;
        }
        self.sequencer.reach(n);
        Some(ServerFrame::Left {
            room: self.name.clone(),
            n: Some(n),
            reason,
        })
    }
}
