//! The acts of clients: each bears its author and its time, so that no two are the same.

use outlast_protocol::Payload;
use serde::{Deserialize, Serialize};

/// An act of chat that bears a stamp, filled up to a length.
#[derive(Debug, Serialize)]
pub(crate) struct Say {
    say: String,
}

/// Either side of what is said.
#[derive(Deserialize)]
struct Text {
    #[serde(alias = "say")]
    said: Option<String>,
}

const AUTHOR_BITS: u32 = 20;
const DIGITS: usize = 16;

/// The author of an act and its time, in microseconds on the pool's clock.
pub(crate) fn stamp(author: u32, at_us: u64) -> u64 {
    (at_us << AUTHOR_BITS) | u64::from(author)
}

pub(crate) fn author(stamp: u64) -> u32 {
    (stamp & ((1 << AUTHOR_BITS) - 1)) as u32
}

pub(crate) fn at_us(stamp: u64) -> u64 {
    stamp >> AUTHOR_BITS
}

pub(crate) fn say(stamp: u64, text_bytes: usize) -> Say {
    let filling = ".".repeat(text_bytes.saturating_sub(DIGITS));
    Say {
        say: format!("{stamp:0DIGITS$x}{filling}"),
    }
}

/// The stamp of an act or of its event.
pub(crate) fn stamp_of(data: &Payload) -> Option<u64> {
    let text = data.read::<Text>().ok()?.said?;
    u64::from_str_radix(text.get(..DIGITS)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_act_and_its_event_bear_the_same_mark() {
        let stamp = stamp(4_711, 123_456_789);
        let act = Payload::of(&say(stamp, 100)).unwrap();
        assert_eq!(stamp_of(&act), Some(stamp));
        let text = format!("{stamp:016x}");
        assert_eq!(
            stamp_of(&Payload::from(&json!({"said": text}))),
            Some(stamp)
        );
        assert_eq!((author(stamp), at_us(stamp)), (4_711, 123_456_789));
        assert_eq!(
            stamp_of(&Payload::from(&json!({"entered": {"member": 1}}))),
            None
        );
    }
}
