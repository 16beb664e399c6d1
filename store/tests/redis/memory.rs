//! Redis is full, and topics are.

use std::time::Duration;

use outlast_store::{
    Committed, Leases, Membership, NodeId, RecordWrite, Records, Role, Rooms, StoreError, Topic,
    TopicId, WriteOutcome,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::RedisServer;

use crate::scene::{
    ANY_TIME, LAYOUT, TTL, append, claim, connect, input, lease, new_record, next_commit,
    partition, room, until,
};

#[tokio::test]
async fn w7_at_the_memory_limit_nothing_changes_and_nobody_loses_what_he_holds() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    let epoch = claim(&*store, TTL).await;
    let first = next_commit(&*store, epoch, &me).await;
    store.commit(&first).await.unwrap();
    let kept = new_record();
    let shard = LAYOUT.shard(&kept.sid);
    store.write(shard, kept.clone()).await.unwrap();
    store.heartbeat(&me, Role::Gateway).await.unwrap();
    let before = store.load(&room()).await.unwrap();

    server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let commit = next_commit(&*store, epoch, &me).await;
    assert!(matches!(append(&*store).await, Err(StoreError::Full(_))));
    assert!(matches!(
        store.commit(&commit).await,
        Err(StoreError::Full(_))
    ));
    assert!(matches!(
        store.write(shard, new_record()).await,
        Err(StoreError::Full(_))
    ));
    assert_eq!(store.cursor(partition()).await, Ok(first.to));
    assert_eq!(store.load(&room()).await.as_ref(), Ok(&before));
    assert_eq!(store.wakes(partition(), 9).await.unwrap().len(), 1);

    assert_eq!(
        store.renew(&[(lease(), epoch)], TTL).await.unwrap().1,
        [true]
    );
    assert!(!store.heartbeat(&me, Role::Gateway).await.unwrap().unknown);
    let change = RecordWrite {
        expect: 1,
        owner: None,
        ..kept.clone()
    };
    assert_eq!(
        store.write(shard, change).await,
        Ok(WriteOutcome::Done { version: 2 })
    );
    store.release(lease(), epoch).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let delete = RecordWrite {
        expect: 2,
        value: None,
        ..kept
    };
    assert_eq!(
        store.write(shard, delete).await,
        Ok(WriteOutcome::Done { version: 3 })
    );

    server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    let appended = until(async || append(&*store).await, Result::is_ok).await;
    appended.unwrap();
    let commit = next_commit(&*store, epoch, &me).await;
    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
}

#[tokio::test]
async fn w7_close_to_the_memory_limit_what_was_taken_in_is_still_committed() {
    let server = RedisServer::start();
    let settings = RedisSettings {
        probe_ms: 20,
        ..RedisSettings::default()
    };
    let store = Redis::connect(&server.url(), LAYOUT, settings)
        .await
        .unwrap();
    let epoch = claim(&*store, TTL).await;
    server.run::<()>(&["SET", "ballast", &"x".repeat(64 << 20)]);
    let info: String = server.run(&["INFO", "memory"]);
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .unwrap();
    let used: u64 = used.trim().parse().unwrap();

    let limit = (used + used / 20).to_string();
    server.run::<()>(&["CONFIG", "SET", "maxmemory", &limit]);
    until(
        async || append(&*store).await,
        |end| matches!(end, Err(StoreError::Full(_))),
    )
    .await
    .unwrap_err();
    let commit = next_commit(&*store, epoch, &"gateway".into()).await;
    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
}

#[tokio::test]
async fn a_topic_takes_no_more_than_its_bound() {
    let server = RedisServer::start();
    let settings = RedisSettings {
        topic_entries_max: 3,
        ..RedisSettings::default()
    };
    let store = Redis::connect(&server.url(), LAYOUT, settings)
        .await
        .unwrap();
    let inputs = |count| vec![input(); count];
    store
        .append(partition(), ANY_TIME, inputs(2))
        .await
        .unwrap();
    let over = store.append(partition(), ANY_TIME, inputs(2)).await;
    assert!(matches!(over, Err(StoreError::Full(_))));
    store
        .append(partition(), ANY_TIME, inputs(1))
        .await
        .unwrap();
    let all = store
        .read_topic(partition(), TopicId::default(), 9, Duration::ZERO)
        .await;
    assert_eq!(all.unwrap().len(), 3);
}
