//! Waiting for news.

use std::time::{Duration, Instant};

use outlast_protocol::Sid;
use outlast_store::{Announcements, Nudge, StoreEvent, Topic, TopicId};
use outlast_testkit::{PATIENCE, RedisServer};
use tokio::time::timeout;

use crate::scene::{LAYOUT, append, connect, hear, partition, until};

#[tokio::test]
async fn many_subscriptions_are_made_at_once_and_come_back() {
    let mut server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let (subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    let rooms: Vec<_> = (0..3_000)
        .map(|n| format!("chat/{n}").parse().unwrap())
        .collect();
    let made = rooms.iter().map(|room| subscriptions.subscribe(room));
    futures_util::future::try_join_all(made).await.unwrap();
    rooms[1_000..]
        .iter()
        .for_each(|room| subscriptions.unsubscribe(room));
    let channels = async || {
        server
            .run::<Vec<String>>(&["PUBSUB", "SHARDCHANNELS", "ol:*:live:*"])
            .len()
    };
    until(channels, |count| *count == 1_000).await;

    server.kill();
    server.restart();
    assert_eq!(hear(&mut *listener).await, StoreEvent::Missed);
    let channels: Vec<String> = server.run(&["PUBSUB", "SHARDCHANNELS", "ol:*:live:*"]);
    assert_eq!(channels.len(), 1_000);
}

#[tokio::test]
async fn who_wants_no_rooms_hears_nudges_all_the_same() {
    let mut server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let (_, mut listener) = store.listen(&"worker".into()).await.unwrap();
    store.nudge(None, &Nudge::Released).await.unwrap();
    assert_eq!(
        hear(&mut *listener).await,
        StoreEvent::Nudge(Nudge::Released)
    );

    server.kill();
    server.restart();
    assert_eq!(hear(&mut *listener).await, StoreEvent::Missed);
    until(
        async || store.nudge(None, &Nudge::Released).await,
        Result::is_ok,
    )
    .await
    .unwrap();
    assert_eq!(
        hear(&mut *listener).await,
        StoreEvent::Nudge(Nudge::Released)
    );
}

#[tokio::test]
async fn hearing_is_cancel_safe() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let (_subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    let nudge = |generation| Nudge::TakenOver {
        sid: Sid::nil(),
        generation,
    };
    let talking = tokio::spawn(async move {
        for n in 0..500 {
            store.nudge(None, &nudge(n)).await.unwrap();
        }
        store
    });
    let began = Instant::now();
    for expected in 0..500 {
        let mut patience_us = 0;
        let heard = loop {
            patience_us += 1;
            assert!(began.elapsed() < PATIENCE);
            let patience = Duration::from_micros(patience_us % 50);
            if let Ok(heard) = timeout(patience, listener.next()).await {
                break heard;
            }
        };
        assert_eq!(heard, StoreEvent::Nudge(nudge(expected)));
    }
    talking.await.unwrap();
}
#[tokio::test]
async fn who_gives_up_reading_holds_up_nobody() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let read = |wait| store.read_topic(partition(), TopicId::default(), 9, wait);
    for _ in 0..20 {
        let given_up = timeout(Duration::from_millis(2), read(PATIENCE)).await;
        assert!(given_up.is_err());
    }
    assert_eq!(read(Duration::ZERO).await, Ok(vec![]));
    append(&*store).await.unwrap();
    let began = Instant::now();
    assert_eq!(read(PATIENCE).await.unwrap().len(), 1);
    assert!(began.elapsed() < PATIENCE / 2, "it waited for nothing");
}
