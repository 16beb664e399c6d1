use outlast_broker::{Role, SharedBroker};

use crate::client::PATIENCE;
use crate::workers::{Worker, held, store, until_even};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w4_partitions_spread_evenly_as_workers_come_and_go() {
    let broker: SharedBroker = store();
    let first = Worker::start(&broker, 1_000);
    until_even(&broker, 1).await;
    let second = Worker::start(&broker, 1_000);
    until_even(&broker, 2).await;
    let third = Worker::start(&broker, 1_000);
    until_even(&broker, 3).await;
    first.stop().await;
    until_even(&broker, 2).await;
    second.kill().await;
    until_even(&broker, 1).await;
    third.stop().await;
    assert!(held(&broker).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_long_gone_is_struck_off() {
    let store = store();
    let broker: SharedBroker = store.clone();
    let gone = Worker::start(&broker, 1_000);
    until_even(&broker, 1).await;
    gone.kill().await;
    store.advance(std::time::Duration::from_secs(60));
    let worker = Worker::start(&broker, 1_000);
    until_even(&broker, 1).await;
    let (_, members) = broker.members().await.unwrap();
    let workers = members.iter().filter(|member| member.role == Role::Worker);
    assert!(workers.count() <= 2);
    let struck = async {
        while broker.members().await.unwrap().1.len() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, struck);
    in_time.await.unwrap();
    worker.stop().await;
}
