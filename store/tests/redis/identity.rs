//! Which store this is, and who may use it.

use std::time::{Duration, Instant};

use outlast_protocol::Sid;
use outlast_store::{
    Announcements, Health, Layout, Leases, Membership, NodeId, Nudge, Role, Rooms, Store,
    StoreError, StoreEvent,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{RedisServer, free_port};

use crate::scene::{LAYOUT, TTL, append, claim, connect, hear, lease, next_commit, patient, until};

#[tokio::test]
async fn r4_a_store_that_was_emptied_is_another_one() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    assert!(store.heartbeat(&me, Role::Gateway).await.unwrap().unknown);
    assert!(!store.heartbeat(&me, Role::Gateway).await.unwrap().unknown);
    let epoch = claim(&*store, TTL).await;
    let commit = next_commit(&*store, epoch, &me).await;
    store.commit(&commit).await.unwrap();

    server.run::<()>(&["FLUSHALL"]);

    assert!(store.heartbeat(&me, Role::Gateway).await.unwrap().unknown);
    assert_eq!(
        store.renew(&[(lease(), epoch)], TTL).await.unwrap().1,
        [false]
    );
    let next = crate::scene::commit(epoch, commit.to, commit.rooms[0].entries[0].pos, &me);
    assert_eq!(store.commit(&next).await, Err(StoreError::Fenced { epoch }));
    let newer = claim(&*store, TTL).await;
    assert!(newer > epoch, "{newer} > {epoch}");
    let id = async || server.run::<Option<String>>(&["HGET", "ol:store", "id"]);
    until(id, Option::is_some).await.unwrap();
}

#[tokio::test]
async fn l3_a_store_of_another_layout_or_format_is_refused() {
    let server = RedisServer::start();
    connect(&server, LAYOUT).await.unwrap();
    connect(&server, LAYOUT).await.unwrap();

    let other = Layout {
        partitions: 8,
        shards: 2,
    };
    let Err(StoreError::Incompatible(message)) = connect(&server, other).await else {
        panic!("another layout is refused");
    };
    assert!(message.contains("--partitions 4 --shards 2"), "{message}");

    server.run::<()>(&["HSET", "ol:store", "format", "99"]);
    let Err(StoreError::Incompatible(message)) = connect(&server, LAYOUT).await else {
        panic!("another format is refused");
    };
    assert!(message.contains("format 99"), "{message}");
}

#[tokio::test]
async fn l3_a_store_that_returns_with_another_layout_is_not_used() {
    let mut server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    server.run::<()>(&["HSET", "ol:store", "partitions", "8"]);
    server.kill();
    server.restart();
    let refused = |end: &Result<_, _>| matches!(end, Err(StoreError::Incompatible(_)));
    until(async || append(&*store).await, refused)
        .await
        .unwrap_err();
    assert_eq!(*store.health().borrow(), Health::Down);
}

#[tokio::test]
async fn l5_who_cannot_connect_is_told_why_and_no_password_is_shown() {
    let server = RedisServer::start_with(&["--requirepass", "right-one"]);
    let address = server.url().replace("redis://", "");
    Redis::connect(
        &format!("redis://:right-one@{address}"),
        LAYOUT,
        RedisSettings::default(),
    )
    .await
    .unwrap();
    // Nobody listens on port 1, and 192.0.2.1 is no address of anybody's (RFC 5737).
    for (url, why) in [
        (format!("redis://:secret-thing@{address}"), "password"),
        (format!("redis://{address}"), "password"),
        (
            "redis://:secret-thing@127.0.0.1:1".into(),
            "127.0.0.1:1 cannot be reached",
        ),
        (
            "redis://:secret-thing@192.0.2.1:6379".into(),
            "192.0.2.1:6379 cannot be reached",
        ),
        (
            "redis://:secret-thing@no.such.host.invalid".into(),
            "cannot be reached",
        ),
        ("http://:secret-thing@example.org".into(), "redis://"),
    ] {
        in_time(why, async || {
            let Err(error) = Redis::connect(&url, LAYOUT, RedisSettings::default()).await else {
                panic!("{url} leads nowhere");
            };
            let message = error.to_string();
            assert!(!message.contains("secret-thing"), "{message}");
            message
        })
        .await;
    }
}

#[tokio::test]
async fn l5_a_server_that_hangs_is_not_waited_for() {
    let server = RedisServer::start();
    server.signal("STOP");
    in_time("no answer in time", async || {
        let connected = Redis::connect(&server.url(), LAYOUT, RedisSettings::default()).await;
        connected.expect_err("it cannot have answered").to_string()
    })
    .await;
}

/// Checks that those who ask are told why within five seconds; a machine that is busy with other things is asked again.
async fn in_time(why: &str, ask: impl AsyncFn() -> String) {
    let mut told = Vec::new();
    while told.len() < 10 {
        let began = Instant::now();
        let message = ask().await;
        if began.elapsed() < Duration::from_secs(5) && message.contains(why) {
            return;
        }
        told.push((began.elapsed(), message));
    }
    panic!("not {why:?}: {told:#?}");
}

#[tokio::test]
async fn databases_of_one_server_do_not_hear_each_other() {
    let server = RedisServer::start();
    let other = format!("{}/3", server.url());
    let here = connect(&server, LAYOUT).await.unwrap();
    let there = Redis::connect(&other, LAYOUT, RedisSettings::default())
        .await
        .unwrap();
    let (_subscriptions, mut listener) = here.listen(&"gateway".into()).await.unwrap();
    there.nudge(None, &Nudge::Released).await.unwrap();
    let over = Nudge::Over { sid: Sid::nil() };
    here.nudge(None, &over).await.unwrap();
    assert_eq!(hear(&mut *listener).await, StoreEvent::Nudge(over));
}

#[tokio::test]
async fn l12_a_cluster_that_is_put_together_later_is_waited_for() {
    let bus = free_port().to_string();
    let node = RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let url = format!("redis-cluster://127.0.0.1:{}", node.port());
    let settings = RedisSettings {
        start_wait_ms: 60_000,
        ..patient()
    };
    let began = Instant::now();
    let connect = tokio::spawn(async move { Redis::connect(&url, LAYOUT, settings).await });
    // Longer than a start waits that nobody asked to wait.
    let longer = async || began.elapsed() > Duration::from_secs(5);
    until(longer, |is| *is).await;
    assert!(!connect.is_finished(), "it gave up");
    node.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let store = connect.await.unwrap().unwrap();
    assert_eq!(*store.health().borrow(), Health::Up);
    append(&*store).await.unwrap();
}
