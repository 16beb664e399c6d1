//! Section 8, D5: a gateway that is told to go and has less time than it was promised.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use outlast_testkit::{Client, RedisServer, Server};
use serde_json::json;

/// The time that a forced delete of a pod leaves between SIGTERM and SIGKILL.
const LEFT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_a_forced_delete_cuts_nobody_who_can_be_moved_in_time() {
    const CLIENTS: usize = 90;
    let redis = RedisServer::start();
    // So few are let in a second that they would need all of the time that there is.
    let flags = ["--attach-rate", "300", "--drain-ms", "30000"];
    let goes = Server::gateway(&redis, &flags);
    let stays = Server::gateway(&redis, &flags);
    let opened = join_all((0..CLIENTS).map(|_| goes.open())).await;
    let address = stays.address().to_owned();
    let (start, mut last_ms) = (Instant::now(), 0);
    goes.signal("TERM");
    let kill = tokio::spawn(async move {
        tokio::time::sleep_until((start + LEFT).into()).await;
        goes.kill();
    });
    let moves = opened.into_iter().map(async |mut older| {
        let moving = older.find("move").await;
        let after_ms = moving["after_ms"].as_u64().unwrap();
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let newer = older.resume_at(&address, json!({})).await;
        older.closes_with(4002).await;
        (after_ms, newer)
    });
    let mut there: Vec<Client> = Vec::new();
    for (after_ms, newer) in join_all(moves).await {
        last_ms = last_ms.max(after_ms);
        there.push(newer);
    }
    assert!(
        (750..1_500).contains(&last_ms),
        "the last was told to move after {last_ms} ms"
    );
    kill.await.unwrap();
    // It is as if nothing had happened.
    for client in &mut there {
        client
            .send(json!({"t": "act", "room": "chat/nowhere", "n": 1, "data": {}}))
            .await;
        client.expect("error").await;
    }
}
