//! The frames of one socket in one room, over both stores: each outcome once and in order, whatever the client sends
//! without waiting.

use outlast_testkit::{RedisServer, Server, frames::act};
use serde_json::json;

/// A whole outlast, on each of the stores.
async fn on_both_stores(test: impl AsyncFn(&Server)) {
    test(&Server::alone(FAST)).await;
    let redis = RedisServer::start();
    test(&Server::all(&redis.url(), FAST)).await;
}

const FAST: &[&str] = &["--actions-per-s", "10000"];

#[tokio::test]
async fn a7_outcomes_come_in_the_order_of_their_numbers() {
    on_both_stores(async |server| {
        let room = "chat/a7";
        let mut client = server.member(room, "Ada").await;
        for n in 2..=301 {
            let data = match n % 3 {
                0 => json!({"typing": true}),
                1 => json!({"say": ""}),
                _ => json!({"say": n.to_string()}),
            };
            client.send(act(room, n, data)).await;
        }
        let mut settled = 1;
        while settled < 301 {
            let frame = client.next().await;
            match frame["t"].as_str().unwrap() {
                "event" | "result" => {
                    let n = frame["n"].as_u64().unwrap();
                    assert!(n > settled, "{frame} comes after the outcome of {settled}");
                    settled = n;
                }
                "signal" => {}
                other => panic!("{other}: {frame}"),
            }
        }
    })
    .await;
}
