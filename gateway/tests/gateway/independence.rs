//! Rooms of one session do not hold up each other (R6).

use outlast_testkit::frames::{leave, say};
use serde_json::json;

use crate::{
    faulty::Faulty,
    support::{Setup, World},
};

const ROOM: &str = "chat/lobby";

/// Another room, of the same partition or of another.
fn another(world: &World, same: bool) -> String {
    let layout = world.store.layout();
    let partition = |name: &str| layout.partition(&name.parse().unwrap());
    let mut names = (0..).map(|number| format!("chat/room-{number}"));
    let found = names.find(|name| (partition(name) == partition(ROOM)) == same);
    found.unwrap()
}

#[tokio::test]
async fn r6_an_outcome_whose_log_does_not_come_holds_up_no_other_room() {
    let (store, faults) = Faulty::over(World::store());
    let world = World::on(store, Setup::default()).await;
    let other = another(&world, true);
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
