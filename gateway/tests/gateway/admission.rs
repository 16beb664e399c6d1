//! SPEC section 8, D1.

use std::time::Duration;

use outlast_gateway::GatewaySettings;
use outlast_testkit::Client;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Error;

use crate::support::World;

/// What a socket is told that finds no place: when to come back, in milliseconds.
async fn told_busy(client: &mut Client) -> u64 {
    let busy = client.expect("busy").await;
    let bye = client.expect_bye(4013).await;
    assert_eq!(
        (&bye["retry_ms"], &bye["resume"]),
        (&busy["retry_ms"], &json!(true))
    );
    bye["retry_ms"].as_u64().unwrap()
}

/// A new socket that asks for this session.
async fn resuming(world: &World, welcome: &Value) -> Client {
    let mut client = world.connect().await;
    client.resume(welcome, json!({})).await;
    client
}

#[tokio::test]
async fn d1_one_more_than_may_wait_is_told_busy() {
    let world = World::with_settings(GatewaySettings {
        waiting_max: 0,
        ..GatewaySettings::default()
    })
    .await;
    let mut client = world.connect().await;
    client.send(json!({"t": "open"})).await;
    told_busy(&mut client).await;
}

#[tokio::test]
async fn d1_a_slot_is_kept_for_who_comes_at_it_and_for_nobody_else() {
    // Where each of them came so late that the one before was in by then, nobody was told anything.
    for _ in 0..20 {
        if keeps_slots().await {
            return;
        }
    }
    panic!("nobody is told of a slot");
}

/// Returns whether anybody was told of a slot.
async fn keeps_slots() -> bool {
    let world = World::with_settings(GatewaySettings {
        attach_rate: 1,
        waiting_max: 1,
        ..GatewaySettings::default()
    })
    .await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        // Each waits for its turn; that is what the queue is for.
        sessions.push(world.open().await);
    }
    let mut resuming_all = Vec::new();
    for _ in &sessions {
        resuming_all.push(world.connect().await);
    }
    let sent = Instant::now();
    for (client, (_, welcome)) in resuming_all.iter_mut().zip(&sessions) {
        client.resume(welcome, json!({})).await;
    }
    // One waits, the others find no place, whichever came first.
    let mut told = Vec::new();
    let mut resumed = 0;
    for (client, (_, welcome)) in resuming_all.iter_mut().zip(&sessions) {
        match client.frame().await {
            frame if frame["t"] == "resumed" => resumed += 1,
            frame => told.push((welcome, Slot::of(&frame, sent))),
        }
    }
    assert!(resumed >= 1, "{told:?}");
    let anybody = !told.is_empty();
    let mut waiting = Vec::new();
    for (welcome, slot) in told {
        // Too early: it hears of the same slot.
        let sent = Instant::now();
        let mut early = resuming(&world, welcome).await;
        match early.frame().await {
            frame if frame["t"] == "busy" => {
                let again = Slot::of(&frame, sent);
                assert!(
                    again.earliest <= slot.latest && slot.earliest <= again.latest,
                    "{again:?} after {slot:?}"
                );
                waiting.push((welcome, slot));
            }
            // This test was so slow that it was not early.
            frame => {
                assert_eq!(frame["t"], "resumed");
                assert!(Instant::now() >= slot.earliest, "before {slot:?}");
            }
        }
    }
    for (welcome, slot) in waiting {
        tokio::time::sleep_until(slot.latest).await;
        let mut client = resuming(&world, welcome).await;
        client.expect("resumed").await;
    }
    anybody
}

/// When somebody who was told `busy` is let in.
#[derive(Debug)]
struct Slot {
    earliest: Instant,
    latest: Instant,
}

impl Slot {
    /// What was told has up to an eighth and 100 ms of jitter; it was told between the question and now.
    fn of(busy: &Value, asked: Instant) -> Self {
        let retry = Duration::from_millis(busy["retry_ms"].as_u64().unwrap());
        let jitter = Duration::from_millis(101) + retry / 9;
        Slot {
            earliest: asked + retry - jitter.min(retry),
            latest: Instant::now() + retry,
        }
    }
}

#[tokio::test]
async fn d1_who_waits_and_goes_makes_room() {
    let world = World::with_settings(GatewaySettings {
        attaches_max: 0,
        waiting_max: 1,
        silent_max: 100,
        ..GatewaySettings::default()
    })
    .await;
    // Nobody is ever let in here, so the first one waits …
    let mut first = world.connect().await;
    first.send(json!({"t": "open"})).await;
    first.expect_nothing(Duration::from_millis(300)).await;
    let mut second = world.connect().await;
    second.send(json!({"t": "open"})).await;
    told_busy(&mut second).await;
    drop(first);
    // … until it goes.
    let mut waiting = loop {
        let mut next = world.connect().await;
        next.send(json!({"t": "open"})).await;
        let told = tokio::time::timeout(Duration::from_secs(3), next.frame()).await;
        if told.is_err() {
            break next;
        }
    };
    // A gateway that goes keeps nobody waiting.
    world.gateways[0].shutdown.cancel();
    waiting.expect_bye(4000).await;
}

#[tokio::test]
async fn d1_who_waits_for_a_room_keeps_nobody_else_waiting() {
    let mut world = World::with_settings(GatewaySettings {
        attaches_max: 1,
        ..GatewaySettings::default()
    })
    .await;
    let (_, in_a_room) = world.in_chat("chat/lobby", "Ada").await;
    let (_, in_none) = world.open().await;
    world.stop_worker().await;
    let _waits = resuming(&world, &in_a_room).await;
    let mut client = resuming(&world, &in_none).await;
    client.expect("resumed").await;
}

#[tokio::test]
async fn d1_connections_without_a_session_are_bounded() {
    let world = World::with_settings(GatewaySettings {
        attaches_max: 1,
        waiting_max: 1,
        silent_max: 0,
        ..GatewaySettings::default()
    })
    .await;
    let (mut first, _second) = (world.connect().await, world.connect().await);
    match Client::connect_with(world.address(), &[]).await.err() {
        Some(Error::Http(refused)) => {
            assert_eq!(refused.status(), 503);
            assert!(refused.headers().contains_key("retry-after"));
        }
        // What it had sent was not read: its system may hear of the end before the answer.
        Some(Error::Io(_)) => {}
        other => panic!("{other:?}"),
    }
    // With a session it does not count.
    first.open().await;
    let mut third = loop {
        if let Ok(third) = Client::connect_with(world.address(), &[]).await {
            break third;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    third.open().await;
}
