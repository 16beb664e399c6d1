//! Where a room is shorter than what its log has for a client, it is shown instead (R3).

use outlast_testkit::{Client, frames::say};
use serde_json::{Value, json};

use tokio::time::{Duration, Instant};

use crate::{
    faulty::{Cut, Faulty},
    support::{World, another, on_both, quick},
};

const ROOM: &str = "chat/lobby";
/// So many texts are much longer than what the room shows.
const TEXTS: u64 = 200;

/// Ada says a lot, from action `n` on.
async fn talk(ada: &mut Client, n: u64) {
    let text = "x".repeat(1_900);
    for n in n..n + TEXTS {
        ada.send(say(ROOM, n, &text)).await;
        while ada.find("event").await["n"] != n {}
    }
}

/// Another member, who has heard nothing since it joined.
async fn bob(world: &World) -> (Client, Value, Value) {
    let (mut bob, welcome) = world.open().await;
    let pos = bob.join_at_once(ROOM, 1, "Bob").await["pos"].clone();
    (bob, welcome, pos)
}

async fn back(world: &World, welcome: &Value, pos: &Value) -> Client {
    let mut bob = world.connect().await;
    bob.resume(welcome, json!({ROOM: pos})).await;
    bob
}

#[tokio::test]
async fn r3_a_room_that_is_shorter_than_its_log_is_shown_instead() {
    on_both(async |world| {
        let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
        let (gone, welcome, pos) = bob(world).await;
        drop(gone);
        talk(&mut ada, 2).await;
        let mut bob = back(world, &welcome, &pos).await;
        let resumed = bob.expect("resumed").await;
        assert_eq!(resumed["rooms"], json!({ROOM: "replay"}));
        let snapshot = bob.expect("snapshot").await;
        assert_eq!(
            (&snapshot["reason"], &snapshot["n"], &snapshot["member"]),
            (&json!("shorter"), &json!(1), &json!(2))
        );
        assert!(snapshot.to_string().len() < 64 * 1024);
        assert_eq!(bob.find("live").await["pos"], snapshot["pos"]);
        bob.send(say(ROOM, 2, "here I am")).await;
        while bob.find("event").await["n"] != 2 {}
    })
    .await;
}

#[tokio::test]
async fn r3_no_outcome_is_lost_by_showing_the_room() {
    on_both(async |world| {
        let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
        let (mut gone, welcome, pos) = bob(world).await;
        talk(&mut ada, 2).await;
        gone.send(say(ROOM, 2, "did you hear this?")).await;
        while ada.find("event").await["by"] != 2 {}
        drop(gone);
        talk(&mut ada, 2 + TEXTS).await;
        let mut bob = back(world, &welcome, &pos).await;
        bob.send(say(ROOM, 2, "did you hear this?")).await;
        bob.expect("resumed").await;
        let mut outcomes = 0;
        let snapshot = loop {
            let frame = bob.frame().await;
            match frame["t"].as_str().unwrap() {
                "event" if frame["by"] == 2 && frame["n"] == 2 => outcomes += 1,
                "event" => {}
                "snapshot" => break frame,
                _ => panic!("{frame}"),
            }
        };
        assert_eq!(outcomes, 1);
        assert_eq!(
            (&snapshot["reason"], &snapshot["n"]),
            (&json!("shorter"), &json!(2))
        );
        bob.find("live").await;
    })
    .await;
}

#[tokio::test]
async fn r3_the_log_is_replayed_where_nobody_shows_the_room() {
    on_both(async |world| {
        let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
        let (gone, welcome, pos) = bob(world).await;
        drop(gone);
        talk(&mut ada, 2).await;
        world.stop_worker().await;
        let mut bob = back(world, &welcome, &pos).await;
        bob.expect("resumed").await;
        for n in 2..2 + TEXTS {
            while bob.find("event").await["n"] != n {}
        }
        bob.find("live").await;
    })
    .await;
}

#[tokio::test]
async fn r3_the_replay_goes_on_in_time_though_another_room_is_out_of_reach() {
    let (store, faults) = Faulty::over(World::store());
    let mut world = World::on(store, quick()).await;
    let cut_off = another(&world, ROOM, false);
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut gone, welcome, pos) = bob(&world).await;
    let other_pos = gone.join_at_once(&cut_off, 1, "Bob").await["pos"].clone();
    drop(gone);
    talk(&mut ada, 2).await;
    world.stop_worker().await;
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: pos, &cut_off: other_pos}))
        .await;
    let partition = world.store.layout().partition(&cut_off.parse().unwrap());
    bob.expect("resumed").await;
    *faults.cut_off.lock() = Some((partition, Cut::Unanswered));
    let start = Instant::now();
    bob.send(say(&cut_off, 2, "this takes long")).await;
    for n in 2..2 + TEXTS {
        while bob.find("event").await["n"] != n {}
    }
    assert!(start.elapsed() < Duration::from_secs(10), "it was held up");
}
