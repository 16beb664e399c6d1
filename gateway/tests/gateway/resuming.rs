//! SPEC section 6.

use outlast_testkit::{Client, frames::say};
use serde_json::{Value, json};

use crate::support::World;

const ROOM: &str = "chat/lobby";

/// Another client says this many things, from action `n` on; returns their positions.
async fn talk(client: &mut Client, n: u64, count: u64) -> Vec<Value> {
    let mut positions = Vec::new();
    for n in n..n + count {
        client.send(say(ROOM, n, &format!("text {n}"))).await;
        loop {
            let event = client.find("event").await;
            if event["n"] == n && event["data"]["said"].is_string() {
                positions.push(event["pos"].clone());
                break;
            }
        }
    }
    positions
}

/// Reads what a replay brings up to `live`; returns the positions and that of `live`.
async fn replayed(client: &mut Client) -> (Vec<Value>, Value) {
    let mut positions = Vec::new();
    loop {
        let frame = client.frame().await;
        match frame["t"].as_str().unwrap() {
            "event" => positions.push(frame["pos"].clone()),
            "live" => return (positions, frame["pos"].clone()),
            _ => panic!("{frame} in a replay"),
        }
    }
}

fn act(n: u64, text: &str) -> Value {
    json!({"t": "act", "room": ROOM, "n": n, "data": {"say": text}})
}

fn leave(n: u64) -> Value {
    json!({"t": "leave", "room": ROOM, "n": n})
}

/// A member loses its socket, and what it asked last lies in a topic that no worker takes up: its outcome will be heard
/// of by nobody. Answers the session, and the position that the member has seen.
async fn cut_off(world: &mut World, asked: &[Value]) -> (Value, Value) {
    let (mut bob, welcome) = world.in_chat(ROOM, "Bob").await;
    bob.send(say(ROOM, 2, "two")).await;
    let last = bob.find("event").await["pos"].clone();
    world.stop_worker().await;
    for frame in asked {
        bob.send(frame.clone()).await;
    }
    world.appended(ROOM, asked.len()).await;
    (welcome, last)
}

#[tokio::test]
async fn r1_replays_after_position_and_then_says_live() {
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, welcome) = world.in_chat(ROOM, "Bob").await;
    ada.find("event").await;
    let positions = talk(&mut ada, 2, 20).await;
    for pos in &positions {
        assert_eq!(bob.expect("event").await["pos"], *pos);
    }
    drop(bob);
    let later = talk(&mut ada, 22, 5).await;

    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: positions[9]})).await;
    let resumed = bob.expect("resumed").await;
    assert_eq!(
        (&resumed["rooms"], &resumed["gen"]),
        (&json!({ROOM: "replay"}), &json!(2))
    );
    let (replay, live) = replayed(&mut bob).await;
    assert_eq!(replay, [&positions[10..], &later].concat());
    assert_eq!(live, *later.last().unwrap());
    talk(&mut ada, 27, 1).await;
    bob.expect("event").await;
}

#[tokio::test]
async fn r1_anything_but_an_exact_position_is_a_snapshot() {
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (bob, mut welcome) = world.in_chat(ROOM, "Bob").await;
    drop(bob);
    ada.find("event").await;
    let positions = talk(&mut ada, 2, 3).await;
    let last = positions[2].as_str().unwrap();
    let (off, tag) = last.split_once('-').unwrap();
    let other_tag = format!("{off}-{}", tag.parse::<u64>().unwrap() ^ 1);
    let beyond = format!("{}-{tag}", off.parse::<u64>().unwrap() + 1);
    for (rooms, reason) in [
        (json!({ROOM: null}), "requested"),
        (json!({}), "requested"),
        (json!({ROOM: other_tag}), "diverged"),
        (json!({ROOM: beyond}), "diverged"),
        (json!({ROOM: "1-1"}), "trimmed"),
    ] {
        let mut bob = world.connect().await;
        bob.resume(&welcome, rooms.clone()).await;
        welcome = bob.expect("resumed").await;
        assert_eq!(welcome["rooms"], json!({ROOM: "snapshot"}), "{rooms}");
        let snapshot = bob.expect("snapshot").await;
        assert_eq!(snapshot["reason"], reason, "{rooms}");
        assert_eq!(
            (&snapshot["pos"], &snapshot["n"]),
            (&json!(last), &json!(1))
        );
        assert_eq!(snapshot["member"], 2);
        assert_eq!(snapshot["state"]["messages"].as_array().unwrap().len(), 3);
        assert_eq!(bob.expect("live").await["pos"], *last);
    }
}

#[tokio::test]
async fn r1_rooms_that_do_not_answer_do_not_keep_the_client_from_its_session() {
    let mut world = World::start().await;
    let (bob, welcome) = world.in_chat(ROOM, "Bob").await;
    world.stop_worker().await;
    drop(bob);
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: null})).await;
    bob.send(say(ROOM, 2, "anybody?")).await;
    let resumed = bob.next().await;
    assert_eq!(resumed["rooms"], json!({ROOM: "snapshot"}));
    world.start_worker();
    let snapshot = bob.expect("snapshot").await;
    assert_eq!(snapshot["reason"], "requested");
    // The act was taken in before the room could show itself, or it comes after that.
    if snapshot["n"] == 1 {
        assert_eq!(bob.find("event").await["n"], 2);
    } else {
        bob.expect("live").await;
    }
}

#[tokio::test]
async fn r1_who_knows_its_place_is_back_though_nobody_runs_the_room() {
    let mut world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (bob, welcome) = world.in_chat(ROOM, "Bob").await;
    drop(bob);
    ada.find("event").await;
    let positions = talk(&mut ada, 2, 5).await;
    world.stop_worker().await;
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: positions[1]})).await;
    let resumed = bob.expect("resumed").await;
    assert_eq!(resumed["rooms"], json!({ROOM: "replay"}));
    let (replay, live) = replayed(&mut bob).await;
    assert_eq!((&replay[..], &live), (&positions[2..], &positions[4]));
    bob.send(say(ROOM, 2, "anybody?")).await;
    world.start_worker();
    assert_eq!(bob.find("event").await["n"], 2);
}

#[tokio::test]
async fn a3_what_an_older_socket_left_in_the_topic_counts_once() {
    let mut world = World::start().await;
    let (welcome, last) = cut_off(&mut world, &[act(3, "three")]).await;
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: last})).await;
    assert_eq!(
        bob.expect("resumed").await["rooms"],
        json!({ROOM: "replay"})
    );
    for n in 3..=4 {
        bob.send(say(ROOM, n, &format!("{n}"))).await;
    }
    bob.expect("live").await;
    world.start_worker();
    for (n, text) in [(3, "three"), (4, "4")] {
        let event = bob.expect("event").await;
        assert_eq!(
            (&event["n"], &event["data"]["said"]),
            (&json!(n), &json!(text))
        );
    }
    bob.send(say(ROOM, 5, "five")).await;
    assert_eq!(bob.expect("event").await["n"], 5);
}

#[tokio::test]
async fn a3_a_leave_that_an_older_socket_left_in_the_topic_is_told_when_it_comes_again() {
    let mut world = World::start().await;
    let (welcome, last) = cut_off(&mut world, &[leave(3)]).await;
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: last})).await;
    assert_eq!(
        bob.expect("resumed").await["rooms"],
        json!({ROOM: "replay"})
    );
    bob.send(leave(3)).await;
    bob.expect("live").await;
    world.start_worker();
    assert_eq!(bob.expect("left").await["n"], 3);
    bob.join_at_once(ROOM, 4, "Bob").await;
}

#[tokio::test]
async fn a2_what_was_done_before_a_leave_has_its_outcome_wherever_the_client_stood() {
    for trimmed in [true, false] {
        let mut world = World::start().await;
        let acts = [act(3, "three"), leave(4)];
        let (welcome, last) = cut_off(&mut world, &acts).await;
        let mut bob = world.connect().await;
        let pos = if trimmed { json!("1-1") } else { last };
        bob.resume(&welcome, json!({ROOM: pos})).await;
        for act in &acts {
            bob.send(act.clone()).await;
        }
        world.start_worker();
        bob.expect("resumed").await;
        let mut outcomes = Vec::new();
        while outcomes.last() != Some(&json!(["left", 4])) {
            let frame = bob.frame().await;
            match frame["t"].as_str().unwrap() {
                "live" => {}
                // The room may be faster than the leave that comes again (A9).
                "left" if frame["n"].is_null() => {}
                t => outcomes.push(json!([t, frame["n"]])),
            }
        }
        let third = if trimmed { "result" } else { "event" };
        assert_eq!(
            outcomes,
            [json!([third, 3]), json!(["left", 4])],
            "{trimmed}"
        );
        bob.join_at_once(ROOM, 5, "Bob").await;
    }
}

#[tokio::test]
async fn r1_who_left_and_does_not_say_so_again_reads_no_more() {
    let mut world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (welcome, last) = cut_off(&mut world, &[leave(3)]).await;
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: last})).await;
    bob.expect("resumed").await;
    bob.expect("live").await;
    world.start_worker();
    let left = bob.expect("left").await;
    assert_eq!(
        (&left["n"], &left["reason"]),
        (&Value::Null, &json!("lost"))
    );
    talk(&mut ada, 2, 3).await;
    // Nothing of that has come when the outcome of what it sends again does.
    bob.send(leave(3)).await;
    assert_eq!(bob.expect("left").await["n"], 3);
}

#[tokio::test]
async fn r1_each_of_several_rooms_is_caught_up_with_in_its_own_way() {
    const OTHERS: [&str; 3] = ["chat/known", "chat/left", "chat/null"];
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, welcome) = world.in_chat(ROOM, "Bob").await;
    ada.find("event").await;
    for room in OTHERS {
        bob.join_at_once(room, 1, "Bob").await;
    }
    bob.send(say("chat/known", 2, "mine")).await;
    let known = bob.find("event").await["pos"].clone();
    bob.send(json!({"t": "leave", "room": "chat/left", "n": 2}))
        .await;
    bob.find("left").await;
    drop(bob);
    talk(&mut ada, 2, 2).await;
    let mut bob = world.connect().await;
    let rooms = json!({ROOM: "1-1", "chat/known": known, "chat/left": known, "chat/null": null});
    bob.resume(&welcome, rooms).await;
    assert_eq!(
        bob.expect("resumed").await["rooms"],
        json!({ROOM: "snapshot", "chat/known": "replay", "chat/left": "gone", "chat/null": "snapshot"})
    );
    let (mut live, mut shown) = (Vec::new(), Vec::new());
    while live.len() < 3 {
        let frame = bob.frame().await;
        let room = frame["room"].as_str().unwrap().to_owned();
        match frame["t"].as_str().unwrap() {
            "live" => live.push(room),
            "snapshot" => shown.push((room, frame["reason"].clone())),
            _ => panic!("{frame}"),
        }
    }
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [(ROOM, "trimmed"), ("chat/null", "requested")];
    assert_eq!(
        shown,
        expected.map(|(room, why)| (room.to_owned(), json!(why)))
    );
}

#[tokio::test]
async fn r1_a_room_that_the_session_is_not_in_is_gone() {
    let world = World::start().await;
    let (mut bob, welcome) = world.in_chat(ROOM, "Bob").await;
    bob.send(json!({"t": "leave", "room": ROOM, "n": 2})).await;
    bob.expect("left").await;
    drop(bob);
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: null, "chat/other": "3-4"}))
        .await;
    let resumed = bob.expect("resumed").await;
    assert_eq!(
        resumed["rooms"],
        json!({ROOM: "gone", "chat/other": "gone"})
    );
    // What was left unsettled is judged by the room, by its number.
    bob.send(json!({"t": "leave", "room": ROOM, "n": 2})).await;
    assert_eq!(bob.expect("left").await["n"], 2);
    bob.join_at_once(ROOM, 3, "Bob").await;
}
