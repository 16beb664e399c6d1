//! The store's time when Redis's clock jumps, or another's takes its place: what lies in the store of its
//! clock is set as if it had shown something else before.

use std::time::{Duration, Instant};

use outlast_store::{
    Layout, LeaseName, Leases, Membership, PartitionId, Role, Store,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{
    RedisServer,
    redis::{Cluster, Site},
};

use crate::scene::{connect, patient};

const HOUR_MS: u64 = 3_600_000;

/// Redis's clock.
fn clock_ms(server: &RedisServer) -> u64 {
    let (seconds, microseconds) = server.run::<(u64, u64)>(&["TIME"]);
    seconds * 1_000 + microseconds / 1_000
}

/// Somebody looked when the clock showed this, and the time was then ahead of it by so much.
fn looked(server: &RedisServer, seen_ms: u64, offset_ms: i64) {
    let (seen, offset) = (seen_ms.to_string(), offset_ms.to_string());
    let mut words = vec!["HSET", "ol:store", "clock_seen_ms", &seen];
    words.extend(["clock_offset_ms", &offset]);
    server.run::<()>(&words);
}

fn offset_ms(server: &RedisServer) -> i64 {
    server.run(&["HGET", "ol:store", "clock_offset_ms"])
}

#[tokio::test]
async fn t1_time_goes_on_when_the_clock_has_jumped() {
    let server = RedisServer::start();
    let store = connect(&server, Layout::default()).await.unwrap();
    for (seen_off, ahead_ms) in [(HOUR_MS as i64, -(HOUR_MS as i64)), (-7_000, 7_000)] {
        let (start, before_ms) = (Instant::now(), store.now_ms());
        looked(
            &server,
            clock_ms(&server).saturating_add_signed(seen_off),
            ahead_ms,
        );
        let beat = store.heartbeat(&"g".into(), Role::Gateway).await.unwrap();
        let passed_ms = beat.now_ms - before_ms;
        assert!(
            passed_ms <= start.elapsed().as_millis() as u64 + 10,
            "{passed_ms}"
        );
        assert!(offset_ms(&server).abs() <= 1_000, "the clock is right now");
    }
}

#[tokio::test]
async fn t2_a_redis_that_stands_still_for_a_moment_has_no_clock_that_jumps() {
    let server = RedisServer::start();
    // A call that nobody waits for any more still runs when Redis goes on.
    let impatient = RedisSettings {
        command_timeout_ms: 1_000,
        ..RedisSettings::default()
    };
    for (settings, still_ms) in [(patient(), 1_600), (impatient, 3_000)] {
        let url = server.url();
        let store = Redis::connect(&url, Layout::default(), settings);
        let store = store.await.unwrap();
        let beats = store.clone();
        let beating = tokio::spawn(async move {
            loop {
                // Those that Redis does not answer in time fail.
                let _ = beats.heartbeat(&"g".into(), Role::Gateway).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (start, start_ms) = (Instant::now(), store.now_ms());
        server.signal("STOP");
        tokio::time::sleep(Duration::from_millis(still_ms)).await;
        server.signal("CONT");
        let is_heard = async || {
            let (now_ms, members) = store.nodes().await.ok()?;
            let heard = members.first()?.heard_ms;
            (heard + 300 > now_ms && start.elapsed().as_millis() as u64 > still_ms + 500)
                .then_some(())
        };
        while is_heard().await.is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "no heartbeat");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let off_ms = (start_ms + start.elapsed().as_millis() as u64).abs_diff(store.now_ms());
        assert!(off_ms < 500, "{off_ms} ms off after {still_ms} ms");
        assert_eq!(offset_ms(&server), 0, "after {still_ms} ms");
        beating.abort();
    }
}

#[tokio::test]
async fn t1_a_heartbeat_on_a_cluster_goes_by_what_is_reckoned_without_the_node_that_has_the_time() {
    let mut cluster = Cluster::start();
    let url = cluster.url();
    let store = Redis::connect(&url, Layout::default(), patient());
    let store = store.await.unwrap();
    let (start, before_ms) = (
        Instant::now(),
        store
            .heartbeat(&"g".into(), Role::Gateway)
            .await
            .unwrap()
            .now_ms,
    );
    cluster.owner("ol:store").0.kill();
    let beat = store.heartbeat(&"g".into(), Role::Gateway).await.unwrap();
    let passed_ms = beat.now_ms - before_ms;
    assert!(passed_ms.abs_diff(start.elapsed().as_millis() as u64) < 500);
    let (_, members) = store.nodes().await.unwrap();
    assert_eq!(members[0].heard_ms, beat.now_ms);
}

#[tokio::test]
async fn t1_who_stood_still_or_has_just_come_takes_the_time_of_the_others() {
    let server = RedisServer::start();
    let late = connect(&server, Layout::default()).await.unwrap();
    // The others have looked a moment ago, and found the clock an hour late.
    looked(&server, clock_ms(&server), HOUR_MS as i64);
    let beat = late.heartbeat(&"g".into(), Role::Gateway).await.unwrap();
    let fresh = connect(&server, Layout::default()).await.unwrap();
    let clock_ms = clock_ms(&server);
    for now_ms in [beat.now_ms, late.now_ms(), fresh.now_ms()] {
        assert!(now_ms.abs_diff(clock_ms + HOUR_MS) < 60_000);
    }
    assert!(offset_ms(&server) > HOUR_MS as i64 - 10_000);
}

#[tokio::test]
async fn t4_who_comes_when_nobody_was_there_goes_on_from_where_the_time_was() {
    let server = RedisServer::start();
    let first = connect(&server, Layout::default()).await.unwrap();
    drop(first);
    let comes = async |seen_ms: u64, offset_ms: i64| {
        looked(&server, seen_ms, offset_ms);
        let store = connect(&server, Layout::default()).await.unwrap();
        store.now_ms()
    };
    let clock = || clock_ms(&server);
    let close = |a: u64, b: u64| assert!(a.abs_diff(b) < 60_000, "{a} {b}");
    // Everybody was away for an hour.
    close(comes(clock() - HOUR_MS, 0).await, clock());
    close(
        comes(clock() - HOUR_MS, 5 * HOUR_MS as i64).await,
        clock() + 5 * HOUR_MS,
    );
    // The clock has been set back meanwhile.
    close(comes(clock() + HOUR_MS, 0).await, clock() + HOUR_MS);
    close(comes(clock() + HOUR_MS, -(HOUR_MS as i64)).await, clock());
}

#[tokio::test]
async fn t5_a_lease_that_lasts_longer_than_was_asked_for_is_shortened() {
    let server = RedisServer::start();
    let store = connect(&server, Layout::default()).await.unwrap();
    let name = LeaseName::Partition(PartitionId(3));
    let ttl = Duration::from_millis(300);
    let lease = store
        .claim(name, &"dead".into(), ttl)
        .await
        .unwrap()
        .unwrap();
    let text = format!("{} dead {} 300", lease.epoch, store.now_ms() + HOUR_MS);
    server.run::<()>(&["SET", "ol:{p3}:lease", &text]);

    let start = Instant::now();
    let deadline = start + Duration::from_secs(60);
    while store.lease_holders(&[name]).await.unwrap()[0]
        .owner
        .is_some()
    {
        assert!(Instant::now() < deadline, "it is held for an hour");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(start.elapsed() >= ttl);
    assert!(
        store
            .claim(name, &"next".into(), ttl)
            .await
            .unwrap()
            .is_some()
    );
}
