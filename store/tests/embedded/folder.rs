//! The data folder: what it keeps, and when it is refused.

use std::{path::Path, sync::Arc, time::Duration};

use outlast_protocol::{Pos, Sid};
use outlast_store::{
    Commit, Committed, Group, Layout, LeaseName, PartitionId, RecordWrite, RoomCommit, Seat,
    ShardId, SharedStore, Snapshot, StoreError, TopicId, WriteOutcome,
    conformance::fixture::{LONG, NEVER, PATIENCE, Writer, act, at, json, more, room},
    embedded::Embedded,
};

#[tokio::test]
async fn l1_everything_is_there_when_the_folder_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::default();
    let lobby = room("chat/lobby");
    let partition = layout.partition(&lobby);
    let sid = layout.place(Sid::now_v7(), "ada");
    let shard = layout.shard(&sid);
    let record = RecordWrite {
        sid,
        expect: 0,
        value: Some("record".into()),
        due_ms: Some(1),
        owner: Some("gateway".into()),
        group: Some(Group {
            name: "ada".into(),
            max: 1,
        }),
    };

    let everything = async |store: &SharedStore| {
        (
            store.cursor(partition).await.unwrap(),
            store.load(&lobby).await.unwrap(),
            store.read_log(&lobby, 0, 99).await.unwrap(),
            store.wakes(partition, 9).await.unwrap(),
            store
                .read_topic(partition, TopicId::default(), 9, PATIENCE)
                .await
                .unwrap(),
            store.read(shard, &sid).await.unwrap().record,
            store.due(shard, 9).await.unwrap(),
            store.owners(shard).await.unwrap(),
        )
    };
    let (before, commit) = {
        let store: SharedStore = Embedded::open(folder.path(), layout).unwrap();
        let mut writer = Writer::of(&store, &lobby).await;
        let state = json("{\"members\":[]}");
        let commit = writer.commit_of(vec![RoomCommit {
            seats: vec![(sid, Some(Seat::default()))],
            head: Some("head".into()),
            snapshot: Some(Snapshot {
                pos: at(4),
                version: 1,
                state,
            }),
            trim_below: Some(3),
            wake_ms: Some(77),
            park: vec![act(&lobby, 1)],
            ..more(&lobby, Pos::START, 9)
        }]);
        writer.commit(commit.clone()).await;
        store.write(shard, record.clone()).await.unwrap();
        store
            .append(partition, NEVER, vec![act(&lobby, 2)])
            .await
            .unwrap();
        (everything(&store).await, commit)
    };

    let store: SharedStore = Embedded::open(folder.path(), layout).unwrap();
    assert_eq!(everything(&store).await, before);
    // No lease of the process before stands in the way, and none of its epochs comes again.
    let writer = Writer::of(&store, &lobby).await;
    assert!(writer.epoch > commit.epoch);
    let late = store.commit(&commit).await;
    assert_eq!(
        late,
        Err(StoreError::Fenced {
            epoch: commit.epoch
        })
    );
    let again = Commit {
        epoch: writer.epoch,
        ..commit
    };
    assert_eq!(store.commit(&again).await, Ok(Committed::Before));
    let other = RecordWrite {
        sid: layout.place(Sid::now_v7(), "ada"),
        ..record
    };
    assert_eq!(store.write(shard, other).await, Ok(WriteOutcome::GroupFull));
}

#[tokio::test]
async fn the_clock_does_not_go_back_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let name = LeaseName::Shard(ShardId(0));
    let mut last = 0;
    for _ in 0..3 {
        let opened = Embedded::open(folder.path(), Layout::default()).unwrap();
        let store: SharedStore = opened.clone();
        let (now_ms, _) = store.nodes().await.unwrap();
        assert!(now_ms >= last);
        let lease = store.claim(name, &"a".into(), LONG).await.unwrap().unwrap();
        assert!(lease.epoch >= last);
        // As if the system's clock were put back by a day before the next start.
        opened.advance(Duration::from_secs(86_400));
        last = store.nodes().await.unwrap().0;
        let inputs = vec![act(&room("chat/lobby"), 1)];
        store.append(PartitionId(0), NEVER, inputs).await.unwrap();
    }
}

#[test]
fn l3_a_folder_of_another_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let layout = |partitions, shards| Layout { partitions, shards };
    drop(Embedded::open(folder.path(), layout(8, 2)).unwrap());
    for other in [layout(16, 2), layout(8, 4), Layout::default()] {
        let message = incompatible(folder.path(), other);
        assert!(message.contains("--partitions 8 --shards 2"), "{message}");
    }
    // Being refused has changed nothing.
    drop(Embedded::open(folder.path(), layout(8, 2)).unwrap());
}

#[test]
fn l3_a_folder_of_another_format_is_refused() {
    use redb::TableDefinition;
    const STORE: TableDefinition<&str, u64> = TableDefinition::new("store");
    let folder = tempfile::tempdir().unwrap();
    drop(Embedded::open(folder.path(), Layout::default()).unwrap());
    let file = redb::Database::open(folder.path().join("outlast.redb")).unwrap();
    let txn = file.begin_write().unwrap();
    txn.open_table(STORE).unwrap().insert("format", 99).unwrap();
    txn.commit().unwrap();
    drop(file);
    let message = incompatible(folder.path(), Layout::default());
    assert!(message.contains("format 99"), "{message}");
}

#[test]
fn l3_a_database_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = redb::Database::create(folder.path().join("outlast.redb")).unwrap();
    let txn = file.begin_write().unwrap();
    let table = redb::TableDefinition::<u64, u64>::new("something");
    txn.open_table(table).unwrap().insert(1, 1).unwrap();
    txn.commit().unwrap();
    drop(file);
    let message = incompatible(folder.path(), Layout::default());
    assert!(message.contains("no store of outlast's"), "{message}");
}

#[test]
fn l5_a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("outlast.redb"), vec![b'x'; 10_000]).unwrap();
    let message = incompatible(folder.path(), Layout::default());
    assert!(message.contains("no store of outlast's"), "{message}");
}

#[test]
fn l5_a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path(), Layout::default()).unwrap();
    let message = refused(folder.path(), Layout::default()).to_string();
    assert!(
        message.contains("in use by another outlast process"),
        "{message}"
    );
    assert!(
        message.contains(&*folder.path().to_string_lossy()),
        "{message}"
    );
    drop(first);
    drop(Embedded::open(folder.path(), Layout::default()).unwrap());
}

#[test]
fn l5_a_folder_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    for path in [file.clone(), file.join("below")] {
        let message = refused(&path, Layout::default()).to_string();
        assert!(message.contains("--store embedded:PATH"), "{message}");
    }
    // Where the database should be is something else.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("outlast.redb")).unwrap();
    let message = refused(folder.path(), Layout::default()).to_string();
    assert!(message.contains("--store embedded:PATH"), "{message}");
}

fn refused(folder: &Path, layout: Layout) -> StoreError {
    let opened: Result<Arc<Embedded>, StoreError> = Embedded::open(folder, layout);
    opened.expect_err("the folder is refused")
}

fn incompatible(folder: &Path, layout: Layout) -> String {
    let refused = refused(folder, layout);
    let StoreError::Incompatible(message) = refused else {
        panic!("{refused:?}");
    };
    assert!(message.contains(&*folder.to_string_lossy()), "{message}");
    message
}
