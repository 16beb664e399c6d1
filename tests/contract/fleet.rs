//! Section 10: workers and the store, as far as a client sees them.

use std::time::{Duration, Instant};

use outlast_testkit::{
    Client, PATIENCE, RedisServer, Server,
    frames::{act, said},
    in_time,
};
use serde_json::json;

/// Says something until it is an event; answers how long that took.
async fn outcome_after(client: &mut Client, room: &str, n: u64) -> Duration {
    let start = Instant::now();
    let mut come = false;
    client
        .send(act(room, n, json!({"say": n.to_string()})))
        .await;
    while !come {
        let frame = client.next().await;
        come = frame["t"] == "event" && frame["n"] == n;
        if frame["code"] == "busy" {
            tokio::time::sleep(Duration::from_millis(20)).await;
            client
                .send(act(room, n, json!({"say": n.to_string()})))
                .await;
        }
    }
    start.elapsed()
}

#[tokio::test]
async fn w1_a_worker_that_was_stopped_past_its_lease_harms_nothing() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let one = Server::worker(&redis, &["--lease-ms", "1000"]);
    let mut client = gateway.member("chat/w1", "Ada").await;
    client.say("chat/w1", 2, "before").await;
    let two = Server::worker(&redis, &["--lease-ms", "1000"]);
    one.signal("STOP");
    outcome_after(&mut client, "chat/w1", 3).await;
    one.signal("CONT");
    for n in 4..=40 {
        let came = client.say("chat/w1", n, &n.to_string()).await;
        assert_eq!(said(&came), [n.to_string()]);
    }
    two.kill();
    outcome_after(&mut client, "chat/w1", 41).await;
    let mut late = gateway.open().await;
    let joined = late.join("chat/w1", 1, "Bo").await;
    let messages = joined["state"]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 40, "{joined:#}");
}

#[tokio::test]
async fn w3_a_room_is_the_same_after_a_restart_of_everything() {
    let mut redis = RedisServer::start();
    let flags = ["--session-ttl-ms", "600000"];
    let (gateway, worker) = (Server::gateway(&redis, &flags), Server::worker(&redis, &[]));
    let mut client = gateway.member("chat/w3", "Ada").await;
    for n in 2..=300 {
        client
            .send(act("chat/w3", n, json!({"say": format!("{n}")})))
            .await;
        if n % 25 == 0 {
            client.until("event", |frame| frame["n"] == n).await;
        }
        tokio::time::sleep(Duration::from_millis(if n > 90 { 21 } else { 0 })).await;
    }
    let mut before = gateway.open().await;
    let before = before.join("chat/w3", 1, "Bo").await;
    gateway.kill();
    worker.kill();
    redis.kill();
    redis.restart();
    let (gateway, _worker) = (Server::gateway(&redis, &flags), Server::worker(&redis, &[]));
    let mut after = gateway.open().await;
    let after = after.join("chat/w3", 1, "Cy").await;
    assert_eq!(after["state"]["messages"], before["state"]["messages"]);
    assert_eq!(after["state"]["messages"].as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn w4_another_worker_takes_over_within_the_lease_and_a_second() {
    in_time(Duration::from_secs(3), first_outcome).await;
}

/// Returns the time from the death of a worker to the first outcome.
async fn first_outcome() -> Duration {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let one = Server::worker(&redis, &[]);
    let mut client = gateway.member("chat/w4", "Ada").await;
    client.say("chat/w4", 2, "before").await;
    let _two = Server::worker(&redis, &[]);
    // Whichever of the two owns the room: one of them is killed, and another after it.
    one.kill();
    outcome_after(&mut client, "chat/w4", 3).await
}

#[tokio::test]
async fn w4_a_worker_that_is_told_to_go_hands_over_at_once() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &["--actions-per-s", "10000"]);
    // Nobody could wait for such a lease to expire.
    let lease = ["--lease-ms", "3600000"];
    let one = Server::worker(&redis, &lease);
    let mut client = gateway.member("chat/w4", "Ada").await;
    client.say("chat/w4", 2, "before").await;
    let _two = Server::worker(&redis, &lease);
    let mut longest = Duration::ZERO;
    let mut n = 3;
    let mut one = Some(one);
    let start = Instant::now();
    while one.is_some() || start.elapsed() < Duration::from_secs(4) {
        if start.elapsed() > Duration::from_secs(1)
            && let Some(one) = one.take()
        {
            one.signal("TERM");
            std::thread::spawn(move || assert_eq!(one.wait(), Some(0)));
        }
        longest = longest.max(outcome_after(&mut client, "chat/w4", n).await);
        n += 1;
    }
    println!("longest pause during the hand-over: {longest:?}");
    assert!(longest < PATIENCE / 2, "a pause of {longest:?}");
}

#[tokio::test]
async fn w7_a_store_at_its_memory_limit_refuses_intake_and_nothing_else() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &["--actions-per-s", "10000"]);
    let _worker = Server::worker(&redis, &[]);
    let mut client = gateway.member("chat/w7", "Ada").await;
    client.say("chat/w7", 2, "before").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    client.send(act("chat/w7", 3, json!({"say": "kept"}))).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("busy"), &json!(3)),
        "{error}"
    );
    // Longer than a lease: it is kept all the same.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let took = outcome_after(&mut client, "chat/w7", 3).await;
    println!("it went on after {took:?}");
    let mut late = gateway.open().await;
    let joined = late.join("chat/w7", 1, "Bo").await;
    assert_eq!(
        joined["state"]["messages"].as_array().unwrap().len(),
        2,
        "{joined}"
    );
}
