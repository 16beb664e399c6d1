//! SPEC section 8, D3 and D5.

use std::time::Duration;

use outlast_gateway::GatewaySettings;
use outlast_testkit::{Client, PATIENCE, frames::say};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, http::header::RETRY_AFTER};

use crate::support::{Setup, World};

const ROOM: &str = "chat/lobby";

async fn world(drain_ms: u64) -> World {
    World::with(Setup {
        gateways: 2,
        settings: GatewaySettings {
            drain_ms,
            ..GatewaySettings::default()
        },
        ..Setup::default()
    })
    .await
}

/// Waits until the first gateway has gone.
async fn gone(world: &mut World) {
    let gateway = world.gateways.remove(0);
    timeout(PATIENCE, gateway.serving)
        .await
        .expect("the gateway stays")
        .unwrap();
}

fn ms(frame: &Value, name: &str) -> u64 {
    frame[name].as_u64().unwrap()
}

#[tokio::test]
async fn d3_moves_are_evenly_spread_and_who_follows_them_misses_nothing() {
    // Longer than the test may take: it ends because everybody has gone.
    let mut world = world(600_000).await;
    let mut members = Vec::new();
    for number in 0..8 {
        members.push(world.in_chat(ROOM, &format!("m{number}")).await);
    }
    let address = world.address();
    world.gateways[0].shutdown.cancel();
    let mut moves = Vec::new();
    for (client, _) in &mut members {
        let moving = client.find("move").await;
        moves.push((ms(&moving, "after_ms"), ms(&moving, "by_ms")));
    }
    let mut after: Vec<_> = moves.iter().map(|(after, _)| *after).collect();
    after.sort_unstable();
    // So few move at once (D5), in eight parts of three quarters of a second; what is late is told less.
    let spacing = 750.0 / 8.0;
    for (number, after_ms) in after.iter().enumerate() {
        let planned = spacing * number as f64;
        assert!(*after_ms as f64 <= planned + 1.0, "{after:?}");
    }
    assert!(
        moves.iter().all(|(after, by)| by - after >= 5_000),
        "{moves:?}"
    );

    // Nobody new is let in …
    match Client::connect_with(address, &[]).await.err() {
        Some(Error::Http(refused)) => {
            assert_eq!(refused.status(), 503);
            assert!(refused.headers().contains_key(RETRY_AFTER));
        }
        other => panic!("{other:?}"),
    }
    // … and who is there is served as ever, while one after the other goes.
    let there = world.gateways[1].address;
    let mut moved: Vec<Client> = Vec::new();
    while let Some((mut older, welcome)) = members.pop() {
        let text = format!("still {} of us", members.len());
        older.send(say(ROOM, 2, &text)).await;
        let event = loop {
            let event = older.find("event").await;
            if event["data"]["said"] == text {
                break event;
            }
        };
        let mut newer = Client::connect_with(there, &[]).await.unwrap();
        newer.resume(&welcome, json!({ROOM: event["pos"]})).await;
        let resumed = newer.expect("resumed").await;
        assert_eq!(resumed["rooms"], json!({ROOM: "replay"}));
        newer.expect("live").await;
        older.expect_bye(4002).await;
        moved.push(newer);
    }
    gone(&mut world).await;
    for client in &mut moved {
        client.send(say(ROOM, 3, "and here")).await;
        client.find("event").await;
    }
}

#[tokio::test]
async fn d3_what_remains_at_the_end_is_closed_and_may_resume() {
    let mut world = world(1_000).await;
    let (mut stays, welcome) = world.in_chat(ROOM, "Ada").await;
    let mut silent = world.connect().await;
    world.gateways[0].shutdown.cancel();
    // It has no session that could move.
    silent.expect_bye(4000).await;
    let moving = stays.expect("move").await;
    assert!(ms(&moving, "by_ms") <= 1_000, "{moving}");
    let bye = stays.expect_bye(4000).await;
    assert_eq!(bye["resume"], true);
    assert!(ms(&bye, "retry_ms") < 1_000);
    gone(&mut world).await;
    let mut again = world.connect().await;
    again.resume(&welcome, json!({ROOM: null})).await;
    assert_eq!(again.expect("resumed").await["gen"], 2);
}

#[tokio::test]
async fn d3_who_gets_its_session_during_the_drain_moves_too() {
    let mut world = world(600_000).await;
    let (gone, welcome) = world.in_chat(ROOM, "Ada").await;
    drop(gone);
    world.stop_worker().await;
    let mut client = world.connect().await;
    client.resume(&welcome, json!({ROOM: null})).await;
    // It is about to attach, and waits for its room, when the gateway is told to go.
    let taken = async {
        loop {
            let sid = welcome["sid"].as_str().unwrap().parse().unwrap();
            let shard = world.store.layout().shard(&sid);
            let read = world.store.read(shard, &sid).await.unwrap();
            if String::from_utf8_lossy(&read.record.unwrap().value).contains("\"gen\":2") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, taken).await.expect("it does not attach");
    world.gateways[0].shutdown.cancel();
    world.start_worker();
    client.expect("resumed").await;
    let moving = client.find("move").await;
    assert!(ms(&moving, "after_ms") <= 750 && ms(&moving, "by_ms") <= 598_000);
}

#[tokio::test]
async fn d3_without_a_window_everybody_is_told_to_go_at_once() {
    let mut world = world(0).await;
    let (mut client, _) = world.open().await;
    world.gateways[0].shutdown.cancel();
    client.expect_bye(4000).await;
    gone(&mut world).await;
}
