//! Section 5: actions.

use std::time::{Duration, Instant};

use outlast_testkit::{
    Client, RedisServer, Server,
    frames::{act, join, leave, resume, room_of, said},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a1_duplicates_have_no_second_effect_and_a_gap_is_told_once() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/a1", "Ada").await;
    let say = |n: u64, text: &str| act("chat/a1", n, json!({"say": text}));
    client.say("chat/a1", 2, "two").await;
    for frame in [
        say(2, "two again"),
        say(1, "one again"),
        say(5, "five"),
        say(6, "six"),
    ] {
        client.send(frame).await;
    }
    assert_eq!(
        client.next().await,
        json!({"t": "gap", "room": "chat/a1", "expect": 3})
    );
    for n in 3..=6 {
        client.send(say(n, &format!("number {n}"))).await;
    }
    let came = client.until("event", |frame| frame["n"] == 6).await;
    assert_eq!(
        said(&came),
        ["number 3", "number 4", "number 5", "number 6"]
    );
    assert_eq!(came.len(), 4, "{came:#?}");
    // The expected one has come, so the next gap is told again.
    client.send(say(9, "nine")).await;
    assert_eq!(client.expect("gap").await["expect"], 7);
}

#[tokio::test]
async fn a1_what_is_missing_may_come_right_behind_what_is_too_high() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/a1", "Ada").await;
    for n in [4, 3, 2] {
        client
            .send(act("chat/a1", n, json!({"say": n.to_string()})))
            .await;
    }
    assert_eq!(client.expect("gap").await["expect"], 2);
    assert_eq!(said(&[client.expect("event").await]), ["2"]);
    for n in [3, 4] {
        assert_eq!(
            said(&client.say("chat/a1", n, &n.to_string()).await),
            [n.to_string()]
        );
    }
}

#[tokio::test]
async fn a1_numbers_go_on_for_the_sessions_whole_life() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/a1", "Ada").await;
    client.send(leave("chat/a1", 2)).await;
    assert_eq!(
        client.expect("left").await,
        json!({"t": "left", "room": "chat/a1", "n": 2, "reason": "left"})
    );
    let member = client.member;
    client.join("chat/a1", 3, "Ada").await;
    assert_eq!(client.member, member, "a session keeps its number");
    client.join("chat/other", 1, "Ada").await;
}

#[tokio::test]
async fn a2_every_action_has_exactly_one_outcome() {
    let server = Server::alone(&["--actions-per-s", "10000"]);
    let mut witness = server.member("chat/a2", "Bo").await;
    let mut client = server.open().await;
    client.send(join("chat/a2", 1, "Ada")).await;
    for n in 2..=60 {
        let data = match n % 3 {
            0 => json!({"typing": true}),
            1 => json!({"say": ""}),
            _ => json!({"say": format!("{n}")}),
        };
        client.send(act("chat/a2", n, data)).await;
    }
    client.send(leave("chat/a2", 61)).await;
    let came = client.until("left", |frame| frame["n"] == 61).await;
    let mut settled = vec![0; 62];
    for frame in &came {
        let n = frame["n"].as_u64().unwrap_or(0) as usize;
        match frame["t"].as_str().unwrap() {
            "joined" | "left" => settled[n] += 1,
            "event" if frame["by"] == client.member => settled[n] += 1,
            "result" if frame["ok"] == true => {
                let open = (1..=n).filter(|n| settled[*n] == 0).collect::<Vec<_>>();
                assert!(open.contains(&n), "{frame} settles nothing new");
                // It may stand for several acts without an event, and settles them all.
                open.iter()
                    .filter(|n| **n % 3 == 0)
                    .for_each(|n| settled[*n] += 1);
            }
            "result" => settled[n] += 1,
            "signal" => {}
            other => panic!("{other}: {frame}"),
        }
    }
    assert_eq!(settled[1..], [1; 61], "{came:#?}");
    let entered = witness.expect("event").await;
    assert_eq!(
        entered["data"]["entered"]["name"], "Ada",
        "others see the join, with its cause"
    );
    assert_eq!(
        (&entered["by"], &entered["n"]),
        (&json!(client.member), &json!(1))
    );
    let all = witness
        .until("event", |frame| frame["data"]["left"].is_object())
        .await;
    assert_eq!(said(&all).len(), 20);
}

#[tokio::test]
async fn a2_joined_lies_behind_what_the_join_caused() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    let joined = client.join("chat/a2", 1, "Ada").await;
    assert_eq!(joined["state"]["members"][0]["name"], "Ada");
    let came = client.say("chat/a2", 2, "first").await;
    assert_eq!(
        came.len(),
        1,
        "its own entering is not sent to it: {came:#?}"
    );
}

/// Sends, is cut off before any answer, comes back and sends everything again.
#[tokio::test]
async fn a3_what_is_resent_counts_once() {
    let redis = RedisServer::start();
    let (a, b) = (Server::gateway(&redis, &[]), Server::gateway(&redis, &[]));
    let worker = Server::worker(&redis, &[]);
    let mut witness = b.member("chat/a3", "Bo").await;
    let mut client = a.member("chat/a3", "Ada").await;
    let pos = client.pos.clone();
    let acts: Vec<Value> = (2..=21)
        .map(|n| act("chat/a3", n, json!({"say": format!("{n}")})))
        .collect();
    for frame in &acts[..10] {
        client.send(frame.clone()).await;
    }
    a.kill();
    worker.kill();
    let _worker = Server::worker(&redis, &[]);
    let mut again = b.connect().await;
    again.member = client.member;
    again
        .send(resume(&client.welcome, room_of("chat/a3", &pos)))
        .await;
    for frame in &acts {
        again.send(frame.clone()).await;
    }
    again.expect("resumed").await;
    let came = again.until("event", |frame| frame["n"] == 21).await;
    let expected: Vec<_> = (2..=21).map(|n| n.to_string()).collect();
    assert_eq!(said(&came), expected, "the client sees each once, in order");
    let seen = witness.until("event", |frame| frame["n"] == 21).await;
    assert_eq!(said(&seen), expected, "and so does everybody else");
}

#[tokio::test]
async fn a3_a_resent_join_or_leave_is_answered_again() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    client.send(join("chat/a3", 1, "")).await;
    let refused = client.expect("result").await;
    assert_eq!((&refused["n"], &refused["ok"]), (&json!(1), &json!(false)));
    let mut again = client.resume_at(server.address(), json!({})).await;
    again.send(join("chat/a3", 1, "")).await;
    assert_eq!(again.expect("result").await, refused);

    again.join("chat/a3", 2, "Ada").await;
    again.send(leave("chat/a3", 3)).await;
    let left = again.expect("left").await;
    let mut third = again
        .resume_at(server.address(), room_of("chat/a3", &again.pos))
        .await;
    assert_eq!(third.welcome["rooms"], json!({"chat/a3": "gone"}));
    third.send(leave("chat/a3", 3)).await;
    assert_eq!(third.expect("left").await, left);
}

/// A gateway may die when a client was told of its act, but not of the join before it.
#[tokio::test]
async fn a3_a_join_is_settled_though_a_later_act_has_its_outcome() {
    let (server, room) = (Server::alone(&[]), "chat/a3-again");
    let mut client = server.member(room, "Ada").await;
    client.send(leave(room, 2)).await;
    client.expect("left").await;
    client.join(room, 3, "Ada").await;
    let pos = client.pos.clone();
    client.say(room, 4, "hello").await;
    let mut again = client
        .resume_at(server.address(), room_of(room, &pos))
        .await;
    assert_eq!(again.expect("event").await["n"], 4);
    again.send(join(room, 3, "Ada")).await;
    assert_eq!(again.find("joined").await["n"], 3);

    // Where the outcome of the leave was lost, too, both are settled by a snapshot (R5).
    let mut again = again.resume_at(server.address(), room_of(room, &pos)).await;
    assert_eq!(again.expect("event").await["n"], 4);
    again.send(leave(room, 2)).await;
    again.send(join(room, 3, "Ada")).await;
    assert_eq!(again.find("snapshot").await["n"], 4);
    let came = again.say(room, 5, "on we go").await;
    assert_eq!(said(&came), ["on we go"]);
}

#[tokio::test]
async fn a4_a_refusal_changes_nothing_and_uses_its_number() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/a4", "Ada").await;
    for (n, data) in [
        (2, json!({"say": ""})),
        (3, json!({"say": "x".repeat(2_001)})),
        (4, json!({"dance": true})),
        (5, json!({"say": 7})),
        (6, json!(null)),
        (7, json!("say")),
    ] {
        client.send(act("chat/a4", n, data)).await;
        let result = client.expect("result").await;
        assert_eq!(
            (&result["n"], &result["ok"]),
            (&json!(n), &json!(false)),
            "{result}"
        );
        assert!(!result["code"].as_str().unwrap().is_empty());
        assert!(!result["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(said(&client.say("chat/a4", 8, "fine").await), ["fine"]);
}

#[tokio::test]
async fn a5_not_joined_frees_the_number() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    client.send(act("chat/a5", 1, json!({"say": "x"}))).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("not_joined"), &json!(1))
    );
    assert_eq!(error["room"], "chat/a5");
    client.join("chat/a5", 1, "Ada").await;
}

#[tokio::test]
async fn a5_an_act_right_behind_a_refused_join_is_judged_by_the_room() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    client.send(join("chat/a5", 1, "")).await;
    client.send(act("chat/a5", 2, json!({"say": "x"}))).await;
    let (one, two) = (client.expect("result").await, client.expect("result").await);
    assert_eq!((&one["n"], &one["ok"]), (&json!(1), &json!(false)));
    assert_eq!((&two["n"], &two["code"]), (&json!(2), &json!("not_joined")));
}

#[tokio::test]
async fn a5_a_bad_room_and_a_room_of_no_kind_are_errors() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    for room in [
        "chat/a/b",
        "chat",
        "Chat/x",
        "chat/",
        "/x",
        &format!("chat/{}", "x".repeat(200)),
    ] {
        client.send(join(room, 1, "Ada")).await;
        let error = client.expect("error").await;
        assert_eq!(
            (&error["code"], &error["n"]),
            (&json!("bad_room"), &json!(1)),
            "{error}"
        );
        assert_eq!(error["room"], room);
    }
    client.send(join("nonsense/x", 1, "Ada")).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("unknown_room_kind"), &json!(1))
    );
    client.join("chat/a5", 1, "Ada").await;
}

#[tokio::test]
async fn a5_too_many_rooms() {
    let server = Server::alone(&["--actions-per-s", "10000"]);
    let mut client = server.open().await;
    for room in 0..128 {
        client.send(join(&format!("chat/{room}"), 1, "Ada")).await;
    }
    for _ in 0..128 {
        client.expect("joined").await;
    }
    client.send(join("chat/one-more", 1, "Ada")).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("too_many_rooms"), &json!(1))
    );
    client.send(leave("chat/0", 2)).await;
    client.expect("left").await;
    client.join("chat/one-more", 1, "Ada").await;
}

#[tokio::test]
async fn a5_rate_limited_from_that_number_on_until_it_is_resent() {
    let server = Server::alone(&["--actions-per-s", "20"]);
    let mut client = server.member("chat/a5", "Ada").await;
    let say = |n: u64| act("chat/a5", n, json!({"say": n.to_string()}));
    let start = Instant::now();
    for n in 2..=60 {
        client.send(say(n)).await;
    }
    let mut settled = 1;
    let mut limited = 0;
    while settled < 60 {
        let frame = client.next().await;
        match frame["t"].as_str().unwrap() {
            "event" => {
                assert_eq!(frame["n"], settled + 1, "in order, none left out");
                settled += 1;
            }
            "error" => {
                assert_eq!(frame["code"], "rate_limited", "{frame}");
                limited += 1;
                let from = frame["n"].as_u64().unwrap();
                let retry_ms = frame["retry_ms"].as_u64().unwrap();
                tokio::time::sleep(Duration::from_millis(retry_ms)).await;
                for n in from..=60 {
                    client.send(say(n)).await;
                }
            }
            other => panic!("{other}: {frame}"),
        }
    }
    let at_least = Duration::from_millis((59 - 40) * 1000 / 20);
    assert!(
        limited > 0 || start.elapsed() >= at_least,
        "59 actions at 20 a second, 40 at once, are too many"
    );
}

#[tokio::test]
async fn a5_whoever_goes_on_above_its_rate_is_closed() {
    let server = Server::alone(&["--actions-per-s", "5"]);
    let mut client = server.member("chat/a5", "Ada").await;
    let flood = async |client: &mut Client| {
        for n in 2..20_000 {
            client
                .try_send(act("chat/a5", n, json!({"say": "flood"})))
                .await;
            if let Some(frame) = client.next_within(Duration::ZERO).await
                && frame["t"] == "bye"
            {
                return frame;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.find("bye").await
    };
    let bye = flood(&mut client).await;
    assert_eq!(
        (&bye["code"], &bye["resume"]),
        (&json!(4008), &json!(true)),
        "{bye}"
    );
    assert!(bye["retry_ms"].as_u64().is_some());
}

#[tokio::test]
async fn a5_busy_while_the_store_is_away() {
    let mut redis = RedisServer::start();
    let server = Server::gateway(&redis, &[]);
    let _worker = Server::worker(&redis, &[]);
    let mut client = server.member("chat/a5", "Ada").await;
    redis.kill();
    let say = act("chat/a5", 2, json!({"say": "kept"}));
    client.send(say.clone()).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("busy"), &json!(2)),
        "{error}"
    );
    assert!(error["retry_ms"].as_u64().is_some());
    redis.restart();
    loop {
        client.send(say.clone()).await;
        let frame = client.next().await;
        if frame["t"] == "event" {
            assert_eq!(frame["data"], json!({"said": "kept"}));
            break;
        }
        assert_eq!(frame["code"], "busy", "{frame}");
        tokio::time::sleep(Duration::from_millis(frame["retry_ms"].as_u64().unwrap())).await;
    }
}
