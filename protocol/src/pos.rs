use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::NUMBER_MAX;

/// The position of an entry in its room's log, written `off-tag`.
///
/// `off` counts 1, 2, 3 … in the room; `tag` is a random number drawn for each commit, so that equal
/// positions mean the same history even after a store has lost its newest writes (R4). Position `0-0`
/// stands before the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Pos {
    /// Which entry of the room this is, from 1.
    pub off: u64,
    /// The random number of the commit that wrote it.
    pub tag: u64,
}

/// Why a text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position is two whole numbers with a '-' between them, as the server sent it")]
pub struct BadPos;

impl Pos {
    /// Before the first entry of a room.
    pub const START: Pos = Pos { off: 0, tag: 0 };
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.off, self.tag)
    }
}

impl FromStr for Pos {
    type Err = BadPos;

    fn from_str(text: &str) -> Result<Self, BadPos> {
        let number = |digits: &str| {
            let canonical = digits == "0" || !digits.starts_with('0');
            if !canonical || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BadPos);
            }
            digits
                .parse()
                .ok()
                .filter(|n| *n <= NUMBER_MAX)
                .ok_or(BadPos)
        };
        let (off, tag) = text.split_once('-').ok_or(BadPos)?;
        Ok(Pos {
            off: number(off)?,
            tag: number(tag)?,
        })
    }
}

impl Serialize for Pos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let pos = Pos { off: 15, tag: 4821 };
        assert_eq!(pos.to_string(), "15-4821");
        assert_eq!("15-4821".parse(), Ok(pos));
    }

    #[test]
    fn r3_refuses_a_malformed_pos() {
        for text in [
            "",
            "-",
            "15",
            "15-",
            "-1",
            "+1-2",
            "1-2-3",
            "01-2",
            "1 -2",
            "9007199254740992-1",
            "a-b",
        ] {
            assert_eq!(text.parse::<Pos>(), Err(BadPos), "{text:?}");
        }
    }
}
