use outlast_store::{Role, SharedStore};

use crate::workers::{Worker, held, store, until_even};
use outlast_testkit::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_partitions_spread_evenly_as_workers_come_and_go() {
    let store: SharedStore = store();
    let first = Worker::start(&store, 1_000);
    until_even(&store, 1).await;
    let second = Worker::start(&store, 1_000);
    until_even(&store, 2).await;
    let third = Worker::start(&store, 1_000);
    until_even(&store, 3).await;
    first.stop().await;
    until_even(&store, 2).await;
    second.kill().await;
    until_even(&store, 1).await;
    third.stop().await;
    assert!(held(&store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_long_gone_is_struck_off() {
    let embedded = store();
    let store: SharedStore = embedded.clone();
    let gone = Worker::start(&store, 1_000);
    until_even(&store, 1).await;
    gone.kill().await;
    embedded.advance(std::time::Duration::from_secs(60));
    let worker = Worker::start(&store, 1_000);
    until_even(&store, 1).await;
    let (_, members) = store.nodes().await.unwrap();
    let workers = members.iter().filter(|member| member.role == Role::Worker);
    assert!(workers.count() <= 2);
    eventually("the dead one is struck off", async || {
        let (_, members) = store.nodes().await.unwrap();
        (members.len() <= 1).then_some(())
    })
    .await;
    worker.stop().await;
}
