//! What sessions ask of the lab, and what a commit says to them.

use outlast_protocol::{Payload, Sid};
use outlast_store::{Answer, Body, Commit, Input, Request};
use serde::Serialize;

use super::{bench::ROOM, lab::Action};

/// A session's request.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Join,
    JoinSaying(&'static str),
    Act(Action),
    Leave,
}

pub(super) fn sid(session: u64) -> Sid {
    Sid::from_u128(u128::from(session))
}

pub(super) fn request(n: u64, asked: Asked) -> Request {
    let join = |data: Option<Payload>| Request::Join {
        n,
        user: "somebody".into(),
        data,
    };
    match asked {
        Asked::Join => join(None),
        Asked::JoinSaying(data) => join(Some(payload(data))),
        Asked::Act(action) => Request::Act {
            n,
            data: payload(&action),
        },
        Asked::Leave => Request::Leave { n },
    }
}

pub(super) fn input(session: u64, generation: u64, request: Request) -> Input {
    input_in(ROOM, session, generation, request)
}

pub(super) fn input_in(room: &str, session: u64, generation: u64, request: Request) -> Input {
    Input {
        room: room.parse().unwrap(),
        sid: sid(session),
        generation,
        gateway: Some("gateway".into()),
        request,
    }
}

pub(super) fn payload(value: &(impl Serialize + ?Sized)) -> Payload {
    Payload::of(value).unwrap()
}

pub(super) fn answers(commit: &Commit) -> Vec<Answer> {
    let replies = commit.replies.iter();
    replies.map(|(_, reply)| reply.answer.clone()).collect()
}

pub(super) fn entries(commit: &Commit) -> Vec<Body> {
    let rooms = commit.rooms.iter().flat_map(|room| &room.entries);
    rooms.map(|entry| entry.body.clone()).collect()
}

/// An event as it stands in the log.
pub(super) fn event(by: Option<u32>, n: Option<u64>, data: &str) -> Body {
    Body::Event {
        by,
        n,
        quiet: false,
        data: Payload::from_json(data.into()).unwrap(),
    }
}

/// The same for one that its own member is not sent.
pub(super) fn quiet(by: u32, n: Option<u64>, data: &str) -> Body {
    Body::Event {
        by: Some(by),
        n,
        quiet: true,
        data: Payload::from_json(data.into()).unwrap(),
    }
}

/// An accepted act without an event.
pub(super) fn ok(to: u32, n: u64) -> Body {
    Body::Result {
        to,
        n,
        ok: true,
        data: None,
        code: None,
        message: None,
        kept: None,
    }
}

/// A refused action.
pub(super) fn refused(to: u32, n: u64, code: &str, message: &str) -> Body {
    Body::Result {
        to,
        n,
        ok: false,
        data: None,
        code: Some(code.into()),
        message: Some(message.into()),
        kept: None,
    }
}
