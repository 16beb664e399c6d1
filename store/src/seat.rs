use std::time::Duration;

use outlast_protocol::{Payload, Pos, RoomName};
use serde::{Deserialize, Serialize};

use crate::Throttle;

/// A room's knowledge of one session: its dedup state and membership, kept in the store beside the log
/// and changed by the same commits (A1).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Seat {
    /// The session's member number; the same for the session's whole life. None until it asked to
    /// join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u32>,
    /// The last action applied.
    #[serde(default)]
    pub n: u64,
    /// No outcome of its actions up to `n` stands in the log after this `off`. None where a version before this one
    /// applied the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_off: Option<u64>,
    /// The newest generation that was heard of; lower ones are refused (S5).
    #[serde(rename = "gen", default)]
    pub generation: u64,
    /// Where the newest join left the log, while the session is a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Pos>,
    /// True if the room has been told that the session lost its socket (S7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// When this seat may be forgotten, on the store's clock: set when the session ends (S6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_at: Option<u64>,
    /// When the session last did something here, on the store's clock.
    #[serde(default)]
    pub at: u64,
    /// The last outcomes that were not log entries for a member: of joins, of leaves, and of what was
    /// refused while not a member. A resent action is answered with them (A3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
}

/// Where a session stands in a room, by the room's last commit.
#[derive(Debug, Clone, PartialEq)]
pub struct SeatRead {
    /// The session's seat.
    pub seat: Seat,
    /// The room's last entry.
    pub last: Pos,
}

/// While two versions run side by side, there may be one such seat for each session.
static STRANGE: Throttle = Throttle::every(Duration::from_secs(60));

impl SeatRead {
    /// By a seat as it lies in the store. One that this version cannot read is left to who can: the room (W6).
    pub(crate) fn read(room: &RoomName, seat: &str, last: Pos) -> Option<Self> {
        match serde_json::from_str(seat) {
            Ok(seat) => Some(SeatRead { seat, last }),
            Err(error) => {
                if STRANGE.passes() {
                    tracing::warn!(%room, %error, "seat has an unknown format; leaving it to its room");
                }
                None
            }
        }
    }
}

/// The outcome of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The action's number.
    pub n: u64,
    /// Where the log stood after it.
    pub pos: Pos,
    /// The content of the outcome.
    #[serde(rename = "is")]
    pub body: OutcomeBody,
}

/// The outcome of an action, where that is no event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OutcomeBody {
    /// The session left.
    #[serde(rename = "left")]
    Left {
        /// Why.
        reason: String,
    },
    /// The action was refused.
    #[serde(rename = "refused")]
    Refused {
        /// Why, for programs.
        code: String,
        /// Why, for people.
        message: String,
    },
    /// An act was taken, and the session has left since: what it caused stands in the log at `pos`, where
    /// it no longer reads.
    #[serde(rename = "done")]
    Done {
        /// The room's answer.
        #[serde(
            default,
            deserialize_with = "outlast_protocol::given",
            skip_serializing_if = "Option::is_none"
        )]
        data: Option<Payload>,
    },
}

impl OutcomeBody {
    /// The size of everything in it whose length a room chooses, in bytes.
    pub fn payload_bytes(&self) -> usize {
        match self {
            OutcomeBody::Left { reason } => reason.len(),
            OutcomeBody::Refused { code, message } => code.len() + message.len(),
            OutcomeBody::Done { data } => data.as_ref().map_or(0, |data| data.as_json().len()),
        }
    }
}
