//! The steps that the tests take again and again.

use std::{sync::Arc, time::Duration};

use outlast_protocol::{Payload, Pos, RoomName, Sid};
use outlast_store::{
    Answer, Body, Commit, Cursor, Deadline, Entry, Group, Input, Layout, LeaseName, Listener,
    NodeId, PartitionId, RecordWrite, Reply, Request, RoomCommit, Seat, Store, StoreEvent, Topic,
    redis::{Access, Redis, RedisSettings},
};
use outlast_testkit::{
    PATIENCE, RedisServer, eventually,
    redis::{Login, users},
};
use tokio::time::timeout;

pub(crate) const LAYOUT: Layout = Layout {
    partitions: 4,
    shards: 2,
};

/// A lease that does not run out here.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);

/// Never too late.
pub(crate) const ANY_TIME: Deadline = Deadline(u64::MAX);

/// A busy machine is not taken for a store that is away.
pub(crate) fn patient() -> RedisSettings {
    RedisSettings {
        command_timeout_ms: 20_000,
        ..RedisSettings::default()
    }
}

pub(crate) async fn connect(
    server: &RedisServer,
    layout: Layout,
) -> Result<Arc<Redis>, outlast_store::StoreError> {
    Redis::connect(&server.url(), layout, patient()).await
}

/// The user that does everything.
pub(crate) fn everything() -> Access {
    access(Login {
        user: Some("outlast"),
        password: Some(users::PASSWORD),
        ..Login::default()
    })
}

pub(crate) fn access(login: Login) -> Access {
    Access {
        user: login.user.map(Into::into),
        password: login.password.map(Into::into),
        sentinel_user: login.sentinel_user.map(Into::into),
        sentinel_password: login.sentinel_password.map(Into::into),
        ..Access::default()
    }
}

pub(crate) fn room() -> RoomName {
    "chat/lobby".parse().unwrap()
}

pub(crate) fn partition() -> PartitionId {
    LAYOUT.partition(&room())
}

pub(crate) fn lease() -> LeaseName {
    LeaseName::Partition(partition())
}

pub(crate) fn input() -> Input {
    Input {
        room: room(),
        sid: Sid::now_v7(),
        generation: 1,
        gateway: None,
        request: Request::View,
    }
}

pub(crate) fn entry(pos: Pos, text: &str) -> Entry {
    let body = Body::Event {
        by: None,
        n: None,
        quiet: false,
        data: Payload::of(text).unwrap(),
    };
    Entry { pos, at: 0, body }
}

/// A commit of one room: an entry, a seat, and a reply to a gateway.
pub(crate) fn commit(epoch: u64, from: Cursor, behind: Pos, gateway: &NodeId) -> Commit {
    let to = Cursor {
        commits: from.commits + 1,
        tag: rand::random_range(0..1 << 32),
        ..from
    };
    let pos = Pos {
        off: behind.off + 1,
        tag: to.tag,
    };
    let sid = Sid::now_v7();
    let reply = Reply {
        sid,
        room: room(),
        answer: Answer::Gap { expect: pos.off },
    };
    Commit {
        partition: partition(),
        epoch,
        from,
        to,
        rooms: vec![RoomCommit {
            room: room(),
            prev: behind,
            entries: vec![entry(pos, "hello")],
            seats: vec![(sid, Some(Seat::default()))],
            head: Some("{}".into()),
            snapshot: None,
            trim_below: None,
            wake_ms: Some(5),
            ttl_ms: None,
            park: vec![],
            unpark: false,
            signals: vec![],
        }],
        replies: vec![(gateway.clone(), reply)],
        unread: vec![],
        reread: 0,
        unnote: Vec::new(),
    }
}

/// The commit that follows what lies in the store.
pub(crate) async fn next_commit(
    store: &(impl Store + ?Sized),
    epoch: u64,
    gateway: &NodeId,
) -> Commit {
    let from = store.cursor(partition()).await.unwrap();
    let behind = store.read_tail(&room(), 1).await.unwrap().last;
    commit(epoch, from, behind, gateway)
}

pub(crate) async fn claim(store: &(impl Store + ?Sized), ttl: Duration) -> u64 {
    let granted = store.claim(lease(), &"worker".into(), ttl).await.unwrap();
    granted.expect("nobody holds the lease").epoch
}

pub(crate) async fn append(store: &(impl Topic + ?Sized)) -> Result<(), outlast_store::StoreError> {
    store.append(partition(), ANY_TIME, vec![input()]).await
}

/// A record that is new, with its place in every index.
pub(crate) fn new_record() -> RecordWrite {
    RecordWrite {
        sid: LAYOUT.place(Sid::now_v7(), "ada"),
        expect: 0,
        value: Some("{}".into()),
        due_ms: Some(1),
        owner: Some("gateway".into()),
        group: Some(Group {
            name: "ada".into(),
            max: 16,
        }),
    }
}

pub(crate) async fn hear(listener: &mut dyn Listener) -> StoreEvent {
    let heard = timeout(PATIENCE, listener.next()).await;
    heard.expect("something is heard in time")
}

/// Repeats a question until its answer is the right one.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> T, right: impl Fn(&T) -> bool) -> T {
    eventually("the right answer comes", async || {
        Some(ask().await).filter(&right)
    })
    .await
}
