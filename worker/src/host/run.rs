use outlast_broker::{Body, Entry};
use outlast_protocol::{Member, Payload, Pos};

use super::{Host, Life, size};
use crate::{
    Refusal,
    cx::{Effects, Emitted},
    live::{Failure, Fault, LiveRoom, RawInput},
    partition::Batch,
};

/// What the entries that an input leads to say of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cause {
    /// The member whose action it is.
    pub(super) by: Option<Member>,
    /// The action's number.
    pub(super) n: Option<u64>,
    /// Whether that member is not sent them (A2).
    pub(super) quiet: bool,
}

/// What an input that the room took has led to.
pub(super) struct Ran {
    /// Whether an event bears the action's number, and so is its outcome.
    pub(super) settled: bool,
    /// What the room answers.
    pub(super) answer: Option<Payload>,
    /// What it shows to the viewer that was named.
    pub(super) view: Option<Payload>,
}

impl Host {
    /// Runs the room's code on an input, and drafts what it leads to: all of it, or nothing where the
    /// room refuses or fails.
    pub(super) fn run(
        &mut self,
        input: RawInput,
        cause: Cause,
        viewer: Option<Member>,
        batch: &mut Batch,
    ) -> Result<Ran, Refusal> {
        let Life::Running(room) = &mut self.life else {
            return Err(room_error());
        };
        let now_ms = self.head.now_ms();
        let handled = room.handle(input, now_ms, &mut batch.rng);
        let applied = handled.and_then(|effects| {
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
                let settled = effects.answer.is_none() && effects.has_event();
                for signal in effects.signals {
                    self.draft.signal(signal);
                }
                Ok(Ran {
                    settled,
                    answer: effects.answer,
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

/// The entries that effects become. The first event bears the action's number, unless an answer does.
fn written(effects: &Effects, cause: Cause, last: Pos, at: u64, tag: u64) -> Vec<Entry> {
    let mut n = cause.n.filter(|_| effects.answer.is_none());
    let mut off = last.off;
    let mut entry = |emitted: &Emitted| {
        off += 1;
        let body = match emitted {
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
        let pos = Pos { off, tag };
        Entry { pos, at, body }
    };
    effects.entries.iter().map(&mut entry).collect()
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
