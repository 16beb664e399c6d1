//! SPEC section 7, and how a gateway goes.

use std::time::Duration;

use outlast_gateway::GatewaySettings;
use outlast_testkit::{Client, PATIENCE, frames::say};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{Setup, World};

const ROOM: &str = "chat/lobby";

#[tokio::test]
async fn f1_pings_when_nothing_was_sent_and_closes_what_is_silent() {
    let world = World::with_settings(GatewaySettings {
        heartbeat_ms: 2_000,
        ..GatewaySettings::default()
    })
    .await;
    let (mut awake, _) = world.open().await;
    let start = Instant::now();
    let (mut asleep, _) = world.open().await;
    let mut answers = tokio::spawn(async move {
        loop {
            awake.expect("ping").await;
            awake.send(json!({"t": "pong"})).await;
        }
    });
    asleep.expect("ping").await;
    assert!(start.elapsed() >= Duration::from_millis(2_000));
    let bye = asleep.find("bye").await;
    assert_eq!((&bye["code"], &bye["resume"]), (&json!(4006), &json!(true)));
    assert!(start.elapsed() >= Duration::from_millis(4_000));
    // Who answers stays, for longer than one may be silent.
    let gone = tokio::time::timeout(Duration::from_millis(2_500), &mut answers).await;
    assert!(gone.is_err(), "{gone:?}");
    answers.abort();
}

#[tokio::test]
async fn f1_who_only_listens_to_a_busy_room_stays() {
    let world = World::with_settings(GatewaySettings {
        heartbeat_ms: 2_000,
        actions_per_s: 1_000,
        ..GatewaySettings::default()
    })
    .await;
    let (mut listens, _) = world.in_chat(ROOM, "Ada").await;
    let (mut talks, _) = world.in_chat(ROOM, "Bob").await;
    let start = Instant::now();
    let mut n = 2;
    while start.elapsed() < Duration::from_millis(4_500) {
        talks.send(say(ROOM, n, "x")).await;
        loop {
            match listens.frame().await {
                ping if ping["t"] == "ping" => listens.send(json!({"t": "pong"})).await,
                event if event["n"] == n => break,
                entered => assert_eq!(entered["data"]["entered"]["name"], "Bob"),
            }
        }
        n += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn f1_websocket_pings_are_answered_and_count() {
    let world = World::with_settings(GatewaySettings {
        heartbeat_ms: 2_000,
        ..GatewaySettings::default()
    })
    .await;
    let (mut client, _) = world.open().await;
    let start = Instant::now();
    // Longer than a client may be silent.
    while start.elapsed() < Duration::from_millis(5_000) {
        client.send_message(Message::Ping(vec![7].into())).await;
        loop {
            match client.message().await {
                Message::Pong(payload) => {
                    assert_eq!(payload[..], [7]);
                    break;
                }
                Message::Text(text) => assert!(text.contains("ping"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn f2_a_frame_that_is_too_big_is_told_so_and_takes_nobody_else_along() {
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, _) = world.in_chat(ROOM, "Bob").await;
    ada.expect("event").await;
    let large = "x".repeat(1_000_000);
    bob.send(say(ROOM, 2, &large)).await;
    bob.expect_bye(1009).await;
    ada.send(say(ROOM, 2, "fine")).await;
    ada.expect("event").await;
}

#[tokio::test]
async fn f2_the_largest_frame_passes() {
    let world = World::start().await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    let frame = |text: &str| json!({"t": "act", "room": ROOM, "n": 2, "data": {"say": text}});
    let overhead = frame("").to_string().len();
    client.send(frame(&"x".repeat(65_536 - overhead))).await;
    assert_eq!(client.expect("result").await["ok"], false);
}

#[tokio::test]
async fn f2_what_is_no_frame_is_a_protocol_error() {
    let world = World::start().await;
    let text = |payload: &[u8]| {
        Message::Frame(Frame::message(
            payload.to_vec(),
            OpCode::Data(Data::Text),
            true,
        ))
    };
    for message in [
        Message::text("{"),
        Message::text("[]"),
        Message::text(r#"{"t":"join","n":1}"#),
        Message::text(r#"{"t":"open"}"#),
        Message::text(format!(
            r#"{{"t":"act","room":"chat/a","n":1,"data":{}1{}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        )),
        Message::binary(br#"{"t":"pong"}"#.to_vec()),
        text(b"{\"t\":\"p\xff\"}"),
    ] {
        let (mut client, _) = world.open().await;
        client.send_message(message).await;
        client.expect_bye(4004).await;
    }
}

/// A room in which somebody has said very much since this client last read.
async fn flooded(world: &World, texts: u64) -> (Client, Vec<Value>) {
    let (mut slow, _) = world.in_chat(ROOM, "Slow").await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let mut said = Vec::new();
    for n in 2..2 + texts {
        ada.send(say(ROOM, n, &"x".repeat(2_000))).await;
        said.push(ada.expect("event").await["pos"].clone());
    }
    slow.expect("event").await;
    (slow, said)
}

#[tokio::test]
async fn f3_a_slow_reader_catches_up_and_misses_nothing() {
    let settings = GatewaySettings {
        actions_per_s: 10_000,
        // A busy machine takes long to say so much.
        blocked_ms: 600_000,
        heartbeat_ms: 600_000,
        ..GatewaySettings::default()
    };
    let worker = outlast_worker::WorkerSettings {
        log_entries: 100_000,
        ..Default::default()
    };
    let world = World::with(Setup {
        settings,
        worker,
        ..Setup::default()
    })
    .await;
    let (mut slow, said) = flooded(&world, 3_000).await;
    for pos in said {
        assert_eq!(slow.expect("event").await["pos"], pos);
    }
}

#[tokio::test]
async fn f3_who_reads_nothing_at_all_is_closed_in_the_end() {
    let settings = GatewaySettings {
        actions_per_s: 10_000,
        blocked_ms: 700,
        ..GatewaySettings::default()
    };
    let worker = outlast_worker::WorkerSettings {
        log_entries: 100_000,
        ..Default::default()
    };
    let world = World::with(Setup {
        settings,
        worker,
        ..Setup::default()
    })
    .await;
    let (mut slow, _) = flooded(&world, 4_000).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    // What the system had taken in before is read; the bye found no room any more, or it did.
    let mut read = 0;
    let to_the_end = async {
        while let Some(Ok(_)) = slow.try_message().await {
            read += 1;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, to_the_end).await;
    ended.expect("the socket is closed");
    assert!((1..4_000).contains(&read), "{read} messages were read");
}
