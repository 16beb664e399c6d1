//! What happens to sockets when the store is away, and when it comes back without some of what it had.

use std::time::Duration;

use outlast_testkit::{Client, RedisServer, eventually, frames::say, seeded};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{LAYOUT, Setup, World, connect, forgetful};

const ROOM: &str = "chat/lobby";

async fn on(server: &RedisServer) -> World {
    World::on(connect(server).await, Setup::default()).await
}

/// Sends an action until it is taken, as a client does that is told to come back; returns its outcome.
async fn insist(client: &mut Client, frame: Value) -> Value {
    loop {
        client.send(frame.clone()).await;
        let told = client.frame().await;
        if told["t"] != "error" {
            return told;
        }
        assert_eq!((&told["code"], &told["n"]), (&json!("busy"), &frame["n"]));
        sleep(Duration::from_millis(told["retry_ms"].as_u64().unwrap())).await;
    }
}

async fn insist_on_saying(client: &mut Client, n: u64, text: &str) -> Value {
    let said = insist(
        client,
        json!({"t": "act", "room": ROOM, "n": n, "data": {"say": text}}),
    )
    .await;
    assert_eq!((&said["t"], &said["n"]), (&json!("event"), &json!(n)));
    said
}

#[tokio::test]
async fn l5_a_store_that_is_away_costs_nobody_the_socket() {
    let server = forgetful();
    let world = on(&server).await;
    let (mut client, welcome) = world.in_chat(ROOM, "Ada").await;
    server.signal("STOP");
    client.send(say(ROOM, 2, "hello?")).await;
    let busy = client.expect("error").await;
    assert_eq!((&busy["code"], &busy["n"]), (&json!("busy"), &json!(2)));
    // What comes after it, and before it comes again, is not taken, and nothing is said.
    client.send(say(ROOM, 3, "too early")).await;

    sleep(Duration::from_secs(1)).await;
    let mut opens = world.connect().await;
    opens.send(json!({"t": "open"})).await;
    assert!(opens.expect("busy").await["retry_ms"].as_u64().unwrap() > 0);
    let bye = opens.expect_bye(4013).await;
    assert_eq!(bye["resume"], true);
    let mut resumes = world.connect().await;
    resumes.resume(&welcome, json!({})).await;
    resumes.expect_bye(4013).await;

    server.signal("CONT");
    insist_on_saying(&mut client, 2, "there you are").await;
    insist_on_saying(&mut client, 3, "and on we go").await;
}

#[tokio::test]
async fn a5_what_was_answered_busy_may_have_been_taken_and_then_the_room_goes_on_behind_it() {
    let server = forgetful();
    let world = on(&server).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    server.signal("STOP");
    client.send(say(ROOM, 2, "its answer is lost")).await;
    let busy = client.expect("error").await;
    assert_eq!((&busy["code"], &busy["n"]), (&json!("busy"), &json!(2)));
    server.signal("CONT");
    let event = client.expect("event").await;
    assert_eq!(event["n"], 2);
    insist_on_saying(&mut client, 3, "and on we go").await;
}

#[tokio::test]
async fn s5_of_two_resumes_at_once_neither_is_told_to_stop() {
    let server = forgetful();
    let world = on(&server).await;
    for _ in 0..8 {
        let (mut client, welcome) = world.open().await;
        drop(client);
        let (mut older, mut newer) = (world.connect().await, world.connect().await);
        server.signal("STOP");
        older.resume(&welcome, json!({})).await;
        newer.resume(&welcome, json!({})).await;
        drop(older);
        server.signal("CONT");
        // The client that only has the newer socket gets its session, at the latest when it comes again.
        client = newer;
        loop {
            let told = client.frame().await;
            if told["t"] == "resumed" {
                break;
            }
            if told["t"] == "bye" {
                assert_eq!(
                    (&told["code"], &told["resume"]),
                    (&json!(4013), &json!(true))
                );
                client = world.connect().await;
                client.resume(&welcome, json!({})).await;
            }
        }
    }
}

#[tokio::test]
async fn r4_r5_lost_writes_are_told_before_the_next_entry() {
    let mut server = forgetful();
    let world = on(&server).await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, welcome) = world.in_chat(ROOM, "Bob").await;
    ada.expect("event").await;
    let kept = insist_on_saying(&mut ada, 2, "kept").await;
    server.run::<()>(&["SAVE"]);
    for n in 3..6 {
        insist_on_saying(&mut ada, n, "lost").await;
    }
    for _ in 0..3 {
        bob.expect("event").await;
    }
    let lost = bob.expect("event").await;
    server.kill();
    server.restart();
    for client in [&mut ada, &mut bob] {
        let snapshot = client.expect("snapshot").await;
        assert_eq!(
            (&snapshot["reason"], &snapshot["pos"]),
            (&json!("diverged"), &kept["pos"])
        );
        assert_eq!(snapshot["state"]["messages"].as_array().unwrap().len(), 1);
        client.expect("live").await;
    }
    // Ada numbers on from what the room has applied.
    let event = insist_on_saying(&mut ada, 3, "again").await;
    assert_eq!(bob.expect("event").await["pos"], event["pos"]);

    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: lost["pos"]})).await;
    bob.expect("resumed").await;
    assert_eq!(bob.expect("snapshot").await["reason"], "diverged");
}

#[tokio::test]
async fn r4_an_act_that_the_store_acknowledged_and_lost_is_asked_for_again() {
    let mut server = forgetful();
    let mut world = on(&server).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    world.stop_worker().await;
    server.run::<()>(&["SAVE"]);
    let p = LAYOUT.partition(&ROOM.parse().unwrap()).0;
    let topic = format!("ol:{{p{p}}}:topic");
    let has_it = |server: &RedisServer| {
        server
            .cli(&["XRANGE", &topic, "-", "+"])
            .contains("acknowledged")
    };
    client.send(say(ROOM, 2, "acknowledged")).await;
    eventually("it is appended", async || has_it(&server).then_some(())).await;
    server.kill();
    server.restart();
    // The gateway may have asked the room again meanwhile.
    assert!(!has_it(&server), "it was not lost");
    world.start_worker();
    let gap = client.expect("gap").await;
    assert_eq!((&gap["room"], &gap["expect"]), (&json!(ROOM), &json!(2)));
    insist_on_saying(&mut client, 2, "again").await;
    insist_on_saying(&mut client, 3, "and on we go").await;
}

#[tokio::test]
async fn r4_a_store_that_lost_everything_has_lost_the_session() {
    let mut server = forgetful();
    let world = on(&server).await;
    let (mut client, welcome) = world.in_chat(ROOM, "Ada").await;
    server.kill();
    server.restart();
    client.find("bye").await;
    let mut client = world.connect().await;
    loop {
        client.resume(&welcome, json!({ROOM: null})).await;
        let frame = client.find("bye").await;
        if frame["code"] != 4013 {
            assert_eq!(frame["code"], 4001);
            break;
        }
        client = world.connect().await;
    }
}

#[tokio::test]
async fn a3_joins_and_leaves_whose_answers_are_lost_are_answered_all_the_same() {
    let server = forgetful();
    let world = on(&server).await;
    let (mut client, _) = world.open().await;
    let mut random = seeded();
    for n in (1..30).step_by(2) {
        let leave = json!({"t": "leave", "room": ROOM, "n": n + 1});
        let join = json!({"t": "join", "room": ROOM, "n": n, "data": {"name": "Ada"}});
        for (frame, answer) in [(join, "joined"), (leave, "left")] {
            let outcome = insist(&mut client, frame.clone());
            let kill = async {
                sleep(Duration::from_millis(random.random_range(0..20))).await;
                server.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            };
            let (outcome, ()) = tokio::join!(outcome, kill);
            assert_eq!(
                (&outcome["t"], &outcome["n"]),
                (&json!(answer), &frame["n"])
            );
        }
    }
}

#[tokio::test]
async fn e1_nothing_is_lost_with_the_connections_to_the_store() {
    let server = forgetful();
    let world = on(&server).await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, _) = world.in_chat(ROOM, "Bob").await;
    ada.expect("event").await;
    let mut random = seeded();
    let mut said = Vec::new();
    let until = Instant::now() + Duration::from_secs(6);
    let mut n = 2;
    while Instant::now() < until {
        if random.random_bool(0.1) {
            server.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
        if random.random_bool(0.02) {
            server
                .try_run::<()>(&["CLIENT", "KILL", "TYPE", "normal"])
                .ok();
        }
        said.push(insist_on_saying(&mut ada, n, "x").await["pos"].clone());
        n += 1;
        sleep(Duration::from_millis(random.random_range(0..40))).await;
    }
    for pos in said {
        assert_eq!(bob.expect("event").await["pos"], pos);
    }
}
