//! A master is lost, and a replica takes its place.

use std::sync::Arc;

use outlast_store::{
    Announcements, Committed, Health, Leases, Listener, NodeId, Rooms, Store, StoreError,
    StoreEvent, Subscriptions, Topic,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{
    PATIENCE,
    redis::{CLOSELY_MS, Cluster, LOOSELY_MS, Sentinels, Site},
};
use tokio::time::timeout;

use crate::scene::{
    LAYOUT, TTL, access, append, claim, hear, lease, next_commit, partition, patient, room, until,
};

pub(crate) fn topic() -> String {
    format!("ol:{{p{}}}:topic", partition().0)
}

pub(crate) struct Scene {
    pub(crate) store: Arc<Redis>,
    pub(crate) me: NodeId,
    subscriptions: Arc<dyn Subscriptions>,
    listener: Box<dyn Listener>,
    pub(crate) epoch: u64,
}

impl Scene {
    /// A store with one room, whose lease is held, and a listener.
    pub(crate) async fn set(site: &mut impl Site) -> Self {
        let settings = RedisSettings {
            access: access(site.login()),
            ..patient()
        };
        let store = Redis::connect(&site.url(), LAYOUT, settings).await.unwrap();
        let me = NodeId::from("gateway");
        let (subscriptions, listener) = store.listen(&me).await.unwrap();
        subscriptions.subscribe(&room()).await.unwrap();
        let epoch = claim(&*store, TTL).await;
        Scene {
            store,
            me,
            subscriptions,
            listener,
            epoch,
        }
    }

    /// Kills the master that has the partition, and waits until another one is there.
    async fn fail_over(&mut self, site: &mut impl Site) {
        site.owner(&topic()).0.kill();
        let cursor = self.store.cursor(partition()).await;
        assert!(matches!(cursor, Err(StoreError::Unavailable(_))));
        site.watch(CLOSELY_MS);
        until(async || self.store.cursor(partition()).await, Result::is_ok)
            .await
            .unwrap();
        site.watch(LOOSELY_MS);
        let mut health = self.store.health();
        let up = health.wait_for(|now| *now == Health::Up);
        timeout(PATIENCE, up).await.unwrap().unwrap();
    }

    /// Until nothing goes unheard any more.
    pub(crate) async fn hear_again(&mut self) {
        while hear(&mut *self.listener).await != StoreEvent::Missed {}
        let subscribe = async || self.subscriptions.subscribe(&room()).await;
        until(subscribe, Result::is_ok).await.unwrap();
    }

    pub(crate) async fn hear_news(&mut self) -> outlast_store::Announcement {
        loop {
            if let StoreEvent::Room(news) = hear(&mut *self.listener).await {
                return news;
            }
        }
    }
}

/// All that a replica had is there after the failover, and everything goes on.
async fn goes_on(mut site: impl Site) {
    let mut scene = Scene::set(&mut site).await;
    append(&*scene.store).await.unwrap();
    let first = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    scene.store.commit(&first).await.unwrap();
    scene.hear_news().await;
    site.catch_up(&topic());

    scene.fail_over(&mut site).await;

    assert_eq!(scene.store.commit(&first).await, Ok(Committed::Before));
    scene.hear_again().await;
    append(&*scene.store).await.unwrap();
    let (_, held) = scene
        .store
        .renew(&[(lease(), scene.epoch)], TTL)
        .await
        .unwrap();
    assert_eq!(held, [true]);
    let second = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    assert_eq!(scene.store.commit(&second).await, Ok(Committed::Now));
    let news = scene.hear_news().await;
    assert_eq!(news.entries, second.rooms[0].entries);
}

/// A tail that no replica had is gone, and nothing goes on as if it were not.
async fn a_lost_tail_is_another_history(mut site: impl Site) {
    let mut scene = Scene::set(&mut site).await;
    let first = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    scene.store.commit(&first).await.unwrap();
    site.catch_up(&topic());

    site.cut_off(&topic());
    let lost = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    assert_eq!(scene.store.commit(&lost).await, Ok(Committed::Now));
    let lost_pos = lost.rooms[0].entries[0].pos;
    let behind_it = crate::scene::commit(scene.epoch, lost.to, lost_pos, &scene.me);
    // A lease, too, that the next master will never have heard of.
    scene.store.release(lease(), scene.epoch).await.unwrap();
    let lost_epoch = claim(&*scene.store, TTL).await;

    scene.fail_over(&mut site).await;

    let moved = scene.store.commit(&behind_it).await;
    assert!(matches!(moved, Err(StoreError::Moved(_))), "{moved:?}");
    let mut under_lost_epoch = behind_it.clone();
    under_lost_epoch.epoch = lost_epoch;
    assert_eq!(
        scene.store.commit(&under_lost_epoch).await,
        Err(StoreError::Fenced { epoch: lost_epoch })
    );
    let (_, held) = scene
        .store
        .renew(&[(lease(), lost_epoch)], TTL)
        .await
        .unwrap();
    assert_eq!(held, [false]);

    // Whoever goes on does so after what is there, and what was lost is told from it by its tag.
    scene.store.release(lease(), scene.epoch).await.unwrap();
    let newer = async || scene.store.claim(lease(), &"other".into(), TTL).await;
    let newer = until(newer, |granted| matches!(granted, Ok(Some(_)))).await;
    let newer = newer.unwrap().unwrap().epoch;
    assert_ne!(newer, lost_epoch);
    let other = next_commit(&*scene.store, newer, &scene.me).await;
    assert_eq!(scene.store.commit(&other).await, Ok(Committed::Now));
    let pos = other.rooms[0].entries[0].pos;
    assert_eq!(pos.off, lost_pos.off);
    assert_ne!(pos, lost_pos);
    scene.hear_again().await;
    let log = scene.store.read_tail(&room(), 9).await.unwrap();
    assert_eq!(log.last, pos);
}

#[tokio::test]
async fn r4_sentinels_name_another_master_and_everything_goes_on() {
    goes_on(Sentinels::start()).await;
}

#[tokio::test]
async fn r4_sentinels_that_ask_who_we_are_name_another_master_too() {
    goes_on(Sentinels::start_with_users()).await;
}

#[tokio::test]
async fn r4_what_no_replica_of_the_master_had_is_another_history() {
    a_lost_tail_is_another_history(Sentinels::start()).await;
}

#[tokio::test]
async fn r4_another_node_takes_the_slots_and_everything_goes_on() {
    goes_on(Cluster::start()).await;
}

#[tokio::test]
async fn r4_what_no_replica_of_the_node_had_is_another_history() {
    a_lost_tail_is_another_history(Cluster::start()).await;
}

/// A node that is lost takes nothing from the others, and a slot that moves takes nothing with it.
#[tokio::test]
async fn slots_move_and_what_is_in_them_goes_on() {
    let mut site = Cluster::start();
    let mut scene = Scene::set(&mut site).await;
    append(&*scene.store).await.unwrap();
    let first = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    scene.store.commit(&first).await.unwrap();
    scene.hear_news().await;

    site.move_slot(site.slot(&topic()));

    assert_eq!(scene.store.commit(&first).await, Ok(Committed::Before));
    append(&*scene.store).await.unwrap();
    let read = scene
        .store
        .read_topic(partition(), first.to.topic, 9, PATIENCE)
        .await;
    assert_eq!(read.unwrap().len(), 2);
    scene.hear_again().await;
    let second = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    assert_eq!(scene.store.commit(&second).await, Ok(Committed::Now));
    let news = scene.hear_news().await;
    assert_eq!(news.entries, second.rooms[0].entries);
}

#[tokio::test]
async fn l5_who_is_asked_in_the_wrong_way_says_so() {
    let cluster = Cluster::start();
    let node = cluster.masters()[0].url();
    let watched = Sentinels::start();
    let master = watched.masters()[0].url();
    let replica = watched.replicas()[0].url();
    let wrong = watched.url().replace("/main", "/other");
    for (url, remedy) in [
        (node, "redis-cluster://"),
        (master.replace("redis://", "redis-cluster://"), "redis://"),
        (replica, "replica"),
        (wrong, "sentinel monitor"),
    ] {
        let Err(error) = Redis::connect(&url, LAYOUT, RedisSettings::default()).await else {
            panic!("{url} is the wrong way");
        };
        assert!(error.to_string().contains(remedy), "{url}: {error}");
    }
}
