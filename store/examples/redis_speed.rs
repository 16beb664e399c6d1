//! The speed of the store in Redis: `cargo run --release -p outlast-store --example redis_speed
//! redis://127.0.0.1:6379`. Wants a Redis that nobody else uses, and empties it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use outlast_protocol::{Pos, RoomName};
use outlast_store::{
    Layout, LeaseName, SharedStore, StoreEvent,
    conformance::fixture::{NEVER, Writer, act, more, room},
    redis::{Redis, RedisSettings},
};
use tokio::time::sleep;

const LASTS: Duration = Duration::from_secs(4);
const ACTIONS: usize = 5_000;

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1);
    let url = url.expect("the first argument is Redis's URL");
    let client = redis::Client::open(url.as_str()).expect("the URL is one of Redis's");
    let mut admin = client.get_connection().expect("Redis is there");
    redis::cmd("FLUSHDB")
        .exec(&mut admin)
        .expect("Redis can be emptied");

    let gateway = connect(&url).await;
    let worker = connect(&url).await;
    path(&gateway, &worker).await;
    for (partitions, rooms, entries) in [(1, 1, 1), (1, 1, 50), (1, 50, 1), (4, 1, 1), (4, 1, 50)] {
        commits(&worker, partitions, rooms, entries).await;
    }
}

async fn connect(url: &str) -> SharedStore {
    let store = Redis::connect(url, Layout::default(), RedisSettings::default()).await;
    store.expect("the store can be used")
}

/// One action after the other, on its way from a gateway through a worker to a gateway.
async fn path(gateway: &SharedStore, worker: &SharedStore) {
    let room = room("chat/path");
    let partition = gateway.layout().partition(&room);
    let listening = gateway.listen(&"gateway".into()).await;
    let (subscriptions, mut listener) = listening.expect("it can listen");
    let subscribed = subscriptions.subscribe(&room).await;
    subscribed.expect("it can subscribe");
    let working = tokio::spawn(work(worker.clone(), room.clone()));

    let mut times = Vec::new();
    for n in 0..ACTIONS {
        let began = Instant::now();
        let inputs = vec![act(&room, n as u64)];
        let appended = gateway.append(partition, NEVER, inputs).await;
        appended.expect("there is room");
        while !matches!(listener.next().await, StoreEvent::Room(_)) {}
        times.push(began.elapsed().as_micros());
        sleep(Duration::from_micros(300)).await;
    }
    working.await.expect("the worker does not fail");
    times.sort_unstable();
    let at = |percent| times[times.len() * percent / 100];
    println!(
        "append, read, commit, heard: p50 {} µs, p90 {} µs, p99 {} µs",
        at(50),
        at(90),
        at(99)
    );
}

/// Returns each action with an entry, until none comes.
async fn work(store: SharedStore, room: RoomName) {
    let mut writer = Writer::of(&store, &room).await;
    let mut behind = Pos::START;
    loop {
        let after = writer.cursor.topic;
        let read = store.read_topic(writer.partition, after, 512, Duration::from_secs(2));
        let Some(last) = read.await.expect("the topic can be read").pop() else {
            return give_up(&store, &writer).await;
        };
        let change = more(&room, behind, 1);
        behind = change.entries[0].pos;
        let mut commit = writer.commit_of(vec![change]);
        commit.to.topic = last.id;
        writer.commit(commit).await;
    }
}

async fn commits(store: &SharedStore, partitions: usize, rooms: usize, entries: u64) {
    let layout = store.layout();
    let ends = Instant::now() + LASTS;
    let writers = layout
        .all_partitions()
        .take(partitions)
        .map(async |partition| {
            let names = (0..).map(|n| room(&format!("chat/{partitions}-{rooms}-{entries}-{n}")));
            let here = names.filter(|room| layout.partition(room) == partition);
            let mut rooms: Vec<_> = here.take(rooms).map(|room| (room, Pos::START)).collect();
            let mut writer = Writer::of(store, &rooms[0].0).await;
            let mut done = 0;
            while Instant::now() < ends {
                let changes = rooms.iter_mut().map(|(room, behind)| {
                    let mut change = more(room, *behind, entries);
                    *behind = change.entries.last().expect("there are some").pos;
                    // Every 200 entries, as a worker would.
                    let due = behind.off > 1_000 && behind.off % 200 < entries;
                    change.trim_below = due.then(|| behind.off - 1_000);
                    change
                });
                let commit = writer.commit_of(changes.collect());
                writer.commit(commit).await;
                done += 1;
            }
            give_up(store, &writer).await;
            done
        });
    let done: u64 = join_all(writers).await.iter().sum();
    println!(
        "commits of {rooms} rooms with {entries} entries each, {partitions} partitions: {:.0} a second",
        done as f64 / LASTS.as_secs_f64()
    );
}

async fn give_up(store: &SharedStore, writer: &Writer) {
    let name = LeaseName::Partition(writer.partition);
    let released = store.release(name, writer.epoch).await;
    released.expect("it can be released");
}
