//! The answer to a session that repeats an action (A3).

use outlast_protocol::{Member, Pos};
use outlast_store::{Answer, Body, Entry, Input, Outcome, OutcomeBody, Request, Seat};

use super::{Host, Life, actions::Action};
use crate::batch::{Batch, Requester};

impl Host {
    /// True if this input can only be answered from the room's log: a repeated act of a session that
    /// has left since. A member reads the log itself.
    pub(crate) fn must_look_up(&self, input: &Input) -> bool {
        let Request::Act { n, .. } = input.request else {
            return false;
        };
        let runs = matches!(self.life, Life::Running(_));
        let seat = self.seats.get(&input.sid).filter(|_| runs);
        seat.is_some_and(|seat| {
            let speaks = seat.over_at.is_none() && input.generation >= seat.generation;
            let left = seat.joined.is_none() && seat.member.is_some();
            speaks && left && n <= seat.n && kept(seat, n).is_none()
        })
    }

    /// Returns an action that was applied before. It has no second effect.
    pub(super) fn repeat(
        &mut self,
        asker: &Requester,
        n: u64,
        action: &Action,
        log: &[Entry],
        batch: &mut Batch,
    ) {
        if let Some(member) = self.sitting(asker) {
            if let Action::Join { .. } = action {
                // Where the view fails there is nothing to say: the join itself is long settled.
                self.welcome(asker, n, member, batch).ok();
            }
            return;
        }
        let Some(seat) = self.seats.get(&asker.sid) else {
            return;
        };
        let outcome = kept(seat, n).cloned().or_else(|| match action {
            Action::Join { .. } | Action::Leave => seat.outcomes.last().cloned(),
            Action::Act { .. } => {
                let entries = log.iter().chain(&self.draft.entries);
                seat.member.and_then(|member| logged(entries, member, n))
            }
        });
        let outcome = outcome.unwrap_or_else(|| forgotten(n, self.log.last));
        batch.reply(asker, &self.name, Answer::Outcome(outcome));
    }
}

/// The outcome where the real one is known no more: after silence the client would ask again, for ever (A8).
fn forgotten(n: u64, pos: Pos) -> Outcome {
    let body = OutcomeBody::Refused {
        code: "unknown".into(),
        message: "this was done or refused, and the room does not remember which".into(),
    };
    Outcome { n, pos, body }
}

fn kept(seat: &Seat, n: u64) -> Option<&Outcome> {
    seat.outcomes.iter().find(|outcome| outcome.n == n)
}

/// Returns the outcome of a member's act by the log.
fn logged<'a>(entries: impl Iterator<Item = &'a Entry>, member: Member, n: u64) -> Option<Outcome> {
    let mut covered = None;
    for Entry { pos, body, .. } in entries {
        let done = |data| Outcome {
            n,
            pos: *pos,
            body: OutcomeBody::Done { data },
        };
        match body {
            Body::Event {
                by, n: Some(of), ..
            } if *by == Some(member) && *of == n => return Some(done(None)),
            Body::Result { to, n: of, ok, .. } if *to == member && *of > n && *ok => {
                // It settles every act before it that has no outcome of its own (A2).
                covered = covered.or_else(|| Some(done(None)));
            }
            Body::Result {
                to,
                n: of,
                ok,
                data,
                code,
                message,
                kept: _,
            } if *to == member && *of == n => {
                let refused = OutcomeBody::Refused {
                    code: code.clone().unwrap_or_default(),
                    message: message.clone().unwrap_or_default(),
                };
                return Some(match ok {
                    true => done(data.clone()),
                    false => Outcome {
                        n,
                        pos: *pos,
                        body: refused,
                    },
                });
            }
            Body::Event { .. } | Body::Notice { .. } | Body::Result { .. } => {}
        }
    }
    covered
}
