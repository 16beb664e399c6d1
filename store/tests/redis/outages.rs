//! Redis is killed, hangs, and forgets its scripts.

use std::time::{Duration, Instant};

use outlast_store::{
    Announcements, Committed, Health, Leases, NodeId, Nudge, Rooms, Store, StoreError, StoreEvent,
    Topic, TopicId,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{PATIENCE, RedisServer};
use tokio::time::timeout;

use crate::scene::{
    LAYOUT, TTL, append, claim, connect, hear, lease, next_commit, partition, patient, room, until,
};

#[tokio::test]
async fn a_server_that_is_killed_and_returns_is_used_again() {
    let mut server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    let (subscriptions, mut listener) = store.listen(&me).await.unwrap();
    subscriptions.subscribe(&room()).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    append(&*store).await.unwrap();
    let first = next_commit(&*store, epoch, &me).await;
    store.commit(&first).await.unwrap();
    let reading = {
        let store = store.clone();
        let newest = first.to.topic;
        tokio::spawn(async move { store.read_topic(partition(), newest, 9, PATIENCE).await })
    };
    assert_eq!(reading.await.unwrap().unwrap().len(), 1);
    assert!(matches!(hear(&mut *listener).await, StoreEvent::Room(_)));
    assert!(matches!(hear(&mut *listener).await, StoreEvent::Reply(_)));
    let mut health = store.health();
    assert_eq!(*health.borrow(), Health::Up);

    let waiting = {
        let store = store.clone();
        let after = TopicId {
            ms: u64::MAX,
            seq: 0,
        };
        tokio::spawn(async move { store.read_topic(partition(), after, 9, PATIENCE * 2).await })
    };
    server.kill();
    timeout(PATIENCE, health.wait_for(|now| *now == Health::Down))
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        waiting.await.unwrap(),
        Err(StoreError::Unavailable(_))
    ));
    let began = Instant::now();
    for _ in 0..100 {
        assert!(matches!(
            append(&*store).await,
            Err(StoreError::Unavailable(_))
        ));
        let read = store
            .read_topic(partition(), TopicId::default(), 9, PATIENCE)
            .await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))));
        let subscribed = subscriptions
            .subscribe(&"chat/other".parse().unwrap())
            .await;
        assert!(matches!(subscribed, Err(StoreError::Unavailable(_))));
    }
    assert!(
        began.elapsed() < Duration::from_millis(patient().command_timeout_ms),
        "operations fail at once"
    );

    server.restart();
    timeout(PATIENCE, health.wait_for(|now| *now == Health::Up))
        .await
        .unwrap()
        .unwrap();
    append(&*store).await.unwrap();
    assert_eq!(
        store.commit(&first).await,
        Ok(Committed::Before),
        "nothing was lost"
    );
    assert_eq!(hear(&mut *listener).await, StoreEvent::Missed);
    let second = next_commit(&*store, epoch, &me).await;
    assert_eq!(store.commit(&second).await, Ok(Committed::Now));
    assert!(
        matches!(hear(&mut *listener).await, StoreEvent::Room(_)),
        "the subscription is back"
    );
    assert!(matches!(hear(&mut *listener).await, StoreEvent::Reply(_)));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_used_again() {
    let server = RedisServer::start();
    let settings = RedisSettings {
        command_timeout_ms: 3_000,
        probe_ms: 50,
        ..RedisSettings::default()
    };
    let store = Redis::connect(&server.url(), LAYOUT, settings)
        .await
        .unwrap();
    let (_subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    let mut health = store.health();

    server.signal("STOP");
    let began = Instant::now();
    assert!(matches!(
        append(&*store).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(began.elapsed() >= Duration::from_millis(3_000));
    timeout(PATIENCE, health.wait_for(|now| *now == Health::Down))
        .await
        .unwrap()
        .unwrap();

    server.signal("CONT");
    timeout(PATIENCE, health.wait_for(|now| *now == Health::Up))
        .await
        .unwrap()
        .unwrap();
    append(&*store).await.unwrap();
    // Whether the listener's connection was given up, too, depends on when it was last tried; a nudge that
    // comes before the next one is lost.
    let heard = async || {
        store.nudge(None, &Nudge::Released).await.unwrap();
        timeout(Duration::from_millis(50), listener.next()).await
    };
    let nudged = until(heard, |heard| {
        *heard == Ok(StoreEvent::Nudge(Nudge::Released))
    });
    nudged.await.unwrap();
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    for _ in 0..3 {
        server.run::<()>(&["SCRIPT", "FLUSH"]);
        append(&*store).await.unwrap();
        let (_, held) = store.renew(&[(lease(), epoch); 3], TTL).await.unwrap();
        assert_eq!(held, [true; 3]);
        let commit = next_commit(&*store, epoch, &"gateway".into()).await;
        assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    }
}
