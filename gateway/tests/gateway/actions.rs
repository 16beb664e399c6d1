//! SPEC section 5.

use std::time::{Duration, Instant};

use outlast_gateway::GatewaySettings;
use outlast_protocol::{ClientFrame, Codec, Payload, RoomName};
use outlast_testkit::{Client, frames::say};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::World;

const ROOM: &str = "chat/lobby";

async fn error(client: &mut Client, frame: Value) -> Value {
    client.send(frame).await;
    client.expect("error").await
}

#[tokio::test]
async fn a1_a_number_that_is_too_high_is_a_gap_and_a_repeated_one_is_nothing() {
    let world = World::start().await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    client.send(say(ROOM, 5, "too early")).await;
    let gap = client.expect("gap").await;
    assert_eq!(gap, json!({"t": "gap", "room": ROOM, "expect": 2}));
    for n in [2, 2, 3, 2] {
        client.send(say(ROOM, n, &format!("number {n}"))).await;
    }
    for n in [2, 3] {
        let event = client.expect("event").await;
        assert_eq!(
            (&event["n"], &event["data"]["said"]),
            (&json!(n), &json!(format!("number {n}")))
        );
    }
    client.expect_nothing(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn a2_outcomes_of_joins_acts_and_leaves() {
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, _) = world.in_chat(ROOM, "Bob").await;
    assert_eq!(ada.expect("event").await["data"]["entered"]["name"], "Bob");
    bob.send(json!({"t": "act", "room": ROOM, "n": 2, "data": {"typing": true}}))
        .await;
    assert_eq!(
        ada.expect("signal").await["data"],
        json!({"typing": 2, "on": true})
    );
    let mut frames = [bob.frame().await, bob.frame().await];
    frames.sort_by_key(|frame| frame["t"].to_string());
    assert_eq!(
        (&frames[0]["ok"], &frames[0]["n"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(frames[1]["t"], "signal");
    bob.send(json!({"t": "leave", "room": ROOM, "n": 3})).await;
    let left = bob.expect("left").await;
    assert_eq!(
        left,
        json!({"t": "left", "room": ROOM, "n": 3, "reason": "left"})
    );
    assert_eq!(ada.expect("event").await["data"]["left"]["member"], 2);
    // Who has left hears nothing more, and can come back.
    ada.send(say(ROOM, 2, "alone")).await;
    ada.expect("event").await;
    bob.expect_nothing(Duration::from_millis(300)).await;
    assert_eq!(bob.join_at_once(ROOM, 4, "Bob").await["member"], 2);
}

#[tokio::test]
async fn h1_both_codecs_are_told_the_same() {
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let protocol = [("Sec-WebSocket-Protocol", "outlast.v1.msgpack")];
    let mut bob = Client::connect_with(world.address(), &protocol)
        .await
        .unwrap();
    let room = ROOM.parse::<RoomName>().unwrap();
    let data = Some(Payload::from(&json!({"name": "Bob"})));
    for frame in [
        ClientFrame::Open {
            token: None,
            client: None,
        },
        ClientFrame::Join { room, n: 1, data },
    ] {
        let frame = Codec::MsgPack.encode_client(&frame);
        bob.send_message(Message::binary(frame)).await;
        bob.message().await;
    }
    ada.expect("event").await;
    ada.send(json!({"t": "act", "room": ROOM, "n": 2, "data": {"say": "hi"}}))
        .await;
    let event = ada.expect("event").await;
    let Message::Binary(same) = bob.message().await else {
        panic!("not binary")
    };
    let same = Codec::MsgPack.decode_server(&same).unwrap();
    let json = Codec::Json.encode_server(&same);
    assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), event);
}

#[tokio::test]
async fn a4_what_a_room_refuses_is_a_result_and_uses_its_number() {
    let world = World::start().await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    client.send(say(ROOM, 2, "")).await;
    let result = client.expect("result").await;
    assert_eq!((&result["ok"], &result["n"]), (&json!(false), &json!(2)));
    client.send(say(ROOM, 3, "hi")).await;
    assert_eq!(client.expect("event").await["n"], 3);
}

#[tokio::test]
async fn a5_errors_leave_their_number_free() {
    let world = World::start().await;
    let (mut client, _) = world.open().await;
    let act = |room: &str, n: u64| json!({"t": "act", "room": room, "n": n, "data": {"say": "x"}});
    let told = error(&mut client, act(ROOM, 1)).await;
    assert_eq!(
        (&told["code"], &told["n"], &told["room"]),
        (&json!("not_joined"), &json!(1), &json!(ROOM))
    );
    client.join_at_once(ROOM, 1, "Ada").await;

    let told = error(&mut client, act("chat/a/b", 1)).await;
    assert_eq!((&told["code"], &told["n"]), (&json!("bad_room"), &json!(1)));
    let told = error(&mut client, json!({"t": "dance", "step": 1})).await;
    assert_eq!(told["code"], "unknown_type");
    let told = error(
        &mut client,
        json!({"t": "join", "room": "nothing/x", "n": 1}),
    )
    .await;
    assert_eq!(
        (&told["code"], &told["n"]),
        (&json!("unknown_room_kind"), &json!(1))
    );
    client.send(say(ROOM, 2, "still here")).await;
    client.expect("event").await;
}

#[tokio::test]
async fn a5_an_act_behind_a_join_is_judged_by_the_room() {
    let world = World::start().await;
    let (mut client, _) = world.open().await;
    client
        .send(json!({"t": "join", "room": ROOM, "n": 1, "data": {"name": ""}}))
        .await;
    client.send(say(ROOM, 2, "hi")).await;
    let refused = client.expect("result").await;
    assert_eq!((&refused["n"], &refused["ok"]), (&json!(1), &json!(false)));
    let outside = client.expect("result").await;
    assert_eq!(
        (&outside["n"], &outside["code"]),
        (&json!(2), &json!("not_joined"))
    );
    client.join_at_once(ROOM, 3, "Ada").await;
}

#[tokio::test]
async fn a5_a_session_is_in_128_rooms_at_most() {
    let settings = GatewaySettings {
        actions_per_s: 1_000,
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let (mut client, _) = world.open().await;
    for i in 0..128 {
        client.join_at_once(&format!("chat/r{i}"), 1, "Ada").await;
    }
    let one_more = json!({"t": "join", "room": "chat/more", "n": 1, "data": {"name": "Ada"}});
    let told = error(&mut client, one_more).await;
    assert_eq!(
        (&told["code"], &told["n"]),
        (&json!("too_many_rooms"), &json!(1))
    );
    client
        .send(json!({"t": "leave", "room": "chat/r7", "n": 2}))
        .await;
    client.expect("left").await;
    client.join_at_once("chat/more", 1, "Ada").await;
}

#[tokio::test]
async fn a5_above_the_rate_everything_waits_for_the_refused_number() {
    let settings = GatewaySettings {
        actions_per_s: 10,
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    let start = Instant::now();
    for n in 2..=150 {
        client.send(say(ROOM, n, "x")).await;
    }
    let mut next = 2;
    let (refused, retry_ms) = loop {
        let frame = client.frame().await;
        if frame["t"] == "error" {
            assert_eq!(frame["code"], "rate_limited");
            break (
                frame["n"].as_u64().unwrap(),
                frame["retry_ms"].as_u64().unwrap(),
            );
        }
        assert_eq!(frame["n"], next);
        next += 1;
    };
    // The join counted, too; and what trickled in meanwhile.
    let most = 21 + 10 * (1 + start.elapsed().as_secs());
    assert!((20..=most).contains(&refused), "{refused}, at most {most}");
    while next < refused {
        assert_eq!(client.expect("event").await["n"], next);
        next += 1;
    }
    client.expect_nothing(Duration::from_millis(retry_ms)).await;
    client.send(say(ROOM, refused, "x")).await;
    assert_eq!(client.expect("event").await["n"], refused);
}

#[tokio::test]
async fn a5_who_goes_on_above_the_rate_is_closed() {
    let settings = GatewaySettings {
        actions_per_s: 10,
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    for n in 2..=300 {
        client.send(say(ROOM, n, "x")).await;
    }
    let bye = client.find("bye").await;
    assert_eq!((&bye["code"], &bye["resume"]), (&json!(4008), &json!(true)));
    assert!(bye["retry_ms"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a2_acts_right_behind_a_leave_have_their_outcome_too() {
    let world = World::start().await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    client
        .send(json!({"t": "leave", "room": ROOM, "n": 2}))
        .await;
    client.send(say(ROOM, 3, "nobody is there")).await;
    assert_eq!(client.expect("left").await["n"], 2);
    let refused = client.expect("result").await;
    assert_eq!(
        (&refused["n"], &refused["ok"], &refused["code"]),
        (&json!(3), &json!(false), &json!("not_joined"))
    );
    client.join_at_once(ROOM, 4, "Ada").await;
    client
        .send(json!({"t": "leave", "room": ROOM, "n": 5}))
        .await;
    client
        .send(json!({"t": "join", "room": ROOM, "n": 6, "data": {"name": "Ada"}}))
        .await;
    client.send(say(ROOM, 7, "back")).await;
    assert_eq!(client.expect("left").await["n"], 5);
    assert_eq!(client.expect("joined").await["n"], 6);
    assert_eq!(client.expect("event").await["n"], 7);
}
