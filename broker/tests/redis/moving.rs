//! A slot of a Cluster while it is being moved: some of its keys are here, some there (ASK, TRYAGAIN).

use outlast_broker::{BrokerError, Committed, Leases, RoomLoad, Rooms, Topic, TopicId};

use crate::{
    cluster::Cluster,
    failovers::{Scene, topic},
    scene::{PATIENCE, TTL, append, lease, next_commit, partition, room},
};

#[tokio::test]
async fn a_slot_that_is_half_moved_answers_what_is_so_or_not_at_all() {
    let mut site = Cluster::start();
    let mut scene = Scene::set(&mut site).await;
    append(&*scene.store).await.unwrap();
    let first = next_commit(&*scene.store, scene.epoch, &scene.me).await;
    scene.store.commit(&first).await.unwrap();
    scene.hear_news().await;
    let whole = scene.store.load(&room()).await.unwrap();
    assert_ne!(whole, RoomLoad::default());
    let second = next_commit(&*scene.store, scene.epoch, &scene.me).await;

    let moving = site.begin_to_move(site.slot(&topic()));
    let (mut appended, mut moved) = (1, 0);
    loop {
        let store = &scene.store;
        // What lies under one key is found wherever it is by now.
        append(&**store).await.unwrap();
        appended += 1;
        assert_eq!(store.cursor(partition()).await, Ok(first.to));
        let entries = store.read_topic(partition(), TopicId::default(), 99, PATIENCE);
        assert_eq!(entries.await.unwrap().len(), appended);
        let (_, held) = store.renew(&[(lease(), scene.epoch)], TTL).await.unwrap();
        assert_eq!(held, [true]);
        let tail = store.read_tail(&room(), 9).await.unwrap();
        assert_eq!(tail.last, whole.last);
        // What lies under several waits for all of them: it is never taken for less than it is.
        match store.load(&room()).await {
            Ok(loaded) => assert_eq!(loaded, whole),
            Err(error) => assert!(matches!(error, BrokerError::Unavailable(_)), "{error}"),
        }
        let commit = store.commit(&second).await;
        assert!(
            matches!(commit, Err(BrokerError::Unavailable(_))),
            "{commit:?}"
        );
        if moving.next_key().is_none() {
            break;
        }
        moved += 1;
    }
    assert!(moved >= 5, "only {moved} keys were there to move");
    moving.finish();

    assert_eq!(scene.store.commit(&second).await, Ok(Committed::Now));
    assert_eq!(scene.store.commit(&second).await, Ok(Committed::Before));
    let log = scene.store.read_log(&room(), 1, 9).await.unwrap();
    assert_eq!(log.entries.len(), 2);
    scene.hear_again().await;
}
