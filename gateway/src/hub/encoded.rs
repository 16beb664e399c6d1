//! Entries and signals as the window holds them: each is encoded once per codec, for all sockets that are sent it.

use std::sync::OnceLock;

use bytes::Bytes;
use outlast_protocol::{Codec, Payload, RoomName, ServerFrame};
use outlast_store::{Body, Entry};

use crate::frame;

/// A log entry on its way to clients, encoded at most once for each codec.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) entry: Entry,
    encoded: Encoded,
}

/// Volatile news on its way to clients.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) data: Payload,
    encoded: Encoded,
}

#[derive(Debug, Default)]
struct Encoded {
    json: OnceLock<Bytes>,
    msgpack: OnceLock<Bytes>,
}

impl Item {
    pub(crate) fn new(mut entry: Entry) -> Self {
        // It is the room's own, and may be large.
        if let Body::Result { kept, .. } = &mut entry.body {
            *kept = None;
        }
        Item {
            entry,
            encoded: Encoded::default(),
        }
    }

    /// The frame that members are sent.
    pub(crate) fn frame(&self, room: &RoomName, codec: Codec) -> Bytes {
        self.encoded.get(codec, || entry_frame(room, &self.entry))
    }

    /// About how much a member is sent.
    pub(crate) fn frame_bytes(&self) -> usize {
        const ENVELOPE: usize = 128;
        ENVELOPE + self.entry.body.payload_bytes()
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        OVERHEAD + 2 * self.entry.body.payload_bytes()
    }
}

impl Signal {
    pub(crate) fn new(data: Payload) -> Self {
        Signal {
            data,
            encoded: Encoded::default(),
        }
    }

    /// The frame that members are sent.
    pub(crate) fn frame(&self, room: &RoomName, codec: Codec) -> Bytes {
        self.encoded.get(codec, || ServerFrame::Signal {
            room: room.clone(),
            data: self.data.clone(),
        })
    }
}

impl Encoded {
    fn get(&self, codec: Codec, frame: impl FnOnce() -> ServerFrame) -> Bytes {
        let encoded = match codec {
            Codec::Json => &self.json,
            Codec::MsgPack => &self.msgpack,
        };
        encoded
            .get_or_init(|| frame::encode(codec, &frame()))
            .clone()
    }
}

fn entry_frame(room: &RoomName, entry: &Entry) -> ServerFrame {
    let (room, pos) = (room.clone(), entry.pos);
    match entry.body.clone() {
        Body::Event {
            by,
            n,
            quiet: _,
            data,
        } => ServerFrame::Event {
            room,
            pos,
            by,
            n,
            data,
        },
        Body::Notice { to: _, data } => ServerFrame::Notice { room, pos, data },
        Body::Result {
            to: _,
            n,
            ok,
            data,
            code,
            message,
            kept: _,
        } => ServerFrame::Result {
            room,
            n,
            pos,
            ok,
            data,
            code,
            message,
        },
    }
}

#[cfg(test)]
mod tests {
    use outlast_protocol::Pos;

    use super::*;

    #[test]
    fn what_only_the_room_is_to_know_is_not_held_for_its_members() {
        let body = Body::Result {
            to: 1,
            n: 1,
            ok: true,
            data: None,
            code: None,
            message: None,
            kept: Some(Payload::of(&"x".repeat(1 << 20)).unwrap()),
        };
        let item = Item::new(Entry {
            pos: Pos::START,
            at: 0,
            body,
        });
        assert_eq!(item.entry.body.payload_bytes(), 0);
        assert!(item.bytes() < 1_024, "{}", item.bytes());
    }
}
