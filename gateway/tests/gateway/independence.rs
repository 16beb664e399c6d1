//! Rooms of one session do not hold up each other (R6).

use outlast_testkit::frames::{join, leave, say};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::{
    faulty::{Cut, Faulty},
    support::{Setup, World, another},
};

const ROOM: &str = "chat/lobby";

#[tokio::test]
async fn r6_an_outcome_whose_log_does_not_come_holds_up_no_other_room() {
    let (store, faults) = Faulty::over(World::store());
    let world = World::on(store, Setup::default()).await;
    let other = another(&world, ROOM, true);
    let (mut bob, _) = world.in_chat(ROOM, "Bob").await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    *faults.hidden.lock() = Some(ROOM.parse().unwrap());
    ada.send(leave(ROOM, 2)).await;
    // The room has answered by the time that this one does: they are of one partition.
    ada.join_at_once(&other, 1, "Ada").await;
    ada.send(say(&other, 2, "nothing holds me up")).await;
    assert_eq!(ada.expect("event").await["n"], 2);
    ada.send(leave(&other, 3)).await;
    assert_eq!(ada.expect("left").await["n"], 3);

    *faults.hidden.lock() = None;
    bob.send(say(ROOM, 2, "there it is")).await;
    let left = ada.expect("left").await;
    assert_eq!((&left["room"], &left["n"]), (&json!(ROOM), &json!(2)));
}

/// A client that is in both rooms, and gone; returns its session and its positions.
async fn gone_from(world: &World, rooms: [&str; 2]) -> (Value, Value) {
    let (mut client, welcome) = world.open().await;
    let mut positions = json!({});
    for room in rooms {
        positions[room] = client.join_at_once(room, 1, "Ada").await["pos"].clone();
    }
    (welcome, positions)
}

#[tokio::test]
async fn r6_a_partition_out_of_reach_keeps_no_client_from_its_other_rooms() {
    for cut in [Cut::Refused, Cut::Unanswered] {
        let (store, faults) = Faulty::over(World::store());
        let world = World::on(store, Setup::default()).await;
        let other = another(&world, ROOM, false);
        let (welcome, positions) = gone_from(&world, [ROOM, &other]).await;
        let partition = world.store.layout().partition(&ROOM.parse().unwrap());
        *faults.cut_off.lock() = Some((partition, cut));
        let mut ada = world.connect().await;
        ada.resume(&welcome, positions).await;
        let resumed = ada.expect("resumed").await;
        assert_eq!(
            resumed["rooms"],
            json!({ROOM: "snapshot", &other: "replay"})
        );
        assert_eq!(ada.expect("live").await["room"], other);
        let start = Instant::now();
        for n in 2..5 {
            ada.send(say(ROOM, n, "nobody takes this")).await;
            ada.send(say(&other, n, "nothing holds me up")).await;
            while ada.find("event").await["n"] != n {}
        }
        assert!(start.elapsed() < Duration::from_secs(1), "it was held up");

        *faults.cut_off.lock() = None;
        let snapshot = ada.find("snapshot").await;
        assert_eq!(
            (&snapshot["room"], &snapshot["reason"], &snapshot["n"]),
            (&json!(ROOM), &json!("requested"), &json!(1))
        );
        assert_eq!(ada.expect("live").await["room"], ROOM);
        ada.send(say(ROOM, 2, "here I am")).await;
        assert_eq!(ada.expect("event").await["room"], ROOM);
    }
}

#[tokio::test]
async fn r6_a_partition_that_goes_out_of_reach_holds_up_no_other_room_for_long() {
    let (store, faults) = Faulty::over(World::store());
    let world = World::on(store, Setup::default()).await;
    let other = another(&world, ROOM, false);
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    ada.join_at_once(&other, 1, "Ada").await;
    let partition = world.store.layout().partition(&ROOM.parse().unwrap());
    *faults.cut_off.lock() = Some((partition, Cut::Refused));
    ada.send(say(ROOM, 2, "nobody takes this")).await;
    assert_eq!(ada.expect("error").await["code"], "busy");
    // From now on nothing waits for it.
    *faults.cut_off.lock() = Some((partition, Cut::Unanswered));
    let start = Instant::now();
    for n in 2..5 {
        ada.send(say(ROOM, 2, "nobody takes this")).await;
        assert_eq!(ada.expect("error").await["code"], "busy");
        ada.send(say(&other, n, "nothing holds me up")).await;
        assert_eq!(ada.expect("event").await["n"], n);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "it was held up");
    *faults.cut_off.lock() = None;
    loop {
        ada.send(say(ROOM, 2, "here I am")).await;
        let frame = ada.frame().await;
        if frame["t"] == "event" {
            assert_eq!((&frame["room"], &frame["n"]), (&json!(ROOM), &json!(2)));
            break;
        }
        assert_eq!(frame["code"], "busy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn r6_a_join_that_is_out_of_reach_holds_up_no_other_room_for_long() {
    let (store, faults) = Faulty::over(World::store());
    let world = World::on(store, Setup::default()).await;
    let other = another(&world, ROOM, false);
    let (mut ada, _) = world.in_chat(&other, "Ada").await;
    let partition = world.store.layout().partition(&ROOM.parse().unwrap());
    // As where many wait for their turn to be told that a node is down.
    *faults.cut_off.lock() = Some((partition, Cut::Unanswered));
    ada.send(join(ROOM, 1, "Ada")).await;
    ada.send(say(&other, 2, "nothing holds me up")).await;
    let busy = ada.expect("error").await;
    assert_eq!(
        (&busy["code"], &busy["room"]),
        (&json!("busy"), &json!(ROOM))
    );
    assert_eq!(ada.expect("event").await["n"], 2);
}

#[tokio::test]
async fn r6_a_room_that_is_asked_where_its_session_stands_holds_up_no_other() {
    let (store, faults) = Faulty::over(World::store());
    let world = World::on(store, Setup::default()).await;
    let other = another(&world, ROOM, false);
    // The gateway listens to it.
    let _bob = world.in_chat(ROOM, "Bob").await;
    let (welcome, mut positions) = gone_from(&world, [ROOM, &other]).await;
    positions[ROOM] = Value::Null;
    let partition = world.store.layout().partition(&ROOM.parse().unwrap());
    *faults.cut_off.lock() = Some((partition, Cut::Unanswered));
    let mut ada = world.connect().await;
    ada.resume(&welcome, positions).await;
    let resumed = ada.expect("resumed").await;
    assert_eq!(
        resumed["rooms"],
        json!({ROOM: "snapshot", &other: "replay"})
    );
    *faults.cut_off.lock() = None;
    assert_eq!(ada.find("snapshot").await["room"], ROOM);
}
