use std::sync::OnceLock;

use bytes::Bytes;
use outlast_broker::{Body, Entry};
use outlast_protocol::{Codec, Payload, RoomName, ServerFrame};

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
    pub(crate) fn new(entry: Entry) -> Self {
        Item {
            entry,
            encoded: Encoded::default(),
        }
    }

    /// The frame that members are sent.
    pub(crate) fn frame(&self, room: &RoomName, codec: Codec) -> Bytes {
        self.encoded.get(codec, || entry_frame(room, &self.entry))
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        let payload = match &self.entry.body {
            Body::Event { data, .. } | Body::Notice { data, .. } => data.as_json().len(),
            Body::Result { data, .. } => data.as_ref().map_or(0, |data| data.as_json().len()),
        };
        OVERHEAD + 2 * payload
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
