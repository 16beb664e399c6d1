//! A room's code at work, kept from taking anything else down with it (W5).

use std::panic::{AssertUnwindSafe, catch_unwind};

use outlast_protocol::{Member, NotJson, Payload};
use outlast_store::{Body, Entry, Snapshot};
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;

use crate::{At, Cx, Input, Refusal, Room, cx::Effects};

/// An input before the room's own types have been read from it.
pub(crate) type RawInput = Input<Payload, Payload>;

/// A request that a room decides on.
pub(crate) enum Ask {
    /// By way of a session, or of the clock.
    Input(RawInput),
    /// From outside.
    Post { user: String, action: Payload },
    /// By a process of the fleet.
    Report { report: Payload },
}

impl From<RawInput> for Ask {
    fn from(input: RawInput) -> Self {
        Ask::Input(input)
    }
}

/// A kind of rooms, without its type.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) version: u32,
    /// Makes a room that nothing has happened in.
    pub(crate) fresh: fn() -> Box<dyn DynRoom>,
    /// Reads a room's state.
    pub(crate) read: fn(&Payload) -> Result<Box<dyn DynRoom>, NotJson>,
}

impl Kind {
    pub(crate) fn of<R: Room>() -> Self {
        Kind {
            version: R::VERSION,
            fresh: || Box::new(R::default()),
            read: |state| Ok(Box::new(state.read::<R>()?)),
        }
    }
}

/// A room in memory.
pub(crate) struct LiveRoom {
    room: Box<dyn DynRoom>,
    kind: Kind,
}

/// A fault of a room's code. The room in memory is not to be trusted after it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it panicked: {0}")]
    Panicked(String),
    #[error("it emitted what cannot be written down: {0}")]
    Unwritable(#[source] NotJson),
    #[error("it kept an event to itself that no act has caused")]
    Kept,
    #[error("an entry cannot be read: {0}")]
    Unreadable(#[source] NotJson),
    #[error("its snapshot cannot be read: {0}")]
    Snapshot(#[source] NotJson),
    #[error("its snapshot is of version {found}, newer than {known}")]
    Newer { found: u32, known: u32 },
    #[error("its log holds entry {found} where {expected} was expected")]
    Hole { expected: u64, found: u64 },
    #[error(
        "the store has lost entries of its log: {expected} were written, and its snapshot and its log end at {found}; restore \
         the store's data, or remove the room from it"
    )]
    Lost { expected: u64, found: u64 },
}

/// Why an input led to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

impl LiveRoom {
    /// Folds a room from its newest snapshot and the entries after it (W3).
    pub(crate) fn fold<'a>(
        kind: Kind,
        snapshot: Option<&Snapshot>,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Self, Fault> {
        let room = match snapshot {
            None => guard(kind.fresh)?,
            Some(snapshot) if snapshot.version > kind.version => {
                return Err(Fault::Newer {
                    found: snapshot.version,
                    known: kind.version,
                });
            }
            Some(snapshot) => guard(|| (kind.read)(&snapshot.state))?.map_err(Fault::Snapshot)?,
        };
        let mut live = LiveRoom { room, kind };
        let first = snapshot.map_or(0, |snapshot| snapshot.pos.off) + 1;
        for (expected, entry) in (first..).zip(entries) {
            let found = entry.pos.off;
            if found != expected {
                return Err(Fault::Hole { expected, found });
            }
            live.apply(entry)?;
        }
        Ok(live)
    }

    /// Asks the room what something leads to.
    pub(crate) fn handle(
        &self,
        ask: Ask,
        now_ms: u64,
        rng: &mut StdRng,
    ) -> Result<Effects, Failure> {
        let effects = guard(|| self.room.handle(ask, now_ms, rng))?;
        let effects = effects.map_err(Failure::Refused)?;
        match effects.unwritable {
            Some(error) => Err(Fault::Unwritable(error).into()),
            None => Ok(effects),
        }
    }

    /// Folds one entry in. What is applied is what was written, here as after a restart.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), Fault> {
        let (by, data) = match &entry.body {
            Body::Event { by, data, .. } => (*by, data),
            Body::Result {
                to,
                kept: Some(kept),
                ..
            } => (Some(*to), kept),
            Body::Result { kept: None, .. } | Body::Notice { .. } => return Ok(()),
        };
        let at = At {
            pos: entry.pos,
            at_ms: entry.at,
            by,
        };
        guard(|| self.room.apply(data, at))?.map_err(Fault::Unreadable)
    }

    /// Returns the view that a member is shown.
    pub(crate) fn view(&self, viewer: Member) -> Result<Payload, Fault> {
        guard(|| self.room.view(viewer))?.map_err(Fault::Unwritable)
    }

    /// The state and its version, for a snapshot. One that could not be read again is a fault now
    /// rather than at the next start.
    pub(crate) fn state(&self) -> Result<(u32, Payload), Fault> {
        let state = guard(|| self.room.state())?.map_err(Fault::Unwritable)?;
        guard(|| (self.kind.read)(&state))?.map_err(Fault::Snapshot)?;
        Ok((self.kind.version, state))
    }

    /// When the room wants to be woken.
    pub(crate) fn wake_at_ms(&self) -> Result<Option<u64>, Fault> {
        guard(|| self.room.wake_at_ms())
    }
}

fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    // Unwind safe because a room that has panicked is not used again.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Fault::Panicked(message.unwrap_or_else(|| "without a message".into()))
    })
}

/// [`Room`] without its types: payloads in, payloads out.
pub(crate) trait DynRoom: Send {
    fn handle(&self, ask: Ask, now_ms: u64, rng: &mut StdRng) -> Result<Effects, Refusal>;
    fn apply(&mut self, event: &Payload, at: At) -> Result<(), NotJson>;
    fn view(&self, viewer: Member) -> Result<Payload, NotJson>;
    fn state(&self) -> Result<Payload, NotJson>;
    fn wake_at_ms(&self) -> Option<u64>;
}

impl<R: Room> DynRoom for R {
    fn handle(&self, ask: Ask, now_ms: u64, rng: &mut StdRng) -> Result<Effects, Refusal> {
        let mut cx = Cx::new(now_ms, rng);
        match ask {
            Ask::Input(input) => Room::handle(self, typed::<R>(input)?, &mut cx)?,
            Ask::Post { user, action } => self.post(user, read_action(&action)?, &mut cx)?,
            Ask::Report { report } => Room::report(self, read_action(&report)?, &mut cx)?,
        }
        Ok(cx.into_effects())
    }

    fn apply(&mut self, event: &Payload, at: At) -> Result<(), NotJson> {
        Room::apply(self, event.read()?, at);
        Ok(())
    }

    fn view(&self, viewer: Member) -> Result<Payload, NotJson> {
        Payload::of(&Room::view(self, viewer))
    }

    fn state(&self) -> Result<Payload, NotJson> {
        Payload::of(self)
    }

    fn wake_at_ms(&self) -> Option<u64> {
        Room::wake_at_ms(self)
    }
}

/// Reads the room's own types from what a client has sent.
fn typed<R: Room>(input: RawInput) -> Result<Input<R::Join, R::Action>, Refusal> {
    Ok(match input {
        Input::Join { member, user, data } => Input::Join {
            member,
            user,
            data: from(&data).map_err(|error| Refusal::new("bad_join", error.to_string()))?,
        },
        Input::Act { member, action } => Input::Act {
            member,
            action: read_action(&action)?,
        },
        Input::Leave { member, reason } => Input::Leave { member, reason },
        Input::Detached { member } => Input::Detached { member },
        Input::Attached { member } => Input::Attached { member },
        Input::Wake => Input::Wake,
    })
}

fn read_action<A: DeserializeOwned>(action: &Payload) -> Result<A, Refusal> {
    from(action).map_err(|error| Refusal::new("bad_action", error.to_string()))
}

fn from<T: DeserializeOwned>(payload: &Payload) -> serde_json::Result<T> {
    serde_json::from_str(payload.as_json())
}
