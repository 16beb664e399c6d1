//! The Redis that a fleet needs, and how it is shared.

use outlast_testkit::{
    RedisServer, Server, eventually,
    frames::{act, room_of, said},
    free_address,
};
use serde_json::json;

use crate::command_line::{get, refused};

#[tokio::test]
async fn l6_readiness_fails_while_redis_refuses_writes_and_clients_keep_their_sockets() {
    let redis = RedisServer::start();
    let _worker = Server::worker(&redis, &[]);
    let admin = free_address();
    let gateway = Server::gateway(&redis, &["--admin-listen", &admin]);
    let mut client = gateway.member("chat/l6", "Ada").await;
    let ready = async |status: u16| {
        let told = eventually("readiness tells how Redis is", async || {
            let (now, body) = get(&admin, "/readyz");
            (now == status).then_some(body)
        });
        told.await
    };
    ready(200).await;
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert!(ready(503).await.contains("refuses writes"));
    client.send(act("chat/l6", 2, json!({"say": "x"}))).await;
    assert_eq!(client.expect("error").await["code"], "busy");
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    ready(200).await;
    // Full, it still takes resumes.
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    eventually("readiness tells that Redis is full", async || {
        let (status, body) = get(&admin, "/readyz");
        assert_eq!(status, 200, "{body}");
        body.contains("refusing writes").then_some(())
    })
    .await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("readiness tells that Redis has memory", async || {
        get(&admin, "/readyz")
            .1
            .ends_with("\r\n\r\nready\n")
            .then_some(())
    })
    .await;
    eventually("it is taken when Redis takes writes again", async || {
        client.send(act("chat/l6", 2, json!({"say": "x"}))).await;
        (client.next().await["t"] == "event").then_some(())
    })
    .await;

    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    ready(503).await;
    let told = "maxmemory-policy noeviction";
    assert!(gateway.log().contains(told), "{}", gateway.log());
    let another = ["worker", "--store", &redis.url(), "--admin-listen", "off"];
    refused(&Server::run(&another), &["allkeys-lru", told]);
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    ready(200).await;
}

#[tokio::test]
async fn l7_two_deployments_on_one_redis_do_not_see_each_other() {
    let redis = RedisServer::start();
    let url = redis.url();
    let deployment = |prefix| Server::all(&url, &["--store-prefix", prefix]);
    let (staging, production) = (deployment("staging"), deployment("production"));
    let mut here = staging.member("chat/l7", "Ada").await;
    let mut there = production.member("chat/l7", "Bo").await;
    let heard = here.say("chat/l7", 2, "only a test").await;
    assert_eq!(said(&heard), ["only a test"]);
    let heard = there.say("chat/l7", 2, "hello").await;
    assert_eq!(said(&heard), ["hello"], "nothing comes before it");
    let keys = redis.cli(&["KEYS", "*"]);
    let known = |key: &&str| !key.starts_with("staging:") && !key.starts_with("production:");
    assert_eq!(keys.lines().find(known), None, "{keys}");
}

#[test]
fn l7_a_prefix_that_is_none_is_refused() {
    let flags = [
        "worker",
        "--store",
        "redis://127.0.0.1:1",
        "--store-prefix",
        "{a}",
    ];
    refused(&Server::run(&flags), &["--store-prefix", "a-z"]);
}

/// At a gateway that holds nothing of the room in memory.
#[tokio::test]
async fn w14_a_log_that_is_gone_is_shown_as_one_snapshot() {
    let redis = RedisServer::start();
    let _worker = Server::worker(&redis, &[]);
    let gateways = [Server::gateway(&redis, &[]), Server::gateway(&redis, &[])];
    for (lose, room) in [("DEL", "chat/del"), ("XTRIM", "chat/trim")] {
        let mut client = gateways[0].member(room, "Ada").await;
        let behind = client.pos.clone();
        for n in 2..5 {
            client.say(room, n, "x").await;
        }
        let log = redis.cli(&["KEYS", &format!("*:log:{room}")]);
        match lose {
            "DEL" => redis.cli(&["DEL", &log]),
            _ => redis.cli(&["XTRIM", &log, "MAXLEN", "0"]),
        };
        let at = gateways[1].address();
        let mut again = client.resume_at(at, room_of(room, &behind)).await;
        let shown = again.until("live", |_| true).await;
        let snapshots = shown.iter().filter(|frame| frame["t"] == "snapshot");
        let reasons: Vec<_> = snapshots.map(|frame| frame["reason"].clone()).collect();
        assert_eq!(reasons, ["diverged"], "{room}: {shown:?}");
        let heard = again.say(room, 5, "goes on").await;
        assert_eq!(said(&heard), ["goes on"], "{room}: {heard:?}");
    }
}
