use outlast_protocol::{Member, Payload, Pos};
use outlast_store::{Body, Entry};

use super::{Host, Life, accepted, size};
use crate::{
    Refusal,
    batch::Batch,
    cx::{Effects, Emitted, Settled},
    live::{Ask, Failure, Fault, LiveRoom},
};

/// The cause that is noted in the entries that an input leads to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cause {
    /// The member whose action it is.
    pub(super) by: Option<Member>,
    /// The action's number.
    pub(super) n: Option<u64>,
    /// True if that member is not sent them (A2).
    pub(super) quiet: bool,
}

impl Cause {
    /// The act, where it is one: its member and number.
    fn act(&self) -> Option<(Member, u64)> {
        self.by.zip(self.n).filter(|_| !self.quiet)
    }
}

/// The effects of an input that the room took.
pub(super) struct Ran {
    /// The outcome, where it was an act.
    pub(super) outcome: Settled,
    /// The room's answer.
    pub(super) answer: Option<Payload>,
    /// The view for the viewer that was named.
    pub(super) view: Option<Payload>,
}

impl Host {
    /// Runs the room's code on an input, and drafts what it leads to: all of it, or nothing where the
    /// room refuses or fails.
    pub(super) fn run(
        &mut self,
        ask: impl Into<Ask>,
        cause: Cause,
        viewer: Option<Member>,
        batch: &mut Batch,
    ) -> Result<Ran, Refusal> {
        let Life::Running(room) = &mut self.life else {
            return Err(room_error());
        };
        if self.barred {
            return Err(room_error());
        }
        let now_ms = self.head.now_ms();
        let handled = room.handle(ask.into(), now_ms, &mut batch.rng);
        if let (Ok(effects), Some((member, _))) = (&handled, cause.act())
            && effects.outcome() == Settled::ByEvent
        {
            self.settle(member, batch);
        }
        let Life::Running(room) = &mut self.life else {
            return Err(room_error());
        };
        let applied = handled.and_then(|effects| {
            if effects.kept.is_some() && cause.act().is_none() {
                return Err(Fault::Kept.into());
            }
            let entries = written(&effects, cause, self.log.last, now_ms, batch.tag);
            Ok((apply(room, &entries, viewer)?, entries, effects))
        });
        match applied {
            Ok((view, entries, effects)) => {
                for entry in entries {
                    self.log.push(batch.tag, now_ms);
                    batch.bytes += size(&entry.body);
                    self.draft.entries.push(entry);
                }
                let outcome = effects.outcome();
                let answer = effects.answer;
                for signal in effects.signals {
                    self.draft.signal(signal);
                }
                Ok(Ran {
                    outcome,
                    answer,
                    view,
                })
            }
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(Failure::Fault(fault)) => {
                self.spoil(&fault);
                Err(room_error())
            }
        }
    }
}

/// The entries that effects become. The first event bears the action's number, unless a result does.
fn written(effects: &Effects, cause: Cause, last: Pos, at: u64, tag: u64) -> Vec<Entry> {
    let result = cause.act().filter(|_| effects.has_result());
    let mut n = cause.n.filter(|_| result.is_none());
    let body = |emitted: &Emitted| match emitted {
        Emitted::Event(data) => Body::Event {
            by: cause.by,
            n: n.take(),
            quiet: cause.quiet,
            data: data.clone(),
        },
        Emitted::Notice(to, data) => Body::Notice {
            to: *to,
            data: data.clone(),
        },
    };
    let result = result.map(|(member, n)| {
        let Effects { answer, kept, .. } = effects;
        accepted(member, n, answer.clone(), kept.clone())
    });
    let bodies = effects.entries.iter().map(body).chain(result);
    let entry = |(off, body)| {
        let pos = Pos { off, tag };
        Entry { pos, at, body }
    };
    (last.off + 1..).zip(bodies).map(entry).collect()
}

fn apply(
    room: &mut LiveRoom,
    entries: &[Entry],
    viewer: Option<Member>,
) -> Result<Option<Payload>, Fault> {
    for entry in entries {
        room.apply(entry)?;
    }
    viewer.map(|viewer| room.view(viewer)).transpose()
}

fn room_error() -> Refusal {
    Refusal::new("room_error", "the room failed at this; nothing has changed")
}
