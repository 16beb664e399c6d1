use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A room's name, `kind/name`: at most 128 bytes of `[a-z0-9._-]` and exactly one `/`, with something
/// on either side of it. Cloning it copies no text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// Why a text is no room name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a room is named kind/name, with at most 128 of a-z, 0-9, '.', '_' and '-' and exactly one '/', \
     for example chat/lobby"
)]
pub struct BadRoomName;

impl RoomName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// The kind of the rooms that show how the fleet is.
    pub const KIND_FOR_OPERATORS: &str = "stats";

    /// Returns the kind of the room, which stands before the `/`.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// True if only operators may join it: those whose token has the claim `admin` (B4).
    pub fn is_for_operators(&self) -> bool {
        self.kind() == Self::KIND_FOR_OPERATORS
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomName {
    type Err = BadRoomName;

    fn from_str(text: &str) -> Result<Self, BadRoomName> {
        let (kind, name) = text.split_once('/').ok_or(BadRoomName)?;
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let part = |text: &str| !text.is_empty() && text.bytes().all(allowed);
        if text.len() > Self::BYTES_MAX || !part(kind) || !part(name) {
            return Err(BadRoomName);
        }
        Ok(RoomName(text.into()))
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RoomName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_contract_allows() {
        for text in [
            "chat/lobby",
            "a/b",
            "game/arena-1.x_y",
            &format!("c/{}", "x".repeat(126)),
        ] {
            assert_eq!(text.parse::<RoomName>().unwrap().as_str(), text);
        }
        assert_eq!("chat/lobby".parse::<RoomName>().unwrap().kind(), "chat");
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("c/{}", "x".repeat(127));
        for text in [
            "", "/", "chat", "chat/", "/x", "a/b/c", "Chat/x", "chat/ü", "a b/c", &long,
        ] {
            assert_eq!(text.parse::<RoomName>(), Err(BadRoomName), "{text:?}");
        }
    }
}
