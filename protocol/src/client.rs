use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{Payload, Pos, ROOMS_MAX, RoomName, given, wire};

wire::frames! {
    /// A frame that a client sends (SPEC section 2).
    pub enum ClientFrame {
        /// Makes a session (S1).
        "open" Open {
            /// The user, as a JWT (H5).
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<String>,
            /// The client's name, for people who read logs.
            #[serde(skip_serializing_if = "Option::is_none")]
            client: Option<String>,
        }
        /// Comes back to a session (S3).
        "resume" Resume {
            /// The session's name, as `welcome` gave it. Not checked here: what is no UUID is simply
            /// unknown (S4).
            sid: String,
            /// The secret of the newest `welcome` or `resumed`.
            key: String,
            /// A newer token of the same user (H5).
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<String>,
            /// The position up to which the client has read in each of its rooms (R1).
            #[serde(deserialize_with = "rooms")]
            rooms: BTreeMap<RoomName, Option<Pos>>,
        }
        /// Asks to become a member of a room.
        "join" Join {
            /// Which room.
            room: RoomName,
            /// The action's number (A1).
            #[serde(deserialize_with = "wire::number")]
            n: u64,
            /// The data that the room wants of who joins.
            #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            data: Option<Payload>,
        }
        /// Asks something of a room.
        "act" Act {
            /// Which room.
            room: RoomName,
            /// The action's number (A1).
            #[serde(deserialize_with = "wire::number")]
            n: u64,
            /// The action's data.
            data: Payload,
        }
        /// Leaves a room.
        "leave" Leave {
            /// Which room.
            room: RoomName,
            /// The action's number (A1).
            #[serde(deserialize_with = "wire::number")]
            n: u64,
        }
        /// Renews the token before it expires (H6).
        "token" Token {
            /// The new JWT, of the same user.
            token: String,
        }
        /// Returns a `ping` (F1).
        "pong" Pong {}
        /// Ends the session for good (S6).
        "end" End {}
    }
}

/// Rooms that a `resume` may name: those that the session is in, and as many that it left when it lost its
/// socket, and does not know of yet.
const RESUMED_MAX: usize = 2 * ROOMS_MAX;

fn rooms<'de, D>(deserializer: D) -> Result<BTreeMap<RoomName, Option<Pos>>, D::Error>
where
    D: Deserializer<'de>,
{
    let rooms = BTreeMap::deserialize(deserializer)?;
    if rooms.len() > RESUMED_MAX {
        return Err(D::Error::custom(format_args!(
            "`rooms` holds at most {RESUMED_MAX} rooms"
        )));
    }
    Ok(rooms)
}
