//! Requests of backends, which are in no room and ask one something over HTTP.

use outlast_protocol::{Member, Payload};
use outlast_store::{Answer, OutcomeBody};

use super::{Host, run::Cause};
use crate::{
    Refusal,
    batch::{Batch, Requester},
    live::Ask,
};

/// The number that a post bears: there is one for each idempotency key.
pub(super) const POST_N: u64 = 1;

/// The member that a room shows itself to when nobody in it looks.
const NOBODY: Member = 0;

impl Host {
    /// Takes what was posted, once for each idempotency key, which the asker's sid stands for.
    pub(super) fn post(
        &mut self,
        asker: &Requester,
        user: String,
        action: Payload,
        batch: &mut Batch,
    ) {
        let seat = self.seats.get(&asker.sid);
        if let Some(outcome) = seat.and_then(|seat| seat.outcomes.first()) {
            let answer = Answer::Outcome(outcome.clone());
            return batch.reply(asker, &self.name, answer);
        }
        let now_ms = self.head.now_ms();
        self.seats.change(asker.sid, now_ms, |seat| seat.n = POST_N);
        let ran = self.run(Ask::Post { user, action }, Cause::default(), None, batch);
        let body = match ran {
            Ok(ran) => OutcomeBody::Done { data: ran.answer },
            Err(Refusal { code, message }) => OutcomeBody::Refused {
                code: code.into_owned(),
                message,
            },
        };
        self.keep(asker, POST_N, body, batch);
    }

    /// Takes what a process of the fleet reports, or lets it be.
    pub(super) fn report(&mut self, report: Payload, batch: &mut Batch) {
        if let Err(refusal) = self.run(Ask::Report { report }, Cause::default(), None, batch) {
            tracing::debug!(room = %self.name, %refusal, "sending a fleet report failed");
        }
    }

    /// Returns what the room shows to nobody in particular.
    pub(super) fn look(&mut self, asker: &Requester, batch: &mut Batch) {
        // Where the room fails at this, silence makes whoever asked ask again.
        if let Ok(state) = self.view(NOBODY) {
            let answer = self.seated(asker, Some(state));
            batch.reply(asker, &self.name, answer);
        }
    }
}
