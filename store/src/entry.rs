use outlast_protocol::{Payload, Pos};
use serde::{Deserialize, Serialize};

use crate::version::{UnknownVersion, Version};

/// An entry of a room's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Entry {
    /// Where it stands.
    pub pos: Pos,
    /// The room's clock when it was written, in milliseconds since the epoch.
    pub at: u64,
    /// The entry's content.
    #[serde(rename = "is")]
    pub body: Body,
}

/// An entry as any version may have written it.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    v: Version,
    pos: Pos,
    at: u64,
    #[serde(rename = "is")]
    body: Body,
}

impl TryFrom<Written> for Entry {
    type Error = UnknownVersion;

    fn try_from(written: Written) -> Result<Self, UnknownVersion> {
        let Written { v, pos, at, body } = written;
        v.check()?;
        Ok(Entry { pos, at, body })
    }
}

/// The content of a log entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// Something happened: for every member, except where `quiet`.
    #[serde(rename = "e")]
    Event {
        /// The member whose action caused it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<u32>,
        /// The number of that action.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        n: Option<u64>,
        /// True if `by` itself is not sent it: its own join or leave caused it (A2).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        quiet: bool,
        /// The event's data.
        data: Payload,
    },
    /// Something for one member alone.
    #[serde(rename = "o")]
    Notice {
        /// Whom it is for.
        to: u32,
        /// The notice's data.
        data: Payload,
    },
    /// The outcome of a member's action.
    #[serde(rename = "r")]
    Result {
        /// Whom it is for.
        to: u32,
        /// The action's number.
        n: u64,
        /// True if the room took it.
        ok: bool,
        /// The room's answer.
        #[serde(
            default,
            deserialize_with = "outlast_protocol::given",
            skip_serializing_if = "Option::is_none"
        )]
        data: Option<Payload>,
        /// Why it was refused, for programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Why it was refused, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The change by the action that only the room is to know: the room folds it like an event, and
        /// nobody is sent it.
        #[serde(
            default,
            deserialize_with = "outlast_protocol::given",
            skip_serializing_if = "Option::is_none"
        )]
        kept: Option<Payload>,
    },
}

impl Body {
    /// True if a member is sent this entry.
    pub fn is_for(&self, member: u32) -> bool {
        match self {
            Body::Event { by, quiet, .. } => !(*quiet && *by == Some(member)),
            Body::Notice { to, .. } | Body::Result { to, .. } => *to == member,
        }
    }

    /// The number of the member's action whose outcome this is, if it is one.
    pub fn settles(&self, member: u32) -> Option<u64> {
        match self {
            Body::Event { by, n, .. } => n.filter(|_| *by == Some(member)),
            Body::Notice { .. } => None,
            Body::Result { to, n, .. } => (*to == member).then_some(*n),
        }
    }

    /// The size of everything in it whose length a room chooses, in bytes: also of what nobody is sent.
    pub fn payload_bytes(&self) -> usize {
        let payload = |payload: &Payload| payload.as_json().len();
        match self {
            Body::Event { data, .. } | Body::Notice { data, .. } => payload(data),
            Body::Result {
                data,
                code,
                message,
                kept,
                ..
            } => {
                let payloads = [data, kept].into_iter().flatten().map(payload);
                let texts = [code, message].into_iter().flatten().map(String::len);
                payloads.sum::<usize>() + texts.sum::<usize>()
            }
        }
    }

    /// The one member that this is addressed to; none when it is for everybody.
    pub fn addressee(&self) -> Option<u32> {
        match self {
            Body::Event { .. } => None,
            Body::Notice { to, .. } | Body::Result { to, .. } => Some(*to),
        }
    }
}
