//! Section 6: events and resuming.

use outlast_testkit::{
    Client, RedisServer, Server, eventually,
    frames::{act, leave, resume, room_of, said},
};
use serde_json::{Value, json};

fn off(pos: &Value) -> u64 {
    pos.as_str()
        .unwrap()
        .split_once('-')
        .unwrap()
        .0
        .parse()
        .unwrap()
}

#[tokio::test]
async fn e1_positions_rise_and_everybody_sees_the_same() {
    let server = Server::alone(&["--actions-per-s", "10000"]);
    let mut clients = Vec::new();
    for name in ["Ada", "Bo", "Cy"] {
        clients.push(server.member("chat/e1", name).await);
    }
    for n in 2..=40 {
        for client in &mut clients {
            client
                .send(act("chat/e1", n, json!({"say": format!("{n}")})))
                .await;
        }
    }
    let mut views = Vec::new();
    for client in &mut clients {
        let mut seen = Vec::new();
        while said(&seen).len() < 39 * 3 {
            let frame = client.expect("event").await;
            seen.push(frame);
        }
        assert!(
            seen.windows(2)
                .all(|pair| off(&pair[0]["pos"]) < off(&pair[1]["pos"]))
        );
        views.push(
            seen.into_iter()
                .filter(|frame| frame["data"]["said"].is_string())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(views[0], views[1]);
    assert_eq!(views[0], views[2]);
}

#[tokio::test]
async fn e2_old_entries_go_and_the_last_stays() {
    let server = Server::alone(&["--log-entries", "10", "--actions-per-s", "10000"]);
    let mut client = server.member("chat/e2", "Ada").await;
    let early = client.pos.clone();
    for n in 2..=60 {
        client.say("chat/e2", n, &n.to_string()).await;
    }
    let (late, rooms) = (client.pos.clone(), room_of("chat/e2", &early));
    let mut again = client.resume_at(server.address(), rooms).await;
    assert_eq!(again.welcome["rooms"], json!({"chat/e2": "snapshot"}));
    let snapshot = again.expect("snapshot").await;
    assert_eq!(snapshot["reason"], "trimmed");
    assert_eq!(snapshot["pos"], late);
    assert_eq!(snapshot["n"], 60);
    assert_eq!(again.expect("live").await["pos"], late);
    let third = again
        .resume_at(server.address(), room_of("chat/e2", &late))
        .await;
    assert_eq!(third.welcome["rooms"], json!({"chat/e2": "replay"}));
}

#[tokio::test]
async fn e2_a_room_without_members_is_kept_for_a_while() {
    let server = Server::alone(&["--room-ttl-ms", "600000"]);
    let mut client = server.member("chat/kept", "Ada").await;
    client.say("chat/kept", 2, "remember this").await;
    client.send(leave("chat/kept", 3)).await;
    client.expect("left").await;
    let mut early = server.open().await;
    let joined = early.join("chat/kept", 1, "Bo").await;
    assert_eq!(joined["state"]["messages"][0]["text"], "remember this");

    let server = Server::alone(&["--room-ttl-ms", "1000"]);
    let mut client = server.member("chat/kept", "Ada").await;
    client.say("chat/kept", 2, "forget this").await;
    client.send(leave("chat/kept", 3)).await;
    client.expect("left").await;
    let mut tries = 0;
    eventually("the room is forgotten", async || {
        // Each look is a visit, and a visit keeps the room: so look ever more rarely.
        tries += 1;
        tokio::time::sleep(std::time::Duration::from_millis(1_200 + 500 * tries)).await;
        let mut late = server.open().await;
        let joined = late.join("chat/kept", 1, "Cy").await;
        late.send(leave("chat/kept", 2)).await;
        late.expect("left").await;
        joined["state"]["messages"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn r1_replays_exactly_what_was_missed() {
    let server = Server::alone(&[]);
    let mut other = server.member("chat/r1", "Bo").await;
    let mut client = server.member("chat/r1", "Ada").await;
    client.say("chat/r1", 2, "seen").await;
    let (pos, frame) = (
        client.pos.clone(),
        resume(&client.welcome, room_of("chat/r1", &client.pos)),
    );
    client.cut();
    for n in 2..=6 {
        other.say("chat/r1", n, &format!("missed {n}")).await;
    }
    let mut again = server.connect().await;
    again.send(frame).await;
    let resumed = again.expect("resumed").await;
    assert_eq!(resumed["rooms"], json!({"chat/r1": "replay"}));
    let came = again.until("live", |_| true).await;
    let expected: Vec<_> = (2..=6).map(|n| format!("missed {n}")).collect();
    assert_eq!(said(&came), expected);
    assert!(
        came.iter()
            .all(|frame| off(&frame["pos"]) > off(&json!(pos)))
    );
    assert_eq!(came.last().unwrap()["pos"], came[came.len() - 2]["pos"]);
    // `live.pos` may be resumed from, and nothing was missed since.
    let live = came.last().unwrap()["pos"].as_str().unwrap().to_owned();
    let mut third = again
        .resume_at(server.address(), room_of("chat/r1", &live))
        .await;
    assert_eq!(third.expect("live").await["pos"], live);
}

#[tokio::test]
async fn r1_null_and_left_out_rooms_get_a_snapshot_and_left_ones_are_gone() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/null", "Ada").await;
    client.say("chat/null", 2, "hello").await;
    client.join("chat/omitted", 1, "Ada").await;
    client.join("chat/left", 1, "Ada").await;
    client.send(leave("chat/left", 2)).await;
    client.expect("left").await;
    let rooms = json!({"chat/null": null, "chat/left": null, "chat/never": "3-77"});
    let mut again = client.resume_at(server.address(), rooms).await;
    assert_eq!(
        again.welcome["rooms"],
        json!({"chat/null": "snapshot", "chat/omitted": "snapshot", "chat/left": "gone", "chat/never": "gone"})
    );
    let mut came = Vec::new();
    for _ in 0..2 {
        came.extend(again.until("live", |_| true).await);
    }
    for room in ["chat/null", "chat/omitted"] {
        let of_room: Vec<_> = came.iter().filter(|frame| frame["room"] == room).collect();
        let [snapshot, live] = of_room[..] else {
            panic!("{of_room:#?}")
        };
        assert_eq!(
            (&snapshot["t"], &snapshot["reason"]),
            (&json!("snapshot"), &json!("requested"))
        );
        assert_eq!(
            (&live["t"], &live["pos"]),
            (&json!("live"), &snapshot["pos"])
        );
        assert_eq!(
            snapshot["state"]["members"][0]["member"],
            snapshot["member"]
        );
        if room == "chat/null" {
            assert_eq!(snapshot["n"], 2);
            assert_eq!(snapshot["state"]["messages"][0]["text"], "hello");
        }
    }
}

#[tokio::test]
async fn r2_live_events_come_after_the_replay_once() {
    let server = Server::alone(&["--actions-per-s", "100000"]);
    let mut other = server.member("chat/r2", "Bo").await;
    let mut client = server.member("chat/r2", "Ada").await;
    let mut pos = client.pos.clone();
    let mut next = 2u64;
    let mut seen: Vec<String> = Vec::new();
    // The other goes on all the time, while the client resumes again and again.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let talk = tokio::spawn(async move {
        for n in 2.. {
            other.say("chat/r2", n, &n.to_string()).await;
            if stopped.try_recv().is_ok() {
                return n;
            }
        }
        0
    });
    for _ in 0..15 {
        let mut again = client
            .resume_at(server.address(), room_of("chat/r2", &pos))
            .await;
        let mut came = again.until("live", |_| true).await;
        came.extend([again.expect("event").await, again.expect("event").await]);
        seen.extend(said(&came));
        pos = again.pos.clone();
        client = again;
    }
    stop.send(()).unwrap();
    let last = talk.await.unwrap();
    let mut again = client
        .resume_at(server.address(), room_of("chat/r2", &pos))
        .await;
    seen.extend(said(&again.until("live", |_| true).await));
    for text in seen {
        assert_eq!(
            text,
            next.to_string(),
            "one was lost, doubled or out of order"
        );
        next += 1;
    }
    assert_eq!(next, last + 1);
}

#[tokio::test]
async fn r3_a_malformed_pos_is_a_protocol_error() {
    let server = Server::alone(&[]);
    for pos in ["", "7", "7-", "-7", "x-y", "1-2-3", "1.5-2"] {
        let client = server.member("chat/r3", "Ada").await;
        let mut again = server.connect().await;
        again
            .send(resume(&client.welcome, room_of("chat/r3", pos)))
            .await;
        again.closes_with(4004).await;
    }
}

#[tokio::test]
async fn r3_another_tag_or_beyond_the_end_has_diverged() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/r3", "Ada").await;
    client.say("chat/r3", 2, "hello").await;
    let (off, tag) = client
        .pos
        .split_once('-')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for pos in [format!("{off}-1{tag}"), format!("99-{tag}")] {
        let mut again = client
            .resume_at(server.address(), room_of("chat/r3", &pos))
            .await;
        assert_eq!(
            again.welcome["rooms"],
            json!({"chat/r3": "snapshot"}),
            "{pos}"
        );
        let snapshot = again.expect("snapshot").await;
        assert_eq!(
            (&snapshot["reason"], &snapshot["n"]),
            (&json!("diverged"), &json!(2))
        );
        again.expect("live").await;
        client = again;
    }
}

/// The store is put back to what it was a while ago, as an asynchronous failover can do.
#[tokio::test]
async fn r4_a_store_that_lost_its_newest_writes_is_told_plainly() {
    let mut redis = RedisServer::start();
    let server = Server::gateway(&redis, &[]);
    let _worker = Server::worker(&redis, &[]);
    let mut stays = server.member("chat/r4", "Ada").await;
    let mut leaves = server.member("chat/r4", "Bo").await;
    leaves.say("chat/r4", 2, "kept").await;
    stays
        .until("event", |frame| frame["data"]["said"] == "kept")
        .await;
    let copy = tempfile::tempdir().unwrap();
    copy_folder(redis.folder(), copy.path());
    leaves.say("chat/r4", 3, "lost").await;
    stays
        .until("event", |frame| frame["data"]["said"] == "lost")
        .await;
    let (pos, frame) = (
        leaves.pos.clone(),
        resume(&leaves.welcome, room_of("chat/r4", &leaves.pos)),
    );
    assert!(!pos.is_empty());
    leaves.cut();

    redis.kill();
    std::fs::remove_dir_all(redis.folder().join("appendonlydir")).unwrap();
    copy_folder(copy.path(), redis.folder());
    redis.restart();

    let mut again = Client::connect(server.address()).await;
    let resumed = loop {
        again.send(frame.clone()).await;
        let answer = again.next().await;
        if answer["t"] != "busy" {
            break answer;
        }
        again = Client::connect(server.address()).await;
    };
    assert_eq!(
        resumed["rooms"],
        json!({"chat/r4": "snapshot"}),
        "{resumed}"
    );
    let snapshot = again.expect("snapshot").await;
    assert_eq!(
        (&snapshot["reason"], &snapshot["n"]),
        (&json!("diverged"), &json!(2))
    );
    again.expect("live").await;
    again.send(act("chat/r4", 3, json!({"say": "after"}))).await;

    // Whoever stayed is told before its next entry.
    let came = stays
        .until("event", |frame| frame["data"]["said"] == "after")
        .await;
    let reset = came.iter().position(|frame| frame["t"] == "snapshot");
    let reset = reset.unwrap_or_else(|| panic!("no snapshot before the next entry: {came:#?}"));
    assert_eq!(came[reset]["reason"], "diverged");
    assert!(said(&came[..reset]).is_empty());
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp")
        .args([
            "-r",
            from.join("appendonlydir").to_str().unwrap(),
            to.to_str().unwrap(),
        ])
        .status();
    assert!(copied.unwrap().success());
}

#[tokio::test]
async fn r4_an_emptied_store_is_told_plainly() {
    let redis = RedisServer::start();
    let server = Server::gateway(&redis, &[]);
    let _worker = Server::worker(&redis, &[]);
    let mut client = server.member("chat/r4", "Ada").await;
    client.say("chat/r4", 2, "hello").await;
    redis.cli(&["FLUSHALL"]);
    let mut again = server.connect().await;
    again
        .send(resume(&client.welcome, room_of("chat/r4", &client.pos)))
        .await;
    again.closes_with(4001).await;
    // Its socket is told, too.
    client.closes_with(4001).await;
    let mut fresh = server.member("chat/r4", "Bo").await;
    fresh.say("chat/r4", 2, "anew").await;
}

#[tokio::test]
async fn r5_a_snapshot_settles_what_is_up_to_its_n() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/r5", "Ada").await;
    for n in 2..=4 {
        client
            .send(act("chat/r5", n, json!({"say": n.to_string()})))
            .await;
    }
    client.until("event", |frame| frame["n"] == 4).await;
    let mut again = server.connect().await;
    again.member = client.member;
    again
        .send(resume(&client.welcome, json!({"chat/r5": null})))
        .await;
    for n in 3..=5 {
        again
            .send(act("chat/r5", n, json!({"say": n.to_string()})))
            .await;
    }
    again.expect("resumed").await;
    let snapshot = again.expect("snapshot").await;
    assert!(snapshot["n"].as_u64().unwrap() >= 4, "{snapshot}");
    let came = again.until("event", |frame| frame["n"] == 5).await;
    assert_eq!(said(&came), ["5"]);
}
