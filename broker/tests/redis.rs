//! What Redis promises besides what every backend does: that it survives being killed, emptied, filled
//! up and halted.

use std::time::{Duration, Instant};

use outlast_broker::{
    Announcements, Broker, BrokerError, Committed, Health, Heard, Layout, Leases, Membership,
    NodeId, Nudge, Records, Role, Rooms, Topic, TopicId, Write, Written,
    redis::{Redis, Settings},
};
use outlast_protocol::Sid;
use tokio::time::timeout;

#[path = "redis/scene.rs"]
mod scene;
#[path = "redis/server.rs"]
mod server;

use scene::{
    LAYOUT, PATIENCE, append, claim, hear, lease, new_record, next_commit, partition, room, until,
};
use server::Server;

const TTL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn w2_a_commit_is_announced_with_its_replies_behind_it_and_only_once() {
    let server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    let (subscriptions, mut listener) = store.listen(&me).await.unwrap();
    subscriptions.subscribe(&room()).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let commit = next_commit(&*store, epoch, &me).await;

    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    assert_eq!(store.commit(&commit).await, Ok(Committed::Before));

    let Heard::Room(announcement) = hear(&mut *listener).await else {
        panic!("the room comes first");
    };
    assert_eq!(announcement.entries, commit.rooms[0].entries);
    assert_eq!(
        hear(&mut *listener).await,
        Heard::Reply(commit.replies[0].1.clone())
    );
    store.nudge(None, &Nudge::Released).await.unwrap();
    assert_eq!(hear(&mut *listener).await, Heard::Nudge(Nudge::Released));
}

#[tokio::test]
async fn a_server_that_is_killed_and_returns_is_used_again() {
    let mut server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
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
    assert!(matches!(hear(&mut *listener).await, Heard::Room(_)));
    assert!(matches!(hear(&mut *listener).await, Heard::Reply(_)));
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
        Err(BrokerError::Unavailable(_))
    ));
    let began = Instant::now();
    for _ in 0..100 {
        assert!(matches!(
            append(&*store).await,
            Err(BrokerError::Unavailable(_))
        ));
        let read = store
            .read_topic(partition(), TopicId::default(), 9, PATIENCE)
            .await;
        assert!(matches!(read, Err(BrokerError::Unavailable(_))));
        let subscribed = subscriptions
            .subscribe(&"chat/other".parse().unwrap())
            .await;
        assert!(matches!(subscribed, Err(BrokerError::Unavailable(_))));
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "operations fail at once"
    );

    server.start_again();
    let returned = Instant::now();
    timeout(PATIENCE, health.wait_for(|now| *now == Health::Up))
        .await
        .unwrap()
        .unwrap();
    assert!(
        returned.elapsed() < Duration::from_secs(1),
        "it is noticed at once"
    );
    append(&*store).await.unwrap();
    assert_eq!(
        store.commit(&first).await,
        Ok(Committed::Before),
        "nothing was lost"
    );
    assert_eq!(hear(&mut *listener).await, Heard::Missed);
    let second = next_commit(&*store, epoch, &me).await;
    assert_eq!(store.commit(&second).await, Ok(Committed::Now));
    assert!(
        matches!(hear(&mut *listener).await, Heard::Room(_)),
        "the subscription is back"
    );
    assert!(matches!(hear(&mut *listener).await, Heard::Reply(_)));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_used_again() {
    let server = Server::start();
    let settings = Settings {
        command_timeout_ms: 300,
        probe_ms: 50,
        ..Settings::default()
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
        Err(BrokerError::Unavailable(_))
    ));
    assert!(began.elapsed() < Duration::from_millis(900));
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
    store.nudge(None, &Nudge::Released).await.unwrap();
    // Whether the listener's connection was given up, too, depends on when it was last tried.
    while hear(&mut *listener).await == Heard::Missed {}
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
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

#[tokio::test]
async fn w7_at_the_memory_limit_nothing_changes_and_nobody_loses_what_he_holds() {
    let server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    let epoch = claim(&*store, TTL).await;
    let first = next_commit(&*store, epoch, &me).await;
    store.commit(&first).await.unwrap();
    let kept = new_record();
    let shard = LAYOUT.shard(&kept.sid);
    store.write(shard, kept.clone()).await.unwrap();
    store.beat(&me, Role::Gateway).await.unwrap();
    let before = store.load(&room()).await.unwrap();

    server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let commit = next_commit(&*store, epoch, &me).await;
    assert!(matches!(append(&*store).await, Err(BrokerError::Full(_))));
    assert!(matches!(
        store.commit(&commit).await,
        Err(BrokerError::Full(_))
    ));
    assert!(matches!(
        store.write(shard, new_record()).await,
        Err(BrokerError::Full(_))
    ));
    assert_eq!(store.cursor(partition()).await, Ok(first.to));
    assert_eq!(store.load(&room()).await.as_ref(), Ok(&before));
    assert_eq!(store.wakes(partition(), 9).await.unwrap().len(), 1);

    assert_eq!(
        store.renew(&[(lease(), epoch)], TTL).await.unwrap().1,
        [true]
    );
    assert!(!store.beat(&me, Role::Gateway).await.unwrap().unknown);
    let change = Write {
        expect: 1,
        owner: None,
        ..kept.clone()
    };
    assert_eq!(
        store.write(shard, change).await,
        Ok(Written::Done { version: 2 })
    );
    store.release(lease(), epoch).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let delete = Write {
        expect: 2,
        value: None,
        ..kept
    };
    assert_eq!(
        store.write(shard, delete).await,
        Ok(Written::Done { version: 3 })
    );

    server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    let appended = until(async || append(&*store).await, Result::is_ok).await;
    appended.unwrap();
    let commit = next_commit(&*store, epoch, &me).await;
    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
}

#[tokio::test]
async fn w7_close_to_the_memory_limit_what_was_taken_in_is_still_committed() {
    let server = Server::start();
    let settings = Settings {
        probe_ms: 20,
        ..Settings::default()
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
        |end| matches!(end, Err(BrokerError::Full(_))),
    )
    .await
    .unwrap_err();
    let commit = next_commit(&*store, epoch, &"gateway".into()).await;
    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
}

#[tokio::test]
async fn r4_a_store_that_was_emptied_is_another_one() {
    let server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
    let me = NodeId::from("gateway");
    assert!(store.beat(&me, Role::Gateway).await.unwrap().unknown);
    assert!(!store.beat(&me, Role::Gateway).await.unwrap().unknown);
    let epoch = claim(&*store, TTL).await;
    let commit = next_commit(&*store, epoch, &me).await;
    store.commit(&commit).await.unwrap();

    server.run::<()>(&["FLUSHALL"]);

    assert!(store.beat(&me, Role::Gateway).await.unwrap().unknown);
    assert_eq!(
        store.renew(&[(lease(), epoch)], TTL).await.unwrap().1,
        [false]
    );
    let next = scene::commit(epoch, commit.to, commit.rooms[0].entries[0].pos, &me);
    assert_eq!(
        store.commit(&next).await,
        Err(BrokerError::Fenced { epoch })
    );
    let newer = claim(&*store, TTL).await;
    assert!(newer > epoch, "{newer} > {epoch}");
    let id = async || server.run::<Option<String>>(&["HGET", "ol:store", "id"]);
    until(id, Option::is_some).await.unwrap();
}

#[tokio::test]
async fn l3_a_store_of_another_layout_or_format_is_refused() {
    let server = Server::start();
    server.connect(LAYOUT).await.unwrap();
    server.connect(LAYOUT).await.unwrap();

    let other = Layout {
        partitions: 8,
        shards: 2,
    };
    let Err(BrokerError::Incompatible(message)) = server.connect(other).await else {
        panic!("another layout is refused");
    };
    assert!(message.contains("--partitions 4 --shards 2"), "{message}");

    server.run::<()>(&["HSET", "ol:store", "format", "99"]);
    let Err(BrokerError::Incompatible(message)) = server.connect(LAYOUT).await else {
        panic!("another format is refused");
    };
    assert!(message.contains("format 99"), "{message}");
}

#[tokio::test]
async fn l3_a_store_that_returns_with_another_layout_is_not_used() {
    let mut server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
    server.run::<()>(&["HSET", "ol:store", "partitions", "8"]);
    server.kill();
    server.start_again();
    let refused = |end: &Result<_, _>| matches!(end, Err(BrokerError::Incompatible(_)));
    until(async || append(&*store).await, refused)
        .await
        .unwrap_err();
    assert_eq!(*store.health().borrow(), Health::Down);
}

#[tokio::test]
async fn l5_who_cannot_connect_is_told_why_and_no_password_is_shown() {
    let server = Server::start_with(&["--requirepass", "right-one"]);
    let address = server.url().replace("redis://", "");
    Redis::connect(
        &format!("redis://:right-one@{address}"),
        LAYOUT,
        Settings::default(),
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
        let began = Instant::now();
        let Err(error) = Redis::connect(&url, LAYOUT, Settings::default()).await else {
            panic!("{url} leads nowhere");
        };
        let message = error.to_string();
        assert!(began.elapsed() < Duration::from_secs(5), "{message}");
        assert!(message.contains(why), "{message}");
        assert!(!message.contains("secret-thing"), "{message}");
    }
}

#[tokio::test]
async fn who_gives_up_reading_holds_up_nobody() {
    let server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
    let read = |wait| store.read_topic(partition(), TopicId::default(), 9, wait);
    for _ in 0..20 {
        let given_up = timeout(Duration::from_millis(2), read(PATIENCE)).await;
        assert!(given_up.is_err());
    }
    assert_eq!(read(Duration::ZERO).await, Ok(vec![]));
    append(&*store).await.unwrap();
    let began = Instant::now();
    assert_eq!(read(PATIENCE).await.unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_topic_takes_no_more_than_its_bound() {
    let server = Server::start();
    let settings = Settings {
        topic_entries_max: 3,
        ..Settings::default()
    };
    let store = Redis::connect(&server.url(), LAYOUT, settings)
        .await
        .unwrap();
    let inputs = |count| vec![scene::input(); count];
    store
        .append(partition(), scene::ANY_TIME, inputs(2))
        .await
        .unwrap();
    let over = store.append(partition(), scene::ANY_TIME, inputs(2)).await;
    assert!(matches!(over, Err(BrokerError::Full(_))));
    store
        .append(partition(), scene::ANY_TIME, inputs(1))
        .await
        .unwrap();
    let all = store
        .read_topic(partition(), TopicId::default(), 9, Duration::ZERO)
        .await;
    assert_eq!(all.unwrap().len(), 3);
}

#[tokio::test]
async fn databases_of_one_server_do_not_hear_each_other() {
    let server = Server::start();
    let other = format!("{}/3", server.url());
    let here = server.connect(LAYOUT).await.unwrap();
    let there = Redis::connect(&other, LAYOUT, Settings::default())
        .await
        .unwrap();
    let (_subscriptions, mut listener) = here.listen(&"gateway".into()).await.unwrap();
    there.nudge(None, &Nudge::Released).await.unwrap();
    let over = Nudge::Over { sid: Sid::nil() };
    here.nudge(None, &over).await.unwrap();
    assert_eq!(hear(&mut *listener).await, Heard::Nudge(over));
}

#[tokio::test]
async fn many_subscriptions_are_made_at_once_and_come_back() {
    let mut server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
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
            .run::<Vec<String>>(&["PUBSUB", "CHANNELS", "ol:*:live:*"])
            .len()
    };
    until(channels, |count| *count == 1_000).await;

    server.kill();
    server.start_again();
    assert_eq!(hear(&mut *listener).await, Heard::Missed);
    let channels: Vec<String> = server.run(&["PUBSUB", "CHANNELS", "ol:*:live:*"]);
    assert_eq!(channels.len(), 1_000);
}

#[tokio::test]
async fn hearing_is_cancel_safe() {
    let server = Server::start();
    let store = server.connect(LAYOUT).await.unwrap();
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
            if let Ok(heard) = timeout(patience, listener.hear()).await {
                break heard;
            }
        };
        assert_eq!(heard, Heard::Nudge(nudge(expected)));
    }
    talking.await.unwrap();
}
