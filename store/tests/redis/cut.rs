//! A connection that is cut within an answer says nothing about what the store holds.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use outlast_protocol::Payload;
use outlast_store::{
    Commit, Leases, NodeId, RecordWrite, Records, Rooms, Snapshot, StoreError, Topic, TopicId,
    conformance::fixture::seeded,
    redis::{Redis, RedisSettings},
};
use rand::{RngExt, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use crate::{
    scene::{
        LAYOUT, PATIENCE, TTL, append, claim, commit, entry, new_record, partition, room, until,
    },
    server::{Server, patient},
};

/// A wire to a server that breaks after so many bytes of answers.
struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
    _tasks: JoinSet<()>,
}

struct Wire {
    server: u16,
    /// How many bytes of answers still get through.
    left: AtomicUsize,
    cut: Notify,
}

const WHOLE: usize = usize::MAX;

impl Proxy {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wire = Arc::new(Wire {
            server: server.port(),
            left: WHOLE.into(),
            cut: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        let address = listener.local_addr().unwrap();
        tasks.spawn(wire.clone().accept(listener));
        Proxy {
            address,
            wire,
            _tasks: tasks,
        }
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on so many bytes of answers get through, then every connection is cut.
    fn cut_after(&self, bytes: usize) {
        self.wire.left.store(bytes, Ordering::SeqCst);
    }
}

impl Wire {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut lines = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            lines.spawn(self.clone().carry(client));
        }
    }

    async fn carry(self: Arc<Self>, client: TcpStream) {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server)).await;
        let (mut answers, mut asks) = server.unwrap().into_split();
        let (mut from, mut to) = client.into_split();
        let back = async {
            let mut some = vec![0; 1 << 16];
            while let Ok(read @ 1..) = answers.read(&mut some).await {
                let through = self.left.load(Ordering::SeqCst).min(read);
                if self.left.load(Ordering::SeqCst) != WHOLE {
                    self.left.fetch_sub(through, Ordering::SeqCst);
                }
                if to.write_all(&some[..through]).await.is_err() {
                    return;
                }
                if through < read {
                    self.cut.notify_waiters();
                    return;
                }
            }
        };
        tokio::select! {
            () = back => {}
            _ = copy(&mut from, &mut asks) => {}
            () = self.cut.notified() => {}
        }
    }
}

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
        proxy.cut_after(offset);
        let answer = ask().await.map(drop);
        proxy.cut_after(WHOLE);
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
    let server = Server::start();
    let proxy = Proxy::to(&server).await;
    let settings = RedisSettings {
        // Its own answers would use up what gets through.
        probe_ms: 600_000,
        ..patient()
    };
    let store = Redis::connect(&proxy.url(), LAYOUT, settings)
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
