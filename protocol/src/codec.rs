use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BadRoomName, ClientFrame, DEPTH_MAX, RoomName, ServerFrame, depth, wire::Tagged};

/// The encoding of frames: the subprotocol that a client chose (H1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Text frames, one JSON object each.
    #[default]
    Json,
    /// Binary frames, the same maps in MessagePack.
    MsgPack,
}

/// Why a message is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a frame of protocol 1 at all: the socket is closed with 4004 (F2).
    #[error("{0}")]
    Malformed(String),
    /// A frame of a type that this version does not know: answered with an `error`.
    #[error("no frame is called {0:?}")]
    UnknownType(String),
    /// An action for something that is no room: answered with an `error` that bears its `n`.
    #[error("{room:?} is no room: {BadRoomName}")]
    BadRoom {
        /// The text that stood in `room`.
        room: String,
        /// The action's number.
        n: u64,
    },
}

impl Codec {
    /// Both codecs.
    pub const ALL: [Codec; 2] = [Codec::Json, Codec::MsgPack];

    /// The WebSocket subprotocol that stands for this codec.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Codec::Json => "outlast.v1.json",
            Codec::MsgPack => "outlast.v1.msgpack",
        }
    }

    /// Writes what a server sends.
    pub fn encode_server(self, frame: &ServerFrame) -> Vec<u8> {
        self.encode(frame)
    }

    /// Writes what a client sends.
    pub fn encode_client(self, frame: &ClientFrame) -> Vec<u8> {
        self.encode(frame)
    }

    /// Reads what a client sent.
    pub fn decode_client(self, bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
        self.decode(bytes)
            .map_err(|error| self.blame_room(bytes).unwrap_or(error))
    }

    /// Reads what a server sent.
    pub fn decode_server(self, bytes: &[u8]) -> Result<ServerFrame, DecodeError> {
        self.decode(bytes)
    }

    /// Writes any value in this codec; frames and their payloads always succeed, since their keys are
    /// strings and their payloads were read as JSON.
    fn encode(self, frame: &impl Serialize) -> Vec<u8> {
        let encoded = match self {
            Codec::Json => serde_json::to_vec(frame).map_err(|error| error.to_string()),
            Codec::MsgPack => rmp_serde::to_vec_named(frame).map_err(|error| error.to_string()),
        };
        encoded.expect("a frame can be encoded")
    }

    fn decode<T: Tagged>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        #[derive(Deserialize)]
        struct Head {
            t: String,
        }
        self.check_shape(bytes)?;
        let Head { t } = self.read(bytes)?;
        let frame = match self {
            Codec::Json => {
                let mut json = serde_json::Deserializer::from_slice(bytes);
                T::read(&t, &mut json).map(|frame| frame.map_err(malformed))
            }
            Codec::MsgPack => {
                let mut msgpack = rmp_serde::Deserializer::from_read_ref(bytes);
                msgpack.set_max_depth(MSGPACK_DEPTH_MAX);
                T::read(&t, &mut msgpack).map(|frame| frame.map_err(malformed))
            }
        };
        frame.ok_or(DecodeError::UnknownType(t))?
    }

    /// One map, of bounded depth, and nothing after it.
    fn check_shape(self, bytes: &[u8]) -> Result<(), DecodeError> {
        let is_map = match self {
            Codec::Json => {
                let text = std::str::from_utf8(bytes).map_err(malformed)?;
                if depth::json_too_deep(text) {
                    let message = format!("the frame nests deeper than {DEPTH_MAX} levels");
                    return Err(DecodeError::Malformed(message));
                }
                text.trim_ascii_start().starts_with('{')
            }
            Codec::MsgPack => matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf)),
        };
        if is_map {
            Ok(())
        } else {
            Err(DecodeError::Malformed("a frame is one map".into()))
        }
    }

    /// Reads a whole message; refuses what stands after it.
    fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        match self {
            Codec::Json => serde_json::from_slice(bytes).map_err(malformed),
            Codec::MsgPack => {
                let mut rest = bytes;
                let mut msgpack = rmp_serde::Deserializer::new(&mut rest);
                msgpack.set_max_depth(MSGPACK_DEPTH_MAX);
                let value = T::deserialize(&mut msgpack).map_err(malformed)?;
                if rest.is_empty() {
                    return Ok(value);
                }
                Err(DecodeError::Malformed(
                    "something stands behind the frame's map".into(),
                ))
            }
        }
    }

    /// Tells an action for a bad room name from a message that is no frame.
    fn blame_room(self, bytes: &[u8]) -> Option<DecodeError> {
        #[derive(Deserialize)]
        struct Action {
            t: String,
            room: String,
            #[serde(deserialize_with = "crate::wire::number")]
            n: u64,
        }
        let Action { t, room, n } = self
            .check_shape(bytes)
            .and_then(|()| self.read(bytes))
            .ok()?;
        let action = matches!(t.as_str(), "join" | "act" | "leave");
        (action && room.parse::<RoomName>().is_err()).then_some(DecodeError::BadRoom { room, n })
    }
}

/// rmp-serde counts the frame's own map and its fields as levels too.
const MSGPACK_DEPTH_MAX: usize = DEPTH_MAX + 1;

fn malformed(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}
