use std::{collections::BTreeMap, time::Instant};

use outlast_protocol::{Payload, Pos, RoomName, ServerFrame};

/// A client's own name for one of its actions, whatever number it bears on the wire: 0, 1, 2 … in the
/// order in which the application asked.
pub type ActionId = usize;

/// Everything that one client did and saw, in order.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The event itself.
    pub observations: Vec<Observation>,
}

/// One thing that happened, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// When.
    pub at: Instant,
    /// The event.
    pub what: Seen,
}

/// Something that a client did or saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It dials a gateway.
    Connecting {
        /// Which of the settings' gateways.
        gateway: usize,
    },
    /// It asked to resume, from these positions.
    Resuming {
        /// The rooms that it named.
        rooms: BTreeMap<RoomName, Option<Pos>>,
    },
    /// The application asked for something.
    Asked {
        /// The action.
        id: ActionId,
        /// Which room.
        room: RoomName,
        /// The number that it bears.
        n: u64,
        /// The application's wish.
        ask: Ask,
    },
    /// An action that was not settled bears another number from now on (A5, R5).
    Renumbered {
        /// The action.
        id: ActionId,
        /// Its new number.
        n: u64,
    },
    /// It is known what became of an action.
    Settled {
        /// The action.
        id: ActionId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A frame came.
    Heard(ServerFrame),
    /// Something came that is no frame.
    Garbled(String),
    /// The last open socket is gone.
    Lost {
        /// The close code, where there was one.
        code: Option<u16>,
    },
    /// The first socket is gone; the second is open, and has not been answered yet (D3).
    Silenced,
    /// The second socket has taken over from the first (D3).
    Moved,
    /// The session is gone (4001), with every room; a new one will be opened.
    SessionGone,
    /// The client does not come back.
    Stopped {
        /// The close code that ended it.
        code: u16,
    },
}

/// An application's wish.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// To become a member.
    Join(Option<Payload>),
    /// Whatever the room takes.
    Act(Payload),
    /// To leave.
    Leave,
}

/// The outcome of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The join was taken.
    Joined,
    /// The act caused this entry.
    Event(Pos),
    /// The act was taken; this result stands for it.
    Taken(Pos),
    /// The room refused.
    Refused {
        /// The result's entry.
        pos: Pos,
        /// Why.
        code: String,
    },
    /// The session is out of the room.
    Left,
    /// It never reached the room; its number is free again.
    NotTaken {
        /// Why.
        code: String,
    },
    /// The room applied it, but what came of it was not told: a snapshot stands in its place (R5), or
    /// a leave after it.
    Unknown,
    /// The session ended before an outcome came.
    Lost,
}

impl Record {
    /// Notes something.
    pub fn push(&mut self, at: Instant, what: Seen) {
        self.observations.push(Observation { at, what });
    }

    /// The frames that came, with when.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = (Instant, &ServerFrame)> {
        self.observations.iter().filter_map(|seen| {
            let Seen::Heard(frame) = &seen.what else {
                return None;
            };
            Some((seen.at, frame))
        })
    }

    /// Returns the number of times that something happened.
    pub fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.observations
            .iter()
            .filter(|seen| wanted(&seen.what))
            .count()
    }
}
