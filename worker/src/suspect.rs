//! The possible causes of a process's death, and how they are noted (W12).

use outlast_protocol::RoomName;
use outlast_store::{NoteChange, TopicId};

/// The number of times that something is tried under which holders die: along with others, and four times alone. A
/// holder that is killed for another reason in the very moments of all five is rare enough.
pub(crate) const TRIES_MAX: u32 = 5;

/// The prefix of the notes of suspects.
pub(crate) const TRY: &str = "try:";

/// A possible cause of a holder's death.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suspect {
    /// An input.
    Input(TopicId),
    /// A room, while it was loaded, woken, or given its parked inputs.
    Room(RoomName),
    /// A room, while it was written down.
    Written(RoomName),
}

impl Suspect {
    pub(crate) fn note(&self) -> String {
        match self {
            Suspect::Input(id) => format!("{TRY}input:{id}"),
            Suspect::Room(room) => format!("{TRY}room:{room}"),
            Suspect::Written(room) => format!("{TRY}written:{room}"),
        }
    }

    /// The ways to die of a room.
    pub(crate) fn of_room(room: &RoomName) -> [Suspect; 2] {
        [Suspect::Room(room.clone()), Suspect::Written(room.clone())]
    }

    /// The note of one that was seen not to come back: it is not tried again.
    pub(crate) fn condemned(&self) -> NoteChange {
        (self.note(), Some(TRIES_MAX.to_string()))
    }
}
