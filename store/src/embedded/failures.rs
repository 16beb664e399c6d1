//! The behaviour of the store when its disk fails.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use outlast_protocol::{Pos, RoomName, Sid};
use parking_lot::Mutex;
use redb::{Database, StorageBackend};
use tokio::time::timeout;

use super::{Embedded, storage::Storage};
use crate::{
    Announcements, Commit, Committed, Health, Layout, LeaseName, Leases, Membership, RecordWrite,
    Records, Role, Rooms, Store, StoreError, StoreEvent, Topic, TopicId, WriteOutcome,
    conformance::fixture::{LONG, NEVER, PATIENCE, Writer, act, at, events, hear, more, room},
};

#[tokio::test]
async fn w7_a_full_disk_refuses_everything_and_loses_nothing() {
    let (disk, store, lobby) = given_a_room().await;
    let mut writer = Writer::of(&shared(&store), &lobby).await;
    writer.write(more(&lobby, Pos::START, 1)).await;
    let mut health = store.health();
    let commit = writer.commit_of(vec![more(&lobby, at(1), 1)]);

    disk.fail(Operation::Write, 0, usize::MAX);
    assert!(store.commit(&commit).await.is_err());
    assert_eq!(*health.borrow_and_update(), Health::Down);
    let record = RecordWrite {
        sid: Sid::now_v7(),
        expect: 0,
        value: Some("v".into()),
        due_ms: None,
        owner: None,
        group: None,
    };
    let shard = store.layout().shard(&record.sid);
    assert!(store.write(shard, record.clone()).await.is_err());
    // What lies in memory goes on, so that nobody loses a lease or is taken for dead (W7).
    let lease = LeaseName::Partition(writer.partition);
    let (_, held) = store.renew(&[(lease, writer.epoch)], LONG).await.unwrap();
    assert_eq!(held, [true]);
    store.heartbeat(&"g".into(), Role::Gateway).await.unwrap();
    let shard_lease = LeaseName::Shard(shard);
    assert!(
        store
            .claim(shard_lease, &"k".into(), LONG)
            .await
            .unwrap()
            .is_some()
    );

    disk.fail(Operation::Write, 0, 0);
    let up = timeout(PATIENCE, health.wait_for(|health| *health == Health::Up));
    up.await.expect("it comes back by itself").unwrap();
    assert_eq!(store.cursor(writer.partition).await, Ok(writer.cursor));
    assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    let written = store.write(shard, record).await;
    assert_eq!(written, Ok(WriteOutcome::Done { version: 1 }));
    let log = store.read_log(&lobby, 1, 9).await.unwrap();
    assert_eq!(log.entries, events(Pos::START, 2));
}

#[tokio::test]
async fn w7_a_disk_that_was_full_for_a_moment_says_so_and_is_read_meanwhile() {
    let (disk, store, lobby) = given_a_room().await;
    let mut writer = Writer::of(&shared(&store), &lobby).await;
    writer.write(more(&lobby, Pos::START, 1)).await;
    let commit = writer.commit_of(vec![more(&lobby, at(1), 1)]);
    disk.fail(Operation::Write, 0, 1);
    for _ in 0..2 {
        let answer = store.commit(&commit).await;
        assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
        assert_eq!(store.load(&lobby).await.unwrap().last, at(1));
    }
    assert_eq!(repeated(&store, &commit).await, Committed::Now);
}

#[tokio::test]
async fn w2_a_commit_is_whole_wherever_the_disk_fails() {
    // More often than the one commit and opening the store again take together.
    const OFTEN: usize = 40;
    for operation in [Operation::Write, Operation::Sync] {
        for fails in [1, 2, 7] {
            let runs = (0..OFTEN).map(|after| commit_while_failing(operation, after, fails));
            let failed = join_all(runs).await;
            assert!(failed[0], "{operation:?} does not fail");
            // A sweep that falls into one of them writes, too.
            let enough = failed[OFTEN - 10..].contains(&false);
            assert!(enough, "{operation:?} could fail even later");
        }
    }
}

/// Commits once, on a disk that fails during it; tells whether it did.
async fn commit_while_failing(operation: Operation, after: usize, fails: usize) -> bool {
    let (disk, store, lobby) = given_a_room().await;
    let (subscriptions, mut listener) = store.listen(&"g".into()).await.unwrap();
    subscriptions.subscribe(&lobby).await.unwrap();
    let mut writer = Writer::of(&shared(&store), &lobby).await;
    writer.write(more(&lobby, Pos::START, 3)).await;
    hear(&mut listener).await;

    disk.fail(operation, after, fails);
    let commit = writer.commit_of(vec![more(&lobby, at(3), 3)]);
    let answer = store.commit(&commit).await;
    let stands = async || {
        let cursor = store.cursor(writer.partition).await?;
        Ok((cursor, store.load(&lobby).await?.last))
    };
    let found: Result<_, StoreError> = stands().await;
    let unspent = disk.fail(operation, 0, 0);
    match &answer {
        Ok(committed) => {
            assert_eq!(*committed, Committed::Now);
            assert_eq!(found, Ok((commit.to, at(6))));
        }
        Err(StoreError::Full(_)) => assert_eq!(found, Ok((commit.from, at(3)))),
        // It could not even be opened again, so that nobody knows; unless it was meanwhile.
        Err(StoreError::Unavailable(_)) => {
            let whole = [(commit.from, at(3)), (commit.to, at(6))];
            assert!(
                found.as_ref().map_or(true, |found| whole.contains(found)),
                "{found:?}"
            );
        }
        answer => panic!("{answer:?}"),
    }

    // Whatever it was, repeating it makes it so, once; and who listens is told, or told to look.
    repeated(&store, &commit).await;
    let log = store.read_log(&lobby, 0, 9).await.unwrap();
    assert_eq!(log.entries, events(Pos::START, 6));
    match hear(&mut listener).await {
        StoreEvent::Room(news) => assert_eq!(news.entries, events(at(3), 3)),
        StoreEvent::Missed => assert!(answer.is_err()),
        heard @ (StoreEvent::Reply(_) | StoreEvent::Nudge(_)) => panic!("{heard:?}"),
    }
    unspent < fails
}

#[tokio::test]
async fn appends_that_were_answered_outlive_a_failing_disk() {
    let (disk, store, lobby) = given_a_room().await;
    let partition = store.layout().partition(&lobby);
    let inputs: Vec<_> = (1..=6).map(|n| act(&lobby, n)).collect();
    store
        .append(partition, NEVER, inputs[..4].to_vec())
        .await
        .unwrap();
    let first = store
        .read_topic(partition, TopicId::default(), 9, PATIENCE)
        .await
        .unwrap();
    let mut writer = Writer::of(&shared(&store), &lobby).await;
    let mut applied = writer.commit_of(Vec::new());
    applied.to.topic = first[1].id;
    writer.commit(applied).await;
    store
        .append(partition, NEVER, inputs[4..].to_vec())
        .await
        .unwrap();
    let before = store
        .read_topic(partition, first[1].id, 9, PATIENCE)
        .await
        .unwrap();
    assert_eq!(before.len(), 4);

    // The commit that would have made them durable fails.
    disk.fail(Operation::Write, 0, 1);
    let mut failing = writer.commit_of(vec![more(&lobby, Pos::START, 1)]);
    failing.to.topic = failing.from.topic;
    assert!(store.commit(&failing).await.is_err());
    let after = store
        .read_topic(partition, TopicId::default(), 9, PATIENCE)
        .await
        .unwrap();
    assert_eq!(after, before);
    repeated(&store, &failing).await;
    let again = store
        .read_topic(partition, failing.to.topic, 9, PATIENCE)
        .await
        .unwrap();
    assert_eq!(again, before);
}

#[tokio::test]
async fn w2_what_was_answered_outlives_a_power_loss() {
    let (disk, store, lobby) = given_a_room().await;
    let partition = store.layout().partition(&lobby);
    let mut writer = Writer::of(&shared(&store), &lobby).await;
    for off in 0..5 {
        store
            .append(partition, NEVER, vec![act(&lobby, off + 1)])
            .await
            .unwrap();
        writer.write(more(&lobby, at(off), 1)).await;
        let lost_power = disk.as_last_synced().store().unwrap();
        assert_eq!(lost_power.cursor(partition).await, Ok(writer.cursor));
        let topic = lost_power.read_topic(partition, TopicId::default(), 9, PATIENCE);
        assert_eq!(topic.await.unwrap().len() as u64, off + 1);
        let log = lost_power.read_log(&lobby, 1, 9).await.unwrap();
        assert_eq!(log.entries, events(Pos::START, off + 1));
    }
}

#[tokio::test]
async fn appends_alone_are_durable_soon() {
    let (disk, store, lobby) = given_a_room().await;
    let partition = store.layout().partition(&lobby);
    store
        .append(partition, NEVER, vec![act(&lobby, 1)])
        .await
        .unwrap();
    let durable = async {
        loop {
            let lost_power = disk.as_last_synced().store().unwrap();
            let topic = lost_power.read_topic(partition, TopicId::default(), 9, Duration::ZERO);
            if topic.await.unwrap().len() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, durable)
        .await
        .expect("nobody commits, and yet it is on the disk");
}

async fn given_a_room() -> (FrailDisk, Arc<Embedded>, RoomName) {
    let disk = FrailDisk::default();
    let store = disk.store().unwrap();
    (disk, store, room("chat/lobby"))
}

/// Repeats a commit until it is answered.
async fn repeated(store: &Embedded, commit: &Commit) -> Committed {
    let repeat = async {
        loop {
            match store.commit(commit).await {
                Ok(committed) => return committed,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, repeat)
        .await
        .expect("the disk is well again")
}

/// A disk that fails when it is told to.
#[derive(Debug, Clone, Default)]
struct FrailDisk(Arc<Mutex<Plates>>);

#[derive(Debug, Default)]
struct Plates {
    bytes: Vec<u8>,
    /// The bytes that a power loss leaves, if nothing that came later had found its way by chance.
    synced: Vec<u8>,
    /// Which operation fails, how often it still succeeds, and how often it then fails.
    trouble: Option<(Operation, usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Sync,
}

impl FrailDisk {
    fn store(&self) -> Result<Arc<Embedded>, StoreError> {
        let disk = self.clone();
        let medium = Storage::new("a frail disk".into(), move || {
            Database::builder().create_with_backend(disk.clone())
        });
        Embedded::on(medium, Layout::default())
    }

    /// From now on an operation succeeds so often, then fails so often, and then all is well. Answers
    /// how many failures of the last order are left.
    fn fail(&self, operation: Operation, after: usize, fails: usize) -> usize {
        let trouble = self.0.lock().trouble.replace((operation, after, fails));
        trouble.map_or(0, |(_, _, fails)| fails)
    }

    fn as_last_synced(&self) -> Self {
        let synced = self.0.lock().synced.clone();
        let plates = Plates {
            bytes: synced.clone(),
            synced,
            trouble: None,
        };
        FrailDisk(Arc::new(Mutex::new(plates)))
    }
}

impl Plates {
    fn attempt(&mut self, operation: Operation) -> io::Result<()> {
        match &mut self.trouble {
            Some((failing, after, fails)) if *failing == operation => {
                if *after > 0 {
                    *after -= 1;
                    return Ok(());
                }
                if *fails > 0 {
                    *fails -= 1;
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl StorageBackend for FrailDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let plates = self.0.lock();
        let from = offset as usize;
        let found = plates.bytes.get(from..from + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut plates = self.0.lock();
        plates.attempt(Operation::Write)?;
        plates.bytes.resize(len as usize, 0);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut plates = self.0.lock();
        plates.attempt(Operation::Write)?;
        let from = offset as usize;
        plates.bytes[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut plates = self.0.lock();
        plates.attempt(Operation::Sync)?;
        plates.synced = plates.bytes.clone();
        Ok(())
    }
}

fn shared(store: &Arc<Embedded>) -> crate::SharedStore {
    store.clone()
}
