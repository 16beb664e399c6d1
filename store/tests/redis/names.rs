//! A name stands for other machines than before.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use outlast_store::{
    Announcements, Health, Nudge, Store, StoreEvent,
    redis::{Redis, RedisSettings, Resolver},
};
use outlast_testkit::{PATIENCE, RedisServer};
use tokio::time::timeout;

use crate::scene::{LAYOUT, append, hear, patient, until};

/// The addresses that a name stands for, as of now.
#[derive(Clone, Default)]
struct Directory(Arc<Mutex<Vec<IpAddr>>>);

impl Directory {
    fn of(ips: &[u8]) -> Self {
        let directory = Directory::default();
        directory.now(ips);
        directory
    }

    /// From now on it stands for these machines: 127.0.0.N each.
    fn now(&self, ips: &[u8]) {
        let ips = ips
            .iter()
            .map(|&last| Ipv4Addr::new(127, 0, 0, last).into());
        *self.0.lock().unwrap() = ips.collect();
    }

    fn settings(&self) -> RedisSettings {
        let told = self.clone();
        RedisSettings {
            names: Some(Resolver::new(move |_| told.0.lock().unwrap().clone())),
            ..patient()
        }
    }
}

fn url(server: &RedisServer) -> String {
    format!("redis://store.test:{}", server.port())
}

/// Somebody who takes connections at 127.0.0.N and never answers.
fn mute(last: u8, port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).unwrap()
}

#[tokio::test]
async fn l9_of_several_machines_behind_a_name_the_one_that_is_the_store_is_used() {
    let server = RedisServer::start();
    let port = server.port();
    let _mute = [2, 3].map(|last| mute(last, port));
    let replica = RedisServer::launch()
        .host(4)
        .port(port)
        .options(&["--replicaof", "127.0.0.1", &port.to_string()])
        .start();
    // Nobody is at 127.0.0.5.
    let directory = Directory::of(&[2, 3, 4, 5, 1]);
    let store = Redis::connect(&url(&server), LAYOUT, directory.settings())
        .await
        .unwrap();
    append(&*store).await.unwrap();
    let (_subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    store.nudge(None, &Nudge::Released).await.unwrap();
    assert_eq!(
        hear(&mut *listener).await,
        StoreEvent::Nudge(Nudge::Released)
    );
    drop(replica);
}

#[tokio::test]
async fn l9_a_redis_that_has_another_address_is_found_there_soon() {
    let mut server = RedisServer::start();
    let directory = Directory::of(&[1]);
    let store = Redis::connect(&url(&server), LAYOUT, directory.settings())
        .await
        .unwrap();
    append(&*store).await.unwrap();
    let (_subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();

    server.kill();
    let _mute = mute(1, server.port());
    let elsewhere = RedisServer::launch().host(6).port(server.port()).start();
    let mut health = store.health();
    let down = timeout(PATIENCE, health.wait_for(|now| *now == Health::Down));
    drop(down.await.unwrap().unwrap());
    let moved = Instant::now();
    directory.now(&[1, 6]);
    until(async || append(&*store).await, Result::is_ok)
        .await
        .unwrap();
    assert!(
        moved.elapsed() < Duration::from_secs(5),
        "{:?}",
        moved.elapsed()
    );
    let heard = async || {
        store.nudge(None, &Nudge::Released).await.unwrap();
        timeout(Duration::from_millis(50), listener.next()).await
    };
    let nudged = until(heard, |heard| {
        *heard == Ok(StoreEvent::Nudge(Nudge::Released))
    });
    nudged.await.unwrap();
    drop(elsewhere);
}
