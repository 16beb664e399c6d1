//! What a room answers, and what its client is told of that.

use outlast_broker::{Answer, Outcome, OutcomeBody};
use outlast_protocol::{Payload, Pos, ServerFrame, SnapshotReason};
use tokio::time::Instant;

use super::{Due, Joined, Lost, Room, Stand};
use crate::hub::Cursor;

impl Room {
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
                let reason = match &self.stand {
                    Stand::Out => return None,
                    // An older socket had asked to leave, and this one does not ask again.
                    Stand::In(_) if member.is_none() && self.asked.is_empty() => {
                        return Some(self.lost());
                    }
                    Stand::In(_) if state.is_none() => return self.check(n),
                    // It was asked before the room was shown.
                    Stand::In(_) => return None,
                    Stand::Lost(lost) => lost.reason,
                };
                let Some(member) = member else {
                    return Some(self.lost());
                };
                Some(self.show(member, n, pos, state?, reason))
            }
        }
    }

    /// The room says that the session is no member.
    fn lost(&mut self) -> ServerFrame {
        self.leave();
        ServerFrame::Left {
            room: self.name.clone(),
            n: None,
            reason: "lost".to_owned(),
        }
    }

    /// The room says what it has applied: what was lost on the way to it has to come again.
    fn check(&mut self, applied: u64) -> Option<ServerFrame> {
        let expect = self.asked.heard_applied(applied)?;
        self.gate.expect(expect);
        Some(ServerFrame::Gap {
            room: self.name.clone(),
            expect,
        })
    }

    pub(super) fn leave(&mut self) {
        self.stand = Stand::Out;
        self.asked.leave();
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
                self.asked.settle_acts(now);
                self.follow(joined.member, Cursor::new(joined.pos), None);
                Some(joined.frame(self.name.clone()))
            }
            // Other outcomes were lost, or stand in the log before what the room shows (R5).
            Stand::Out => Some(self.rejoin(joined, SnapshotReason::Requested, now)),
            Stand::Lost(Lost { reason, .. }) => {
                let reason = *reason;
                Some(self.rejoin(joined, reason, now))
            }
        }
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
        let frame = self.show(member, applied, pos, state, reason);
        self.asked.settle_acts(now);
        frame
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
            self.asked.drop_from(n + 1);
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
                self.leave();
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
}
