//! Numbered actions: which is the next, which comes again (`repeats.rs`), and which comes too early (A1, A3).

use std::cmp::Ordering;

use outlast_protocol::{Member, Payload};
use outlast_store::{Answer, Body, Entry, Outcome, OutcomeBody};

use super::{Host, run::Cause};
use crate::{
    Input, Refusal,
    batch::{Batch, Requester},
    cx::Settled,
};

/// The number of outcomes that are kept for a session that is not in the room.
const OUTCOMES_MAX: usize = 8;

/// A client's numbered request (A1).
pub(super) enum Action {
    Join { user: String, data: Payload },
    Act { data: Payload },
    Leave,
}

impl Host {
    /// Takes an action if it is the next of its session, and of its newest socket.
    pub(super) fn act(
        &mut self,
        asker: &Requester,
        n: u64,
        action: Action,
        log: &[Entry],
        batch: &mut Batch,
    ) {
        if !self
            .seats
            .meet(asker.sid, asker.generation, self.head.now_ms())
        {
            return self.turn_away(asker, batch);
        }
        let expect = self.seats.get(&asker.sid).map_or(0, |seat| seat.n) + 1;
        match n.cmp(&expect) {
            Ordering::Less => self.repeat(asker, n, &action, log, batch),
            Ordering::Equal => self.apply(asker, n, action, batch),
            Ordering::Greater => {
                if self.seats.gap_opens(&asker.sid) {
                    batch.reply(asker, &self.name, Answer::Gap { expect });
                }
            }
        }
    }

    fn apply(&mut self, asker: &Requester, n: u64, action: Action, batch: &mut Batch) {
        self.seats.gap_closed(&asker.sid);
        self.seats.acts(asker.sid, self.head.now_ms(), n);
        let refused = match (action, self.sitting(asker)) {
            (Action::Join { .. }, Some(member)) => self.welcome(asker, n, member, batch),
            (Action::Join { user, data }, None) => self.join(asker, n, user, data, batch),
            (Action::Act { data }, Some(member)) => self.ask(n, member, data, batch),
            (Action::Act { .. }, None) => Err(Refusal::new(
                "not_joined",
                "only members can ask something of a room; join it first",
            )),
            (Action::Leave, Some(member)) => self.leave(asker, n, member, batch),
            (Action::Leave, None) => {
                self.has_left(asker, n, batch);
                Ok(())
            }
        };
        if let Err(refusal) = refused {
            self.refuse(asker, n, refusal, batch);
        }
    }

    /// The session's number, while it is a member.
    pub(super) fn sitting(&self, asker: &Requester) -> Option<Member> {
        let seat = self.seats.get(&asker.sid)?;
        seat.member.filter(|_| seat.joined.is_some())
    }

    fn join(
        &mut self,
        asker: &Requester,
        n: u64,
        user: String,
        data: Payload,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let member = self.number(asker);
        let cause = Cause {
            by: Some(member),
            n: Some(n),
            quiet: true,
        };
        let input = Input::Join { member, user, data };
        let state = self.run(input, cause, Some(member), batch)?.view;
        let pos = self.log.last;
        self.seats.change(asker.sid, self.head.now_ms(), |seat| {
            seat.joined = Some(pos);
            seat.away = false;
            seat.outcomes.clear();
        });
        tracing::debug!(sid = %asker.sid, room = %self.name, member, n, %pos, "member joined");
        let state = state.unwrap_or_else(Payload::null);
        self.joined(asker, n, member, state, batch);
        Ok(())
    }

    /// Returns a join of a session that is in the room already.
    pub(super) fn welcome(
        &mut self,
        asker: &Requester,
        n: u64,
        member: Member,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        self.settle(member, batch);
        let state = self.view(member)?;
        self.joined(asker, n, member, state, batch);
        Ok(())
    }

    fn joined(&self, asker: &Requester, n: u64, member: Member, state: Payload, batch: &mut Batch) {
        let answer = Answer::Joined {
            n,
            applied: self.seats.get(&asker.sid).map_or(n, |seat| seat.n),
            member,
            pos: self.log.last,
            state,
        };
        batch.reply(asker, &self.name, answer);
    }

    fn ask(
        &mut self,
        n: u64,
        member: Member,
        action: Payload,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let cause = Cause {
            by: Some(member),
            n: Some(n),
            quiet: false,
        };
        let ran = self.run(Input::Act { member, action }, cause, None, batch)?;
        match ran.outcome {
            Settled::ByResult => drop(self.draft.owed.remove(&member)),
            Settled::ByEvent => {}
            Settled::NotYet => drop(self.draft.owed.insert(member, n)),
        }
        Ok(())
    }

    fn leave(
        &mut self,
        asker: &Requester,
        n: u64,
        member: Member,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        self.settle(member, batch);
        let cause = Cause {
            by: Some(member),
            n: Some(n),
            quiet: true,
        };
        let reason = "left".to_owned();
        self.run(Input::Leave { member, reason }, cause, None, batch)?;
        tracing::debug!(sid = %asker.sid, room = %self.name, member, n, "member left");
        self.has_left(asker, n, batch);
        Ok(())
    }

    fn has_left(&mut self, asker: &Requester, n: u64, batch: &mut Batch) {
        self.seats.change(asker.sid, self.head.now_ms(), |seat| {
            seat.joined = None;
            seat.away = false;
        });
        let reason = "left".to_owned();
        self.keep(asker, n, OutcomeBody::Left { reason }, batch);
    }

    /// Logs a refusal (A4). A session that is not in the room does not read its log, and is told.
    fn refuse(&mut self, asker: &Requester, n: u64, refusal: Refusal, batch: &mut Batch) {
        metrics::counter!(crate::telemetry::REFUSALS).increment(1);
        let Refusal { code, message } = refusal;
        let member = self.number(asker);
        self.settle(member, batch);
        let body = Body::Result {
            to: member,
            n,
            ok: false,
            data: None,
            code: Some(code.to_string()),
            message: Some(message.clone()),
            kept: None,
        };
        self.push(body, batch);
        if self.sitting(asker).is_none() {
            let code = code.into_owned();
            self.keep(asker, n, OutcomeBody::Refused { code, message }, batch);
        }
    }

    /// Tells a session that is not in the room what became of its action, and keeps that in case it
    /// asks again (A3).
    pub(super) fn keep(&mut self, asker: &Requester, n: u64, body: OutcomeBody, batch: &mut Batch) {
        let pos = self.log.last;
        let outcome = Outcome { n, pos, body };
        self.seats.change(asker.sid, self.head.now_ms(), |seat| {
            if seat.outcomes.len() == OUTCOMES_MAX {
                seat.outcomes.remove(0);
            }
            seat.outcomes.push(outcome.clone());
        });
        batch.reply(asker, &self.name, Answer::Outcome(outcome));
    }

    /// The session's number, which it is given now if it has none.
    fn number(&mut self, asker: &Requester) -> Member {
        let known = self.seats.get(&asker.sid).and_then(|seat| seat.member);
        known.unwrap_or_else(|| {
            let member = self.head.next_member();
            self.seats.change(asker.sid, self.head.now_ms(), |seat| {
                seat.member = Some(member)
            });
            member
        })
    }
}
