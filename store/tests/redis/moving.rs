//! A slot of a Cluster while it is being moved: some of its keys are here, some there (ASK, TRYAGAIN).

use futures_util::future::join_all;
use outlast_store::{
    Committed, Leases, RecordWrite, Records, RoomLoad, Rooms, ShardId, StoreError, Topic, TopicId,
    WriteOutcome,
};
use outlast_testkit::{PATIENCE, redis::Cluster};

use crate::{
    failovers::{Scene, topic},
    scene::{LAYOUT, TTL, append, lease, new_record, next_commit, partition, room},
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
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
        }
        let commit = store.commit(&second).await;
        assert!(
            matches!(commit, Err(StoreError::Unavailable(_))),
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

#[tokio::test]
async fn s2_records_of_a_slot_that_is_half_moved_are_all_found() {
    let mut site = Cluster::start();
    let scene = Scene::set(&mut site).await;
    let store = &*scene.store;
    let records: [RecordWrite; 12] = std::array::from_fn(|_| new_record());
    let shard @ ShardId(s) = LAYOUT.shard(&records[0].sid);
    let write = |write: &RecordWrite| store.write(shard, write.clone());
    for record in &records {
        assert_eq!(write(record).await, Ok(WriteOutcome::Done { version: 1 }));
    }

    let moving = site.begin_to_move(site.slot(&format!("ol:{{s{s}}}:due")));
    let mut moved = 0;
    while moving.next_key().is_some() {
        moved += 1;
        // As a gateway looks after its sessions: many at once.
        let reads = records.iter().map(|record| store.read(shard, &record.sid));
        for read in join_all(reads).await {
            assert_eq!(read.unwrap().record.unwrap().version, 1);
        }
    }
    assert!(
        moved >= records.len(),
        "only {moved} keys were there to move"
    );
    moving.finish();

    let next = records.iter().cloned().map(|record| RecordWrite {
        expect: 1,
        ..record
    });
    let next: Vec<_> = next.collect();
    for written in join_all(next.iter().map(write)).await {
        assert_eq!(written, Ok(WriteOutcome::Done { version: 2 }));
    }
}
