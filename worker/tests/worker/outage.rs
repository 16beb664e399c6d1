//! A store that goes away, and comes back with what it had acknowledged.

use outlast_store::{
    Health, SharedStore,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{RedisServer, eventually};

use crate::{
    client::Client,
    workers::{LAYOUT, Worker, until_even},
};

pub(crate) async fn connect(server: &RedisServer) -> SharedStore {
    // A busy machine is not taken for a store that is away.
    let settings = RedisSettings {
        command_timeout_ms: 20_000,
        ..RedisSettings::default()
    };
    let store = Redis::connect(&server.url(), LAYOUT, settings).await;
    store.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w7_a_worker_waits_for_a_store_that_is_away_and_goes_on() {
    let mut server = RedisServer::start();
    let store = connect(&server).await;
    let worker = Worker::start(&store, 1_000);
    let mut ada = Client::joined(&store, "chat/lobby").await;
    ada.say("before").await;
    for number in 1..=2 {
        server.kill();
        let mut health = store.health();
        health
            .wait_for(|health| *health == Health::Down)
            .await
            .unwrap();
        server.restart();
        // The same act is sent until one of its appends is answered; it counts once.
        ada.post(&format!("after {number}")).await;
        let texts = until_logged(&ada, &store, number + 2).await;
        assert_eq!(
            texts,
            (1..=number + 2).collect::<Vec<_>>(),
            "each act once, in order"
        );
    }
    until_even(&store, 1).await;
    worker.stop().await;
}

/// Waits until the log holds so many entries; answers their positions.
async fn until_logged(client: &Client, store: &SharedStore, entries: u64) -> Vec<u64> {
    eventually("the log has all of it", async || {
        let log = store.read_log(&client.room, 1, 100).await.ok()?;
        let offs = log.entries.iter().map(|entry| entry.pos.off);
        (log.last.off >= entries).then(|| offs.collect())
    })
    .await
}
