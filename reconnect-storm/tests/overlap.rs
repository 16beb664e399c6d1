//! D3: what a client makes of two sockets that deliver the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Instant;

use outlast_protocol::{Codec, ServerFrame, Sid};
use reconnect_storm::{Client, Output, Seen, Settings, SocketId};
use serde_json::{Value, json};

/// A client and the offsets of the events that its application was given.
struct Mover {
    client: Client,
    now: Instant,
    seen: Vec<u64>,
}

impl Mover {
    fn start() -> Self {
        let now = Instant::now();
        Mover {
            client: Client::new(Settings::new(["a", "b"]), now),
            now,
            seen: Vec::new(),
        }
    }

    /// Does what the client wants until it dials, and connects it.
    fn connect(&mut self) -> SocketId {
        loop {
            if let Some(socket) = self.look() {
                self.client.connected(self.now, socket);
                return socket;
            }
            self.now = self.client.wake_at().unwrap();
            self.client.tick(self.now);
        }
    }

    fn hears(&mut self, socket: SocketId, frame: &Value) {
        let frame = Codec::Json.decode_server(frame.to_string().as_bytes());
        self.client.heard(self.now, socket, frame.unwrap());
        self.look();
    }

    /// Notes the events that were seen; returns the socket that is to be dialled.
    fn look(&mut self) -> Option<SocketId> {
        let mut dialled = None;
        while let Some(output) = self.client.poll() {
            match output {
                Output::Saw(Seen::Heard(ServerFrame::Event { pos, .. })) => self.seen.push(pos.off),
                Output::Connect { socket, .. } => dialled = Some(socket),
                Output::Saw(_) | Output::Send { .. } | Output::Disconnect { .. } => {}
            }
        }
        dialled
    }
}

fn attached(t: &str, rooms: &Value) -> Value {
    json!({"t": t, "sid": Sid::nil(), "key": t, "gen": 1, "rooms": rooms, "ttl_ms": 120_000,
        "heartbeat_ms": 25_000, "limits": {"frame_bytes": 65_536, "actions_per_s": 50}})
}

fn event(off: u64) -> Value {
    json!({"t": "event", "room": "chat/a", "pos": format!("{off}-7"), "by": 9, "data": {}})
}

#[test]
fn d3_what_the_first_socket_gave_does_not_come_again_where_the_second_is_behind_it() {
    let mut mover = Mover::start();
    let first = mover.connect();
    mover.hears(first, &attached("welcome", &json!({})));
    mover
        .client
        .join(mover.now, &"chat/a".parse().unwrap(), None);
    mover.hears(
        first,
        &json!({"t": "joined", "room": "chat/a", "n": 1, "member": 1, "pos": "1-7", "state": {}}),
    );
    mover.hears(
        first,
        &json!({"t": "move", "url": null, "after_ms": 0, "by_ms": 9_000}),
    );
    let second = mover.connect();
    // While the second socket is told of the room as it was, the first goes on.
    mover.hears(first, &event(2));
    mover.hears(first, &event(3));
    mover.hears(second, &attached("resumed", &json!({"chat/a": "replay"})));
    mover.hears(second, &event(2));
    mover.hears(
        second,
        &json!({"t": "live", "room": "chat/a", "pos": "2-7"}),
    );
    mover.hears(second, &event(3));
    mover.hears(second, &event(4));
    assert_eq!(mover.seen, [2, 3, 4]);
}
