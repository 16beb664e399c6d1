//! What clients are told that leave, come back and act without waiting, and of rooms that are slow, gone or have
//! forgotten them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use outlast_testkit::{
    Client, RedisServer,
    frames::{join, leave, say},
};
use serde_json::{Value, json};

use crate::support::{LAYOUT, World, connect, forgetful, on_both, quick};

const ROOM: &str = "chat/lobby";

/// Reads until the outcome of an action; returns how often each action had one, and each entry came.
async fn outcomes(client: &mut Client, member: &Value, last: u64) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    loop {
        let frame = client.frame().await;
        let n = frame["n"].as_u64();
        let mine = match frame["t"].as_str().unwrap() {
            "event" => {
                *seen.entry(frame["pos"].to_string()).or_default() += 1;
                frame["by"] == *member && n.is_some()
            }
            "joined" | "left" | "result" => true,
            "signal" => false,
            other => panic!("{other}: {frame}"),
        };
        if let Some(n) = n.filter(|_| mine) {
            *seen.entry(format!("outcome of {n}")).or_default() += 1;
            if n == last {
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn e3_who_leaves_and_comes_back_without_waiting_is_told_everything_once() {
    on_both(async |world| {
        let (mut ada, _) = world.open().await;
        let member = ada.join_at_once(ROOM, 1, "Ada").await["member"].clone();
        let (mut bob, _) = world.in_chat(ROOM, "Bob").await;
        let talk = async {
            for n in 2..1_200 {
                bob.send(say(ROOM, n, "on and on")).await;
                bob.find("event").await;
            }
        };
        let come_and_go = async {
            let mut all = BTreeMap::new();
            for n in (2..400).step_by(4) {
                for frame in [
                    leave(ROOM, n),
                    say(ROOM, n + 1, "from outside"),
                    join(ROOM, n + 2, "Ada"),
                    say(ROOM, n + 3, "inside"),
                ] {
                    ada.send(frame).await;
                }
                for (what, times) in outcomes(&mut ada, &member, n + 3).await {
                    *all.entry(what).or_insert(0) += times;
                }
            }
            all
        };
        let all = tokio::select! {
            all = come_and_go => all,
            () = async { talk.await; std::future::pending().await } => unreachable!(),
        };
        let twice: Vec<_> = all.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        for n in 2..402 {
            assert_eq!(all.get(&format!("outcome of {n}")), Some(&1));
        }
    })
    .await;
}

#[tokio::test]
async fn r8_what_was_promised_to_be_shown_comes_before_the_leave() {
    on_both(async |world| {
        let rooms = ["chat/one", "chat/three", "chat/two"];
        for last in rooms {
            let (mut client, welcome) = world.open().await;
            for room in rooms {
                client.join_at_once(room, 1, "Ada").await;
            }
            client
                .send(say(last, 2, "applied, and its outcome not seen"))
                .await;
            client.find("event").await;
            drop(client);
            let mut client = world.connect().await;
            client
                .resume(
                    &welcome,
                    json!({"chat/one": null, "chat/two": null, "chat/three": null}),
                )
                .await;
            client
                .send(say(last, 2, "applied, and its outcome not seen"))
                .await;
            client.send(leave(last, 3)).await;
            let mut shown = Vec::new();
            loop {
                let frame = client.frame().await;
                if frame["room"] == last {
                    shown.push((frame["t"].to_string(), frame["n"].clone()));
                }
                if frame["t"] == "left" {
                    break;
                }
            }
            assert_eq!(
                shown[0],
                (json!("snapshot").to_string(), json!(2)),
                "{shown:?}"
            );
            assert_eq!(shown.last(), Some(&(json!("left").to_string(), json!(3))));
            client.send(join(last, 4, "Ada")).await;
            assert_eq!(client.find("joined").await["n"], 4);
        }
    })
    .await;
}

/// The store loses what a room knows, and nothing else.
async fn forget(server: &RedisServer, world: &mut World, keys: &[&str]) {
    world.stop_worker().await;
    let p = LAYOUT.partition(&ROOM.parse().unwrap()).0;
    for key in keys {
        let deleted = server.run::<u64>(&["DEL", &format!("ol:{{p{p}}}:{key}:{ROOM}")]);
        assert_eq!(deleted, 1, "{key}");
    }
    world.start_worker();
}

#[tokio::test]
async fn a10_who_was_forgotten_goes_on_with_the_number_that_is_expected() {
    let server = forgetful();
    let mut world = World::on(connect(&server).await, quick()).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    for n in 2..6 {
        client.send(say(ROOM, n, "settled")).await;
        client.expect("event").await;
    }
    forget(&server, &mut world, &["room", "log"]).await;
    client.send(say(ROOM, 6, "nobody knows her")).await;
    // In whichever way it shows, she is out, and told which number comes next.
    client.find("left").await;
    let gap = client.expect("gap").await;
    assert_eq!(gap["expect"], 1);
    client.join_at_once(ROOM, 1, "Ada").await;
    client.send(say(ROOM, 2, "and on")).await;
    assert_eq!(client.find("event").await["n"], 2);
}

#[tokio::test]
async fn a10_a_session_that_was_out_for_long_is_told_the_number_that_is_expected() {
    let mut setup = quick();
    setup.worker.room_ttl_ms = 1;
    let world = World::with(setup).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    client.send(leave(ROOM, 2)).await;
    client.expect("left").await;
    // Others come and go, and the room forgets who left before.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (mut bob, _) = world.in_chat(ROOM, "Bob").await;
        bob.send(leave(ROOM, 2)).await;
        bob.expect("left").await;
    }
    client.send(join(ROOM, 3, "Ada")).await;
    assert_eq!(client.expect("gap").await["expect"], 1);
    client.join_at_once(ROOM, 1, "Ada").await;
}

#[tokio::test]
async fn a8_a_client_that_goes_on_without_what_is_awaited_is_told_again() {
    let world = World::with(quick()).await;
    let (mut client, _) = world.in_chat(ROOM, "Ada").await;
    client.send(say(ROOM, 4, "too early")).await;
    assert_eq!(client.expect("gap").await["expect"], 2);
    for _ in 0..2 {
        client.send(say(ROOM, 5, "too early")).await;
        client.send(say(ROOM, 6, "too early")).await;
        let gap = client.expect("gap").await;
        assert_eq!((&gap["room"], &gap["expect"]), (&json!(ROOM), &json!(2)));
    }
    client.send(say(ROOM, 2, "at last")).await;
    assert_eq!(client.expect("event").await["n"], 2);
}

#[tokio::test]
async fn r7_a_log_that_is_gone_is_told_once_and_the_room_goes_on() {
    for gone in ["DEL", "XTRIM"] {
        for knows_its_place in [true, false] {
            let server = forgetful();
            let world = World::on(connect(&server).await, quick()).await;
            let (mut client, welcome) = world.in_chat(ROOM, "Ada").await;
            client.send(say(ROOM, 2, "kept by the room alone")).await;
            let pos = client.expect("event").await["pos"].clone();
            drop(client);
            let p = LAYOUT.partition(&ROOM.parse().unwrap()).0;
            let log = format!("ol:{{p{p}}}:log:{ROOM}");
            match gone {
                "DEL" => server.run::<()>(&["DEL", &log]),
                _ => server.run::<()>(&["XTRIM", &log, "MAXLEN", "0"]),
            }

            // Nobody is in the room here, so this gateway reads the log anew.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut client = world.connect().await;
            let place = if knows_its_place { pos } else { Value::Null };
            client.resume(&welcome, json!({ROOM: place})).await;
            client.expect("resumed").await;
            let until = Instant::now() + Duration::from_secs(2);
            let mut snapshots = 0;
            let left = || until.saturating_duration_since(Instant::now());
            while let Some(frame) = client.next_within(left()).await {
                assert_ne!(frame["t"], "closed", "{frame}");
                snapshots += usize::from(frame["t"] == "snapshot");
            }
            let least = usize::from(!knows_its_place);
            assert!((least..=2).contains(&snapshots), "{snapshots} snapshots");
            client.send(say(ROOM, 3, "and on")).await;
            assert_eq!(client.find("event").await["n"], 3);
        }
    }
}

#[tokio::test]
async fn r6_a_room_that_stands_still_holds_up_no_other() {
    let server = forgetful();
    let mut world = World::on(connect(&server).await, quick()).await;
    let (mut client, welcome) = world.in_chat(ROOM, "Ada").await;
    let others = ["chat/a", "chat/b", "chat/z"];
    for other in others {
        client.join_at_once(other, 1, "Ada").await;
    }
    drop(client);
    // What the room's next worker finds is of a version that it cannot read.
    world.stop_worker().await;
    let p = LAYOUT.partition(&ROOM.parse().unwrap()).0;
    let room = format!("ol:{{p{p}}}:room:{ROOM}");
    server.run::<()>(&["HSET", &room, "head", "later"]);
    world.start_worker();

    let mut client = world.connect().await;
    let start = Instant::now();
    let rooms = json!({ROOM: null, "chat/a": null, "chat/b": null, "chat/z": null});
    client.resume(&welcome, rooms).await;
    let resumed = client.expect("resumed").await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert_eq!(resumed["rooms"].as_object().unwrap().len(), 4, "{resumed}");
    let mut live = Vec::new();
    while live.len() < others.len() {
        let frame = client.find("live").await;
        live.push(frame["room"].as_str().unwrap().to_owned());
    }
    let took = start.elapsed();
    live.sort();
    assert_eq!(live, others);
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    // What is asked of it has a word, too.
    client.send(say(ROOM, 2, "anybody?")).await;
    assert_eq!(client.find("error").await["code"], "busy");
}
