//! The events of a session that it does not ask for: its sockets come and go, and it ends.

use std::time::Duration;

use outlast_protocol::{Member, Payload};
use outlast_store::{Answer, Throttle};

use super::{Host, Life, run::Cause, seats::TOMBSTONE_MS};
use crate::{
    Input, Refusal,
    batch::{Batch, Requester},
    live::RawInput,
};

/// One that hears of nobody hears of many.
static DEAF: Throttle = Throttle::every(Duration::from_secs(1));

impl Host {
    /// A socket of this generation was attached: older ones count no more (S5). Answers whether this one counts.
    pub(super) fn attached(&mut self, asker: &Requester, batch: &mut Batch) -> bool {
        let now_ms = self.head.now_ms();
        if !self.seats.meet(asker.sid, asker.generation, now_ms) {
            self.turn_away(asker, batch);
            return false;
        }
        let away = self.seats.get(&asker.sid).is_some_and(|seat| seat.away);
        if let Some(member) = self.sitting(asker).filter(|_| away)
            && self.tell(Input::Attached { member }, Cause::default(), batch)
        {
            self.seats
                .change(asker.sid, now_ms, |seat| seat.away = false);
            tracing::debug!(sid = %asker.sid, room = %self.name, member, "member is back");
        }
        true
    }

    /// The session has been without a socket for longer than the grace (S7).
    pub(super) fn detached(&mut self, asker: &Requester, batch: &mut Batch) {
        let now_ms = self.head.now_ms();
        let Some(member) = self.sitting(asker) else {
            return;
        };
        if !self.seats.meet(asker.sid, asker.generation, now_ms) {
            return;
        }
        if self.seats.get(&asker.sid).is_some_and(|seat| seat.away) {
            return;
        }
        // Where the room fails at it, it is told again: its record goes on to say so (S10).
        if self.tell(Input::Detached { member }, Cause::default(), batch) {
            self.seats
                .change(asker.sid, now_ms, |seat| seat.away = true);
            tracing::debug!(sid = %asker.sid, room = %self.name, member, "member is away");
        }
    }

    /// The session is over. It is remembered for a while, also where it was never heard of, so that
    /// nothing of it that is still on its way can count (S6).
    ///
    /// Where the room fails to let it go, it stays a member until that is tried again: its record is gone (S10).
    pub(super) fn over(&mut self, asker: &Requester, reason: String, batch: &mut Batch) {
        let mut left = true;
        if let Some(member) = self.sitting(asker) {
            tracing::debug!(sid = %asker.sid, room = %self.name, member, reason, "member's session is over");
            self.settle(member, batch);
            let cause = Cause {
                by: Some(member),
                n: None,
                quiet: true,
            };
            left = self.tell(Input::Leave { member, reason }, cause, batch);
        }
        let now_ms = self.head.now_ms();
        self.seats.change(asker.sid, now_ms, |seat| {
            if left {
                seat.joined = None;
                seat.away = false;
            }
            seat.outcomes.clear();
            seat.over_at = Some(now_ms.saturating_add(TOMBSTONE_MS));
        });
    }

    /// The time has come that the room named.
    pub(crate) fn wake(&mut self, now_ms: u64, batch: &mut Batch) {
        if !matches!(self.life, Life::Running(_)) {
            return;
        }
        self.head.advance(now_ms);
        let now_ms = self.head.now_ms();
        if self.wake_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.tell(Input::Wake, Cause::default(), batch);
        }
    }

    /// Tells the room of something that it cannot refuse. Answers whether it heard.
    fn tell(&mut self, input: RawInput, cause: Cause, batch: &mut Batch) -> bool {
        let heard = self.run(input, cause, None, batch);
        if let Err(refusal) = &heard
            && DEAF.passes()
        {
            tracing::warn!(room = %self.name, %refusal, "room rejected a presence event");
        }
        heard.is_ok()
    }

    /// Returns where the session stands in the room.
    pub(super) fn show(&mut self, asker: &Requester, view: bool, batch: &mut Batch) {
        let seat = self.seats.get(&asker.sid);
        if seat.is_some_and(|seat| seat.generation > asker.generation) {
            return self.turn_away(asker, batch);
        }
        let member = self.sitting(asker);
        if let Some(member) = member {
            self.settle(member, batch);
        }
        let state = member.filter(|_| view).map(|member| self.view(member));
        // Where the room fails at this, silence makes the gateway ask again.
        if let Ok(state) = state.transpose() {
            let answer = self.seated(asker, state);
            batch.reply(asker, &self.name, answer);
        }
    }

    /// Tells an older socket that it counts no more: whoever took its session over may have died before
    /// it could say so (S5).
    pub(super) fn turn_away(&self, asker: &Requester, batch: &mut Batch) {
        let generation = asker.generation;
        batch.reply(asker, &self.name, Answer::Superseded { generation });
    }

    pub(super) fn seated(&self, asker: &Requester, state: Option<Payload>) -> Answer {
        let seat = self.seats.get(&asker.sid);
        Answer::Seated {
            generation: asker.generation,
            member: self.sitting(asker),
            n: seat.map_or(0, |seat| seat.n),
            pos: self.log.last,
            joined: seat.and_then(|seat| seat.joined),
            state,
        }
    }

    /// Returns the view that the room shows to a member.
    pub(super) fn view(&mut self, member: Member) -> Result<Payload, Refusal> {
        let Life::Running(room) = &self.life else {
            return Err(Refusal::new("room_error", "the room has failed"));
        };
        if self.barred {
            return Err(Refusal::new(
                "room_error",
                "the room is not asked to show itself",
            ));
        }
        room.view(member).map_err(|fault| {
            self.spoil(&fault);
            Refusal::new("room_error", "the room failed to show itself")
        })
    }

    /// When the room wants to be woken; never, where it fails to say.
    pub(super) fn wake_at_ms(&mut self) -> Option<u64> {
        let Life::Running(room) = &self.life else {
            return self.wake_ms;
        };
        room.wake_at_ms().unwrap_or_else(|fault| {
            self.spoil(&fault);
            None
        })
    }
}
