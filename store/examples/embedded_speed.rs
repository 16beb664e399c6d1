//! The speed of the embedded store on this disk: `cargo run --release -p outlast-store --example
//! embedded_speed [FOLDER]`, or in memory without a folder.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use outlast_protocol::{Pos, RoomName, Sid};
use outlast_store::{
    Layout, RecordWrite, SharedStore,
    conformance::fixture::{NEVER, Writer, act, more, room},
    embedded::Embedded,
};

const LASTS: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let layout = Layout::default();
    let store: SharedStore = match &folder {
        Some(folder) => Embedded::open(folder, layout).expect("the folder can be opened"),
        None => Embedded::memory(layout),
    };
    for clients in [1, 64, 512] {
        appends(&store, clients).await;
    }
    for (partitions, entries) in [(1, 1), (1, 10), (16, 1), (16, 10), (16, 100)] {
        commits(&store, partitions, entries).await;
    }
    for clients in [1, 64, 512] {
        records(&store, clients).await;
    }
    loads(&store).await;
    drop(store);
    if let Some(folder) = folder {
        let started = Instant::now();
        drop(Embedded::open(&folder, layout).expect("the folder can be opened"));
        println!("opened again in {:?}", started.elapsed());
    }
}

async fn appends(store: &SharedStore, clients: usize) {
    let room = room("chat/appends");
    let partition = store.layout().partition(&room);
    let mut writer = Writer::of(store, &room).await;
    let ends = Instant::now() + LASTS;
    let client = async || {
        let mut done = 0;
        while Instant::now() < ends {
            done += 1;
            let inputs = vec![act(&room, done)];
            store
                .append(partition, NEVER, inputs)
                .await
                .expect("there is room");
        }
        done
    };
    // Works the topic off as a worker would, without rooms.
    let worker = async {
        while Instant::now() < ends {
            let after = writer.cursor.topic;
            let wait = Duration::from_millis(10);
            let read = store.read_topic(partition, after, 512, wait).await;
            let read = read.expect("the topic can be read");
            if let Some(last) = read.last() {
                let mut commit = writer.commit_of(Vec::new());
                commit.to.topic = last.id;
                writer.commit(commit).await;
            }
        }
    };
    let (done, ()) = tokio::join!(join_all((0..clients).map(|_| client())), worker);
    let name = outlast_store::LeaseName::Partition(partition);
    store
        .release(name, writer.epoch)
        .await
        .expect("it can be released");
    report(&format!("appends, {clients} at a time"), done.iter().sum());
}

async fn commits(store: &SharedStore, partitions: usize, entries: u64) {
    let layout = store.layout();
    let rooms: Vec<RoomName> = layout
        .all_partitions()
        .take(partitions)
        .map(|partition| {
            let names = (0..).map(|n| room(&format!("chat/{entries}-{partitions}-{n}")));
            let mut here = names.filter(|room| layout.partition(room) == partition);
            here.next().expect("every partition has rooms")
        })
        .collect();
    let ends = Instant::now() + LASTS;
    let client = async |room: RoomName| {
        let mut writer = Writer::of(store, &room).await;
        let mut behind = Pos::START;
        let mut done = 0;
        while Instant::now() < ends {
            let mut change = more(&room, behind, entries);
            behind = change.entries.last().expect("there are some").pos;
            change.trim_below = Some(behind.off.saturating_sub(1_000));
            writer.write(change).await;
            done += 1;
        }
        let name = outlast_store::LeaseName::Partition(writer.partition);
        store
            .release(name, writer.epoch)
            .await
            .expect("it can be released");
        done
    };
    let done = join_all(rooms.into_iter().map(client)).await;
    let what = format!("commits of {entries} entries, {partitions} partitions");
    report(&what, done.iter().sum());
}

async fn records(store: &SharedStore, clients: usize) {
    let ends = Instant::now() + LASTS;
    let client = async || {
        let sid = Sid::now_v7();
        let mut version = 0;
        while Instant::now() < ends {
            let write = RecordWrite {
                sid,
                expect: version,
                value: Some(vec![b'x'; 400].into()),
                due_ms: Some(version),
                owner: Some("gateway".into()),
                group: None,
            };
            let shard = store.layout().shard(&sid);
            store.write(shard, write).await.expect("it can be written");
            version += 1;
        }
        version
    };
    let done = join_all((0..clients).map(|_| client())).await;
    report(
        &format!("record writes, {clients} at a time"),
        done.iter().sum(),
    );
}

async fn loads(store: &SharedStore) {
    let layout = store.layout();
    let names = (0..).map(|n| room(&format!("chat/100-16-{n}")));
    let mut here = names.filter(|room| layout.partition(room).0 == 0);
    let room = here.next().expect("every partition has rooms");
    let started = Instant::now();
    let loaded = store.load(&room).await.expect("it can be loaded");
    println!(
        "a load of {} entries: {:?}",
        loaded.entries.len(),
        started.elapsed()
    );
    let started = Instant::now();
    let mut reads = 0;
    while started.elapsed() < LASTS {
        let read = store.read_log(&room, loaded.last.off - 20, 10).await;
        assert_eq!(read.expect("it can be read").entries.len(), 10);
        reads += 1;
    }
    report("reads of 10 entries, one after the other", reads);
}

fn report(what: &str, done: u64) {
    println!("{what}: {:.0} a second", done as f64 / LASTS.as_secs_f64());
}
