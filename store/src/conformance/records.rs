use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::Sid;

use super::Harness;
use crate::{Group, Layout, NodeId, Record, RecordWrite, ShardId, SharedStore, WriteOutcome};

pub async fn a_record_is_read_as_it_was_written(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let desk = Desk::new(&a);
    let sid = desk.sid();
    assert_eq!(b.read(desk.shard, &sid).await.unwrap().record, None);

    let value = Bytes::from_static(b"\0\xff\"\r\n\xc3\x28");
    assert_eq!(desk.write(write(sid, 0, &value)).await, done(1));
    let read = b.read(desk.shard, &sid).await.unwrap();
    assert_eq!(read.record, Some(Record { value, version: 1 }));
    let (now_ms, _) = a.nodes().await.unwrap();
    assert!(now_ms.abs_diff(read.now_ms) < 60_000);

    let empty = Bytes::new();
    assert_eq!(desk.write(write(sid, 1, &empty)).await, done(2));
    let record = a.read(desk.shard, &sid).await.unwrap().record;
    assert_eq!(
        record,
        Some(Record {
            value: empty,
            version: 2
        })
    );
}

pub async fn of_many_reads_and_writes_at_once_each_has_its_own_answer(harness: &dyn Harness) {
    let store = harness.connect().await;
    let layout = store.layout();
    let sids: Vec<_> = (0..200).map(|_| Sid::now_v7()).collect();
    let value = |n: usize, version: u64| Bytes::from(format!("{n} {version}"));
    let write_all = async |expect: &dyn Fn(usize) -> u64, version: u64| {
        let writes = sids.iter().enumerate().map(|(n, sid)| {
            let write = write(*sid, expect(n), &value(n, version));
            store.write(layout.shard(sid), write)
        });
        futures_util::future::join_all(writes).await
    };

    // Every third expects what is not there.
    let created = write_all(&|n| if n % 3 == 0 { 5 } else { 0 }, 1).await;
    for (n, written) in created.into_iter().enumerate() {
        let expected = if n % 3 == 0 {
            WriteOutcome::Conflict
        } else {
            done(1)
        };
        assert_eq!(written, Ok(expected), "record {n}");
    }
    // All are changed or created, some at once with those that others expect otherwise.
    let changed = write_all(&|n| u64::from(n % 2 == 0), 2).await;
    let versions = (0..sids.len()).map(|n| match (n % 3 == 0, n % 2 == 0) {
        (true, true) => (None, 0),
        (true, false) => (Some(1), 2),
        (false, true) => (Some(2), 2),
        (false, false) => (None, 1),
    });
    let versions: Vec<_> = versions.collect();
    for (n, written) in changed.into_iter().enumerate() {
        let expected = versions[n].0.map_or(WriteOutcome::Conflict, done);
        assert_eq!(written, Ok(expected), "record {n}");
    }

    let reads = sids.iter().map(|sid| store.read(layout.shard(sid), sid));
    let reads = futures_util::future::join_all(reads).await;
    for (n, read) in reads.into_iter().enumerate() {
        let record = match versions[n] {
            (None, 0) => None,
            (version, written) => Some(Record {
                value: value(n, written),
                version: version.unwrap_or(1),
            }),
        };
        assert_eq!(read.unwrap().record, record, "record {n}");
    }
}

pub async fn s3_of_two_writes_of_one_version_one_happens(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let desk = Desk::new(&a);
    let sid = desk.sid();
    for version in 0..10 {
        let (one, two) = (Bytes::from("one"), Bytes::from("two"));
        let answers = tokio::join!(
            a.write(desk.shard, write(sid, version, &one)),
            b.write(desk.shard, write(sid, version, &two)),
        );
        let value = match (answers.0.unwrap(), answers.1.unwrap()) {
            (done, WriteOutcome::Conflict) if done == self::done(version + 1) => one,
            (WriteOutcome::Conflict, done) if done == self::done(version + 1) => two,
            answers => panic!("{answers:?}"),
        };
        let record = a.read(desk.shard, &sid).await.unwrap().record;
        assert_eq!(
            record,
            Some(Record {
                value,
                version: version + 1
            })
        );
    }
    for wrong in [0, 9, 11] {
        let stale = RecordWrite {
            due_ms: Some(1),
            ..write(sid, wrong, &Bytes::from("stale"))
        };
        assert_eq!(desk.write(stale).await, WriteOutcome::Conflict);
    }
    assert_eq!(a.due(desk.shard, 9).await, Ok(Vec::new()));
    let absent = write(desk.sid(), 3, &Bytes::new());
    assert_eq!(desk.write(absent).await, WriteOutcome::Conflict);
}

pub async fn s2_what_is_due_comes_the_longest_due_first(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let (now_ms, _) = store.nodes().await.unwrap();
    let sids: [Sid; 4] = std::array::from_fn(|_| desk.sid());
    let due = async |max| store.due(desk.shard, max).await.unwrap();
    let dues = [now_ms - 10, now_ms - 30, now_ms + 600_000, now_ms - 20];
    for (sid, due_ms) in sids.iter().zip(dues) {
        let due_ms = Some(due_ms);
        desk.write(RecordWrite {
            due_ms,
            ..write(*sid, 0, &Bytes::from("v"))
        })
        .await;
    }
    assert_eq!(due(9).await, [sids[1], sids[3], sids[0]]);
    assert_eq!(due(2).await, [sids[1], sids[3]]);
    assert_eq!(store.waiting(desk.shard).await, Ok(4));
    for shard in store
        .layout()
        .all_shards()
        .filter(|shard| *shard != desk.shard)
    {
        assert_eq!(store.due(shard, 9).await, Ok(Vec::new()));
        assert_eq!(store.waiting(shard).await, Ok(0));
    }

    let (now_ms, _) = store.nodes().await.unwrap();
    let soon = RecordWrite {
        due_ms: Some(now_ms + 100),
        ..write(sids[2], 1, &Bytes::from("v"))
    };
    desk.write(soon).await;
    harness.pass(Duration::from_millis(150)).await;
    assert_eq!(due(9).await, [sids[1], sids[3], sids[0], sids[2]]);
    // Put off, no longer due at all, and gone.
    let later = Some(now_ms + 600_000);
    desk.write(RecordWrite {
        due_ms: later,
        ..write(sids[1], 1, &Bytes::from("v"))
    })
    .await;
    desk.write(write(sids[3], 1, &Bytes::from("v"))).await;
    desk.write(RecordWrite {
        value: None,
        due_ms: Some(1),
        ..write(sids[0], 1, &Bytes::new())
    })
    .await;
    assert_eq!(due(9).await, [sids[2]]);
    assert_eq!(store.waiting(desk.shard).await, Ok(2));
}

pub async fn s7_the_records_of_a_gateway_are_found(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let sids: [Sid; 3] = std::array::from_fn(|_| desk.sid());
    for (sid, owner) in sids.iter().zip(["one", "two", "one"]) {
        desk.write(owned(*sid, 0, owner)).await;
    }
    assert_eq!(desk.owners().await, ["one", "two"]);
    assert_eq!(desk.owned("one", 9).await, sorted([sids[0], sids[2]]));
    assert_eq!(desk.owned("one", 1).await.len(), 1);
    assert_eq!(desk.owned("on", 9).await, Vec::<Sid>::new());
    assert_eq!(desk.owned("two", 9).await, [sids[1]]);
    for shard in store
        .layout()
        .all_shards()
        .filter(|shard| *shard != desk.shard)
    {
        assert_eq!(store.owners(shard).await, Ok(Vec::new()));
    }

    // From one gateway to another, from a gateway to none, and back.
    desk.write(owned(sids[0], 1, "three")).await;
    desk.write(write(sids[1], 1, &Bytes::from("v"))).await;
    assert_eq!(desk.owners().await, ["one", "three"]);
    assert_eq!(desk.owned("one", 9).await, [sids[2]]);
    assert_eq!(desk.owned("three", 9).await, [sids[0]]);
    desk.write(owned(sids[1], 2, "one")).await;
    assert_eq!(desk.owned("one", 9).await, sorted([sids[1], sids[2]]));
}

pub async fn s8_a_group_holds_no_more_than_its_bound(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let sids: [Sid; 3] = std::array::from_fn(|_| desk.sid());
    assert_eq!(
        desk.write(grouped(sids[0], 0, "user:ada", 2)).await,
        done(1)
    );
    assert_eq!(
        desk.write(grouped(sids[1], 0, "user:ada", 2)).await,
        done(1)
    );
    assert_eq!(
        desk.write(grouped(sids[2], 0, "user:ada", 2)).await,
        WriteOutcome::GroupFull
    );
    assert_eq!(store.read(desk.shard, &sids[2]).await.unwrap().record, None);

    // It binds who comes, not who is there; another user has places of its own.
    assert_eq!(
        desk.write(grouped(sids[0], 1, "user:ada", 1)).await,
        done(2)
    );
    assert_eq!(
        desk.write(grouped(sids[2], 0, "user:bob", 2)).await,
        done(1)
    );
    let delete = RecordWrite {
        value: None,
        ..grouped(sids[2], 1, "user:bob", 2)
    };
    assert_eq!(desk.write(delete).await, done(2));

    let listed = async |group, max| store.grouped(desk.shard, group, max).await.unwrap();
    assert_eq!(
        sorted(listed("user:ada", 9).await),
        sorted([sids[0], sids[1]])
    );
    assert_eq!(listed("user:ada", 1).await.len(), 1);
    assert_eq!(listed("user:ad", 9).await, Vec::<Sid>::new());

    // A place is free again when a record leaves the group, or goes.
    assert_eq!(
        desk.write(write(sids[1], 1, &Bytes::from("v"))).await,
        done(2)
    );
    assert_eq!(listed("user:ada", 9).await, [sids[0]]);
    assert_eq!(
        desk.write(grouped(sids[2], 0, "user:ada", 2)).await,
        done(1)
    );
    let delete = RecordWrite {
        value: None,
        ..grouped(sids[0], 2, "user:ada", 2)
    };
    assert_eq!(desk.write(delete).await, done(3));
    assert_eq!(
        desk.write(grouped(desk.sid(), 0, "user:ada", 2)).await,
        done(1)
    );
    assert_eq!(
        desk.write(grouped(desk.sid(), 0, "user:ada", 2)).await,
        WriteOutcome::GroupFull
    );
}

pub async fn s8_of_many_who_want_the_last_place_one_gets_it(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let desk = Desk::new(&a);
    let writes = (0..20).map(|number| {
        let store = if number % 2 == 0 { &a } else { &b };
        store.write(desk.shard, grouped(desk.sid(), 0, "user:ada", 3))
    });
    let answers = futures_util::future::join_all(writes).await;
    let taken = answers.iter().filter(|answer| **answer == Ok(done(1)));
    assert_eq!(taken.count(), 3, "{answers:?}");
}

pub async fn a_record_that_is_deleted_leaves_every_index(harness: &dyn Harness) {
    let store = harness.connect().await;
    let desk = Desk::new(&store);
    let sid = desk.sid();
    let everywhere = |expect, value: Option<&str>| RecordWrite {
        value: value.map(|value| Bytes::from(value.to_owned())),
        due_ms: Some(1),
        owner: Some("one".into()),
        ..grouped(sid, expect, "user:ada", 1)
    };
    for _ in 0..2 {
        assert_eq!(desk.write(everywhere(0, Some("v"))).await, done(1));
        assert_eq!(store.due(desk.shard, 9).await, Ok(vec![sid]));
        assert_eq!(desk.write(everywhere(1, None)).await, done(2));
        assert_eq!(store.read(desk.shard, &sid).await.unwrap().record, None);
        assert_eq!(store.due(desk.shard, 9).await, Ok(Vec::new()));
        assert_eq!(desk.owners().await, Vec::<String>::new());
        assert_eq!(desk.owned("one", 9).await, Vec::<Sid>::new());
    }
}

/// The records of one user.
pub(super) struct Desk {
    pub(super) store: SharedStore,
    layout: Layout,
    pub(super) shard: ShardId,
}

impl Desk {
    pub(super) fn new(store: &SharedStore) -> Self {
        let layout = store.layout();
        Desk {
            store: store.clone(),
            layout,
            shard: layout.shard_of_user("ada"),
        }
    }

    pub(super) fn sid(&self) -> Sid {
        self.layout.place(Sid::now_v7(), "ada")
    }

    pub(super) async fn write(&self, write: RecordWrite) -> WriteOutcome {
        self.store.write(self.shard, write).await.unwrap()
    }

    pub(super) async fn owners(&self) -> Vec<String> {
        let owners = self.store.owners(self.shard).await.unwrap();
        let mut owners: Vec<_> = owners
            .iter()
            .map(|owner| owner.as_str().to_owned())
            .collect();
        owners.sort();
        owners
    }

    pub(super) async fn owned(&self, owner: &str, max: usize) -> Vec<Sid> {
        let owner = NodeId::from(owner);
        let owned = self.store.owned(self.shard, &owner, max);
        sorted(owned.await.unwrap())
    }
}

/// A write that is in no index.
pub(super) fn write(sid: Sid, expect: u64, value: &Bytes) -> RecordWrite {
    RecordWrite {
        sid,
        expect,
        value: Some(value.clone()),
        due_ms: None,
        owner: None,
        group: None,
    }
}

fn owned(sid: Sid, expect: u64, owner: &str) -> RecordWrite {
    let owner = Some(owner.into());
    RecordWrite {
        owner,
        ..write(sid, expect, &Bytes::from("v"))
    }
}

fn grouped(sid: Sid, expect: u64, name: &str, max: usize) -> RecordWrite {
    let group = Some(Group {
        name: name.into(),
        max,
    });
    RecordWrite {
        group,
        ..write(sid, expect, &Bytes::from("v"))
    }
}

pub(super) fn done(version: u64) -> WriteOutcome {
    WriteOutcome::Done { version }
}

pub(super) fn sorted(sids: impl Into<Vec<Sid>>) -> Vec<Sid> {
    let mut sids = sids.into();
    sids.sort();
    sids
}
