//! D1, D2: what a client does with a slot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use outlast_protocol::{ClientFrame, CloseCode, Codec, ServerFrame, Sid};
use reconnect_storm::{Backoff, Client, Output, Settings, SocketId};
use serde_json::json;

const RETRY_MS: u64 = 700;

fn client(is_polite: bool, now: Instant) -> Client {
    let settings = Settings {
        is_polite,
        backoff: Backoff::Fixed(Duration::from_millis(100)),
        ..Settings::new(["a", "b"])
    };
    Client::new(settings, now)
}

/// The socket that the client dials when it is time, and at which gateway; and when that was.
fn dialled(client: &mut Client, now: &mut Instant) -> (SocketId, usize) {
    loop {
        while let Some(output) = client.poll() {
            if let Output::Connect { socket, gateway } = output {
                return (socket, gateway);
            }
        }
        *now = client.wake_at().unwrap();
        client.tick(*now);
    }
}

fn busy(client: &mut Client, now: Instant, socket: SocketId) {
    client.connected(now, socket);
    let retry_ms = RETRY_MS;
    client.heard(now, socket, ServerFrame::Busy { retry_ms });
}

#[test]
fn d1_a_client_comes_back_in_its_slot_where_it_was_given_it() {
    let mut now = Instant::now();
    let mut client = client(true, now);
    for _ in 0..5 {
        let (socket, gateway) = dialled(&mut client, &mut now);
        assert_eq!(gateway, 0);
        let told = now;
        busy(&mut client, now, socket);
        let (_, again) = dialled(&mut client, &mut now);
        assert_eq!((again, now - told), (0, Duration::from_millis(RETRY_MS)));
        client.lost(now, socket + 1, None);
        // Who finds nobody there tries the next one, and from there the first.
        let (socket, elsewhere) = dialled(&mut client, &mut now);
        assert_eq!(elsewhere, 1);
        client.lost(now, socket, None);
    }
}

#[test]
fn d2_a_client_that_gets_nothing_but_slots_tries_elsewhere() {
    let mut now = Instant::now();
    let mut client = client(true, now);
    let mut gateways = Vec::new();
    for _ in 0..7 {
        let (socket, gateway) = dialled(&mut client, &mut now);
        gateways.push(gateway);
        busy(&mut client, now, socket);
    }
    assert_eq!(gateways, [0, 0, 0, 1, 1, 1, 0]);
}

/// Attaches on the next socket, which has the key of this generation.
fn attach(client: &mut Client, now: &mut Instant, generation: u64) -> SocketId {
    let (socket, _) = dialled(client, now);
    client.connected(*now, socket);
    let t = if generation == 1 {
        "welcome"
    } else {
        "resumed"
    };
    let (key, limits) = (
        format!("key-{generation}"),
        json!({"frame_bytes": 65_536, "actions_per_s": 50}),
    );
    let frame = json!({"t": t, "sid": Sid::nil(), "key": key, "gen": generation, "rooms": {},
        "ttl_ms": 120_000, "heartbeat_ms": 25_000, "limits": limits});
    let frame = Codec::Json
        .decode_server(frame.to_string().as_bytes())
        .unwrap();
    client.heard(*now, socket, frame);
    socket
}

/// Resumes on the next socket, which is lost before there is an answer; returns the key that it bore.
fn give_up(client: &mut Client, now: &mut Instant) -> String {
    let (socket, _) = dialled(client, now);
    client.connected(*now, socket);
    let key = std::iter::from_fn(|| client.poll()).find_map(|output| match output {
        Output::Send {
            frame: ClientFrame::Resume { key, .. },
            ..
        } => Some(key),
        Output::Send { .. }
        | Output::Connect { .. }
        | Output::Disconnect { .. }
        | Output::Saw(_) => None,
    });
    client.lost(*now, socket, None);
    key.unwrap()
}

#[test]
fn s5_a_late_resume_of_its_own_does_not_stop_a_client() {
    let mut now = Instant::now();
    let mut client = client(true, now);
    let taken_over = Some(CloseCode::TakenOver.code());
    let first = attach(&mut client, &mut now, 1);
    client.lost(now, first, None);
    // What it sent on this socket arrives when it has long been given up.
    let (unanswered, _) = dialled(&mut client, &mut now);
    client.connected(now, unanswered);
    client.lost(now, unanswered, None);
    let second = attach(&mut client, &mut now, 2);
    client.lost(now, second, taken_over);
    let (third, _) = dialled(&mut client, &mut now);
    client.connected(now, third);
    let frames = std::iter::from_fn(|| client.poll());
    let key = |output| {
        let Output::Send { frame, .. } = output else {
            return None;
        };
        let ClientFrame::Resume { key, .. } = frame else {
            return None;
        };
        Some(key)
    };
    let keys: Vec<_> = frames.filter_map(key).collect();
    assert_eq!(keys, ["key-1"], "the newest was made void by the late one");
    client.lost(now, third, Some(CloseCode::Moved.code()));
    let third = attach(&mut client, &mut now, 4);
    client.lost(now, third, taken_over);
    assert_eq!(client.wake_at(), None, "this time it was somebody else");
}

#[test]
fn s5_a_client_tries_the_key_of_each_resume_that_may_have_come_late() {
    let mut now = Instant::now();
    let mut client = client(true, now);
    let gone = Some(CloseCode::SessionGone.code());
    let first = attach(&mut client, &mut now, 1);
    client.lost(now, first, None);
    give_up(&mut client, &mut now);
    let second = attach(&mut client, &mut now, 2);
    client.lost(now, second, None);
    assert_eq!(give_up(&mut client, &mut now), "key-2");
    let (refused, _) = dialled(&mut client, &mut now);
    client.connected(now, refused);
    client.lost(now, refused, gone);
    assert_eq!(give_up(&mut client, &mut now), "key-1");
}

#[test]
fn d2_a_slot_is_no_attempt_that_failed() {
    let mut now = Instant::now();
    let backoff = Backoff::Prompt {
        base: Duration::from_millis(500),
        cap: Duration::from_secs(30),
    };
    let settings = Settings {
        backoff,
        ..Settings::new(["a", "b"])
    };
    let mut client = Client::new(settings, now);
    for _ in 0..10 {
        let (socket, _) = dialled(&mut client, &mut now);
        busy(&mut client, now, socket);
    }
    let (socket, _) = dialled(&mut client, &mut now);
    let lost = now;
    client.lost(now, socket, None);
    dialled(&mut client, &mut now);
    assert_eq!(now, lost, "the first time at once");
}

#[test]
fn a_rude_client_goes_by_its_backoff_and_turns() {
    let mut now = Instant::now();
    let mut client = client(false, now);
    let (socket, gateway) = dialled(&mut client, &mut now);
    let told = now;
    busy(&mut client, now, socket);
    let (_, again) = dialled(&mut client, &mut now);
    assert_eq!(
        (gateway, again, now - told),
        (0, 1, Duration::from_millis(100))
    );
}
