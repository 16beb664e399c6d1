use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::{CloseCode, Member, Payload, Pos, RoomName, Sid, given, wire};

wire::frames! {
    /// A frame that a server sends (SPEC section 3).
    pub enum ServerFrame {
        /// Returns `open`: a session has been made.
        "welcome" Welcome {
            /// The session and its limits.
            #[serde(flatten)]
            welcome: Welcome,
        }
        /// Returns `resume`.
        "resumed" Resumed {
            /// The session and its limits.
            #[serde(flatten)]
            welcome: Welcome,
            /// The way in which the client catches up in each room (R1).
            rooms: BTreeMap<RoomName, CatchUp>,
        }
        /// The outcome of a join that the room took.
        "joined" Joined {
            /// Which room.
            room: RoomName,
            /// The join's number.
            n: u64,
            /// This session's member number in the room.
            member: Member,
            /// Behind everything that the join caused.
            pos: Pos,
            /// The state that the room shows to this member at `pos`.
            state: Payload,
        }
        /// An entry of the room's log, for every member.
        "event" Event {
            /// Which room.
            room: RoomName,
            /// The entry's position.
            pos: Pos,
            /// The member whose action caused it.
            #[serde(skip_serializing_if = "Option::is_none")]
            by: Option<Member>,
            /// The number of that action.
            #[serde(skip_serializing_if = "Option::is_none")]
            n: Option<u64>,
            /// The event's data.
            data: Payload,
        }
        /// An entry of the room's log, for this member alone.
        "notice" Notice {
            /// Which room.
            room: RoomName,
            /// The entry's position.
            pos: Pos,
            /// The notice's data.
            data: Payload,
        }
        /// The outcome of an action (A2, A4).
        "result" Result {
            /// Which room.
            room: RoomName,
            /// The action's number.
            n: u64,
            /// The entry's position.
            pos: Pos,
            /// True if the room took it.
            ok: bool,
            /// The room's answer.
            #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            data: Option<Payload>,
            /// Why it was refused, for programs.
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<String>,
            /// Why it was refused, for people.
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<String>,
        }
        /// The room's state, in place of the entries up to `pos` (R1, R5).
        "snapshot" Snapshot {
            /// Which room.
            room: RoomName,
            /// The last entry that the state includes.
            pos: Pos,
            /// The state that the room shows to this member.
            state: Payload,
            /// This session's member number in the room.
            member: Member,
            /// The last action of this session that the room has applied; 0 for none.
            n: u64,
            /// Why it is a snapshot.
            reason: SnapshotReason,
        }
        /// Catching up is over (R1).
        "live" Live {
            /// Which room.
            room: RoomName,
            /// May be resumed from.
            pos: Pos,
        }
        /// Volatile news: not logged, the newest wins.
        "signal" Signal {
            /// Which room.
            room: RoomName,
            /// The news.
            data: Payload,
        }
        /// The session is no longer in the room.
        "left" Left {
            /// Which room.
            room: RoomName,
            /// The number of the `leave` that this answers.
            #[serde(skip_serializing_if = "Option::is_none")]
            n: Option<u64>,
            /// Why.
            reason: String,
        }
        /// An action's number was higher than the next (A1).
        "gap" Gap {
            /// Which room.
            room: RoomName,
            /// The number that it expects.
            expect: u64,
        }
        /// Something was not done; the connection goes on (A5).
        "error" Error {
            /// Why, for programs.
            code: String,
            /// Why and what to do, for people.
            message: String,
            /// Which room it concerns, as the client wrote it: it may be the name of none.
            #[serde(skip_serializing_if = "Option::is_none")]
            room: Option<String>,
            /// The action that was not taken.
            #[serde(skip_serializing_if = "Option::is_none")]
            n: Option<u64>,
            /// When to send it again, in milliseconds from now.
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_ms: Option<u64>,
        }
        /// Asks for a sign of life (F1).
        "ping" Ping {}
        /// Asks the client to open a second socket and resume there (D3).
        "move" Move {
            /// When to begin, in milliseconds from the frame's arrival.
            after_ms: u64,
            /// When this socket closes, in milliseconds from the frame's arrival.
            by_ms: u64,
        }
        /// The server cannot take the socket now (D1).
        "busy" Busy {
            /// When to try again, in milliseconds from now.
            retry_ms: u64,
        }
        /// Stands before every close by the server.
        "bye" Bye {
            /// The code of the close frame that follows.
            code: CloseCode,
            /// Why, for people.
            reason: String,
            /// True if the session can be resumed.
            resume: bool,
            /// When to come back, in milliseconds from now.
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_ms: Option<u64>,
        }
    }
}

/// The facts that a client must know of its session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The session's name; text in every codec.
    #[serde(serialize_with = "as_text")]
    pub sid: Sid,
    /// The secret that the next `resume` needs.
    pub key: String,
    /// The number of times that a socket has been attached.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The time for which the session outlives its socket, in milliseconds (S2).
    pub ttl_ms: u64,
    /// The longest silence of the server, in milliseconds (F1).
    pub heartbeat_ms: u64,
    /// The limits of what the server takes.
    pub limits: Limits,
}

fn as_text<S: Serializer>(sid: &Sid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(sid)
}

/// The limits of what the server takes from one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest frame, in bytes (F2).
    pub frame_bytes: usize,
    /// Actions a second (A5).
    pub actions_per_s: u32,
}

/// The way in which a client catches up in a room (R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Everything after its position follows.
    Replay,
    /// A snapshot follows, and what came after it.
    Snapshot,
    /// The session is not in the room.
    Gone,
}

/// Why a client gets a snapshot instead of a replay (R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotReason {
    /// Its position is older than the log.
    Trimmed,
    /// Its position belongs to a history that the store has lost.
    Diverged,
    /// It had no position.
    Requested,
    /// The snapshot is smaller than the replay would be.
    Shorter,
}

impl SnapshotReason {
    /// The reason as it is written in a frame.
    pub fn as_str(self) -> &'static str {
        match self {
            SnapshotReason::Trimmed => "trimmed",
            SnapshotReason::Diverged => "diverged",
            SnapshotReason::Requested => "requested",
            SnapshotReason::Shorter => "shorter",
        }
    }
}
