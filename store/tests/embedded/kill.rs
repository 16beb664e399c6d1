//! A process that is killed with SIGKILL while it commits, again and again, over one folder.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Layout, RecordWrite, RoomCommit, Seat, SharedStore, Snapshot, TopicId, WriteOutcome,
    conformance::fixture::{
        NEVER, PATIENCE, Writer, act, at, events, json, more, neighbours, seeded,
    },
    embedded::Embedded,
};
use rand::RngExt;

/// Tells the child where to write.
const FOLDER: &str = "OUTLAST_TEST_FOLDER";

const LAYOUT: Layout = Layout {
    partitions: 4,
    shards: 2,
};

#[tokio::test]
async fn l1_what_was_answered_outlives_a_sigkill_and_nothing_is_there_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = seeded();
    let mut answered = 0;
    for _ in 0..6 {
        let commits = random.random_range(1..60);
        // Anywhere within the next commit or two.
        let later = Duration::from_micros(random.random_range(0..8_000));
        let last = kill_behind(folder.path(), answered + commits, later);
        let store: SharedStore = Embedded::open(folder.path(), LAYOUT).unwrap();
        let (found, named) = check(&store).await;
        assert!(
            named >= last,
            "the record names {named}, {last} was answered"
        );
        assert!(
            (last..=last + 1).contains(&found),
            "{found} commits for {last} answers"
        );
        answered = found;
    }
}

/// Lets a child write until so many commits, with their records, were answered, and a bit longer; tells
/// how many were.
fn kill_behind(folder: &Path, commits: u64, later: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::the_child_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Some(answered) = line
            .unwrap()
            .strip_prefix("answered ")
            .map(|n| n.parse().unwrap())
        else {
            continue;
        };
        last = answered;
        if answered >= commits {
            std::thread::sleep(later);
            child.kill().unwrap();
        }
    }
    assert!(
        !child.wait().unwrap().success(),
        "the child was to be killed"
    );
    last
}

/// Run by itself, as the child of the test above; alone it has nothing to do.
#[tokio::test]
async fn the_child_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store: SharedStore = Embedded::open(folder.as_ref(), LAYOUT).unwrap();
    let rooms = rooms();
    let mut writer = Writer::of(&store, &rooms[0]).await;
    let shard = LAYOUT.shard(&Sid::nil());
    let found = store.read(shard, &Sid::nil()).await.unwrap().record;
    let mut version = found.map_or(0, |record| record.version);
    loop {
        let done = writer.cursor.commits;
        let inputs = rooms.iter().map(|room| act(room, done + 1)).collect();
        store.append(writer.partition, NEVER, inputs).await.unwrap();
        let topic = store.read_topic(writer.partition, writer.cursor.topic, 99, PATIENCE);
        let mut commit = writer.commit_of(rooms.iter().map(|room| change(room, done)).collect());
        commit.to.topic = topic.await.unwrap().last().unwrap().id;
        writer.commit(commit).await;
        let written = store.write(shard, record(version, done + 1)).await;
        version += 1;
        assert_eq!(written, Ok(WriteOutcome::Done { version }));
        println!("answered {}", done + 1);
    }
}

fn rooms() -> [RoomName; 3] {
    neighbours(LAYOUT)
}

/// Returns the change of each commit to each room: two entries, and everything else says which commit it was.
fn change(room: &RoomName, done: u64) -> RoomCommit {
    let end = done * 2 + 2;
    let seat = Seat {
        n: end,
        ..Seat::default()
    };
    RoomCommit {
        seats: vec![(Sid::nil(), Some(seat))],
        head: Some(end.to_string()),
        snapshot: Some(Snapshot {
            pos: at(end - 1),
            version: 1,
            state: json(&end.to_string()),
        }),
        trim_below: Some(end.saturating_sub(30)),
        wake_ms: Some(end),
        park: vec![act(room, end)],
        unpark: true,
        ..more(room, at(done * 2), 2)
    }
}

/// The child writes which commit was answered.
fn record(version: u64, answered: u64) -> RecordWrite {
    RecordWrite {
        sid: Sid::nil(),
        expect: version,
        value: Some(answered.to_string().into()),
        due_ms: Some(answered),
        owner: None,
        group: None,
    }
}

/// Checks that everything is as one and the same commit left it; answers which, and which the record
/// names.
async fn check(store: &SharedStore) -> (u64, u64) {
    let rooms = rooms();
    let partition = LAYOUT.partition(&rooms[0]);
    let cursor = store.cursor(partition).await.unwrap();
    let end = cursor.commits * 2;
    for room in &rooms {
        let loaded = store.load(room).await.unwrap();
        assert_eq!(loaded.last, at(end));
        assert_eq!(loaded.entries, events(at(end - 1), 1));
        assert_eq!(loaded.head, Some(end.to_string()));
        assert_eq!(loaded.seats[0].1.n, end);
        assert_eq!(loaded.parked.len(), 1);
        assert_eq!(loaded.snapshot.unwrap().state, json(&end.to_string()));
        let log = store.read_log(room, 0, 99).await.unwrap();
        assert_eq!(
            log.entries,
            events(at(log.first_off - 1), end + 1 - log.first_off)
        );
    }
    let wakes = store.wakes(partition, 9).await.unwrap();
    assert_eq!(wakes.len(), rooms.len());
    assert!(wakes.iter().all(|(_, wake_ms)| *wake_ms == end));
    let topic = store.read_topic(partition, TopicId::default(), 99, Duration::ZERO);
    assert!(
        topic
            .await
            .unwrap()
            .iter()
            .all(|entry| entry.id > cursor.topic)
    );

    let shard = LAYOUT.shard(&Sid::nil());
    let record = store.read(shard, &Sid::nil()).await.unwrap().record;
    let text = record.map_or("0".into(), |record| record.value);
    let named: u64 = std::str::from_utf8(&text).unwrap().parse().unwrap();
    assert!(
        named <= cursor.commits,
        "a record of a commit that never was"
    );
    let due = store.due(shard, 9).await.unwrap();
    assert_eq!(due.len() as u64, named.min(1));
    (cursor.commits, named)
}
