use outlast_protocol::{Payload, RoomName, Sid};
use serde::{Deserialize, Serialize};

use crate::{
    NodeId,
    version::{UnknownVersion, Version},
};

/// A message on its way through a topic to a room: something that a session did, or that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Input {
    /// The room it is for.
    pub room: RoomName,
    /// The session that it is about.
    pub sid: Sid,
    /// The generation of the socket that brought it, or of the session when the keeper speaks. A room
    /// refuses generations lower than the newest it knows (S5).
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The gateway that waits for the answer; none for a keeper.
    #[serde(rename = "gw", default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<NodeId>,
    /// The request.
    #[serde(rename = "do")]
    pub request: Request,
}

/// An input as any version may have written it.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    v: Version,
    room: RoomName,
    sid: Sid,
    #[serde(rename = "gen")]
    generation: u64,
    #[serde(rename = "gw", default)]
    gateway: Option<NodeId>,
    #[serde(rename = "do")]
    request: Request,
}

impl TryFrom<Written> for Input {
    type Error = UnknownVersion;

    fn try_from(written: Written) -> Result<Self, UnknownVersion> {
        written.v.check()?;
        Ok(Input {
            room: written.room,
            sid: written.sid,
            generation: written.generation,
            gateway: written.gateway,
            request: written.request,
        })
    }
}

/// A request to a room.
///
/// `Join`, `Act` and `Leave` are actions of the client's, numbered (A1). The others are not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The session asks to become a member.
    #[serde(rename = "join")]
    Join {
        /// The action's number.
        n: u64,
        /// The user that the session's token names.
        user: String,
        /// The data that the client sent along with it.
        data: Option<Payload>,
    },
    /// The session asks something of the room.
    #[serde(rename = "act")]
    Act {
        /// The action's number.
        n: u64,
        /// The action's data.
        data: Payload,
    },
    /// The session leaves.
    #[serde(rename = "leave")]
    Leave {
        /// The action's number.
        n: u64,
    },
    /// A socket of this generation has been attached. Answered with [`crate::Answer::Seated`], after
    /// everything that stood in the topic before it.
    #[serde(rename = "attached")]
    Attached {
        /// True if the answer should bring what the room shows to this session.
        view: bool,
    },
    /// A socket of this generation has been attached, and the gateway has seen the session's seat
    /// ([`Topic::arrive`](crate::Topic::arrive)). Answered with [`crate::Answer::Seated`] too, but only where the
    /// session is no member any more.
    #[serde(rename = "arrived")]
    Arrived,
    /// The gateway wants what the room shows to this session. Answered with
    /// [`crate::Answer::Seated`] too; changes nothing.
    #[serde(rename = "view")]
    View,
    /// The session has been without a socket for longer than the grace (S7).
    #[serde(rename = "detached")]
    Detached,
    /// Somebody who is not in the room asks something of it, over HTTP. The input's `sid` stands for the
    /// caller's idempotency key, and has asked nothing else. Answered with [`crate::Answer::Outcome`] of
    /// number 1, as often as it is asked (A6).
    #[serde(rename = "post")]
    Post {
        /// The user that the caller's token names.
        user: String,
        /// The data of the request.
        data: Payload,
    },
    /// A process of the fleet says how it is. Nobody waits for an answer, nothing is kept of who said it, and
    /// what is lost is not said again.
    #[serde(rename = "report")]
    Report {
        /// The data of the report.
        data: Payload,
    },
    /// Somebody who is not in the room wants to know what it shows to everybody. Answered with
    /// [`crate::Answer::Seated`]; changes nothing.
    #[serde(rename = "look")]
    Look,
    /// An operator asks that a room which stands still is loaded again now. Answered with
    /// [`crate::Answer::Seated`] where it runs, and with [`crate::Answer::NotTaken`] where it does not.
    #[serde(rename = "reload")]
    Reload,
    /// An operator asks what was set aside in a room. Answered with [`crate::Answer::Seated`], whose `state` says it.
    #[serde(rename = "inspect")]
    Inspect,
    /// The session is over, and nothing more that it sent may count (S6).
    #[serde(rename = "over")]
    Over {
        /// Why: `expired` or `ended`.
        reason: String,
    },
}

/// When an append stops being welcome, on the store's clock, in milliseconds since the epoch.
///
/// A gateway that was stopped for an hour must not wake up and deliver what a dead session said: a
/// room remembers ended sessions for longer than any append can be late (S6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_as_it_was_written() {
        let data = Payload::from_json(r#"{"say": "hi", "n": [1, 2.50]}"#.into()).unwrap();
        for request in [
            Request::Join {
                n: 1,
                user: "ada".into(),
                data: Some(data.clone()),
            },
            Request::Act {
                n: 2,
                data: data.clone(),
            },
            Request::Post {
                user: "billing".into(),
                data: data.clone(),
            },
            Request::Report { data },
            Request::Look,
            Request::Reload,
            Request::Inspect,
            Request::Leave { n: 3 },
            Request::Attached { view: true },
            Request::Arrived,
            Request::View,
            Request::Detached,
            Request::Over {
                reason: "expired".into(),
            },
        ] {
            let room = "chat/lobby".parse().unwrap();
            let input = Input {
                room,
                sid: Sid::now_v7(),
                generation: 4,
                gateway: Some("g".into()),
                request,
            };
            let written = serde_json::to_string(&input).unwrap();
            assert_eq!(
                serde_json::from_str::<Input>(&written).unwrap(),
                input,
                "{written}"
            );
        }
    }
}
