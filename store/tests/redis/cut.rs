//! A connection that is cut within an answer says nothing about what the store holds.

use outlast_protocol::Payload;
use outlast_store::{
    Commit, Leases, NodeId, RecordWrite, Records, Rooms, Snapshot, StoreError, Topic, TopicId,
    conformance::fixture::seeded,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{
    PATIENCE, RedisServer,
    proxy::{Hitch, Proxy, Snag, Toward},
};
use rand::{RngExt, rngs::StdRng};

use crate::scene::{
    LAYOUT, TTL, append, claim, commit, entry, new_record, partition, patient, room, until,
};

/// A room of some size, with records and inputs beside it.
async fn furnish(store: &Redis) -> (outlast_protocol::Sid, outlast_store::ShardId) {
    let gateway = NodeId::from("gateway");
    let epoch = claim(store, TTL).await;
    let first = commit(
        epoch,
        Default::default(),
        outlast_protocol::Pos::START,
        &gateway,
    );
    store.commit(&first).await.unwrap();
    let behind = first.rooms[0].entries[0].pos;
    let mut second = commit(epoch, first.to, behind, &gateway);
    let text = "é".repeat(200);
    let tag = second.to.tag;
    let pos = |off| outlast_protocol::Pos { off, tag };
    second.rooms[0].entries = (2..100).map(|off| entry(pos(off), &text)).collect();
    second.rooms[0].snapshot = Some(Snapshot {
        pos: behind,
        version: 1,
        state: Payload::of(&text.repeat(10)).unwrap(),
    });
    let second: Commit = second;
    store.commit(&second).await.unwrap();
    for _ in 0..50 {
        append(store).await.unwrap();
    }
    let mut sid = None;
    for _ in 0..20 {
        let record = RecordWrite {
            value: Some(text.clone().into()),
            group: None,
            ..new_record()
        };
        sid = Some(record.sid);
        store
            .write(LAYOUT.shard(&record.sid), record)
            .await
            .unwrap();
    }
    let sid = sid.unwrap();
    (sid, LAYOUT.shard(&sid))
}

/// Asks something at many offsets: it is told, or the store is away.
async fn cut_while<T: std::fmt::Debug>(
    proxy: &Proxy,
    seed: &mut StdRng,
    what: &str,
    length: usize,
    ask: impl AsyncFn() -> Result<T, StoreError>,
) {
    let offsets = (1..24).chain((0..40).map(|_| seed.random_range(24..length)));
    let mut away = 0;
    for offset in offsets.collect::<Vec<_>>() {
        until(&ask, Result::is_ok).await.map(drop).unwrap();
        let cut = Hitch {
            toward: Toward::Client,
            after_bytes: offset,
            what: Snag::Cut,
        };
        proxy.hitch(cut, |_| true);
        let answer = ask().await.map(drop);
        proxy.calm();
        match answer {
            Ok(()) => {}
            Err(StoreError::Unavailable(_)) => away += 1,
            Err(error) => panic!("{what}, cut after {offset} bytes: {error}"),
        }
    }
    assert!(away > 20, "{what}: it was cut {away} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w13_an_answer_that_breaks_off_is_no_entry_that_cannot_be_read() {
    let server = RedisServer::start();
    let proxy = Proxy::start(&[server.address()]).await;
    let settings = RedisSettings {
        // Its own answers would use up what gets through.
        probe_ms: 600_000,
        ..patient()
    };
    let store = Redis::connect(&format!("redis://{}", proxy.address()), LAYOUT, settings)
        .await
        .unwrap();
    let (sid, shard) = furnish(&store).await;
    let (store, seed) = (&*store, &mut seeded());
    cut_while(&proxy, seed, "a load", 40_000, async || {
        store.load(&room()).await
    })
    .await;
    cut_while(&proxy, seed, "a log", 40_000, async || {
        store.read_log(&room(), 1, 1_000).await
    })
    .await;
    cut_while(&proxy, seed, "a log's end", 4_000, async || {
        store.read_tail(&room(), 10).await
    })
    .await;
    cut_while(&proxy, seed, "a topic", 4_000, async || {
        let all = store.read_topic(partition(), TopicId::default(), 100, PATIENCE);
        all.await
    })
    .await;
    cut_while(&proxy, seed, "a record", 450, async || {
        store.read(shard, &sid).await
    })
    .await;
    cut_while(&proxy, seed, "records that are due", 300, async || {
        store.due(shard, 100).await
    })
    .await;
    cut_while(&proxy, seed, "a lease's survey", 30, async || {
        store.lease_holders(&[crate::scene::lease()]).await
    })
    .await;
}
