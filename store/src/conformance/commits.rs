use std::time::Duration;

use outlast_protocol::{Pos, Sid};

use super::{
    Harness,
    fixture::{
        LONG, NEVER, PATIENCE, Writer, act, at, heard_until, json, more, neighbours, room,
        unchanged,
    },
};
use crate::{
    Announcement, Answer, Commit, Committed, Cursor, LeaseName, Nudge, Reply, RoomCommit, RoomLoad,
    Seat, Snapshot, StoreError, StoreEvent, TopicId,
};

pub async fn w1_a_fenced_writer_changes_nothing(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let mut old = Writer::of(&a, &room).await;
    old.write(more(&room, Pos::START, 1)).await;
    let name = LeaseName::Partition(old.partition);
    a.release(name, old.epoch).await.unwrap();

    let mut new = Writer::of(&b, &room).await;
    assert_eq!(new.cursor, old.cursor);
    let late = old.commit_of(vec![more(&room, at(1), 1)]);
    let epoch = old.epoch;
    assert_eq!(a.commit(&late).await, Err(StoreError::Fenced { epoch }));
    assert_eq!(b.cursor(new.partition).await, Ok(new.cursor));
    assert_eq!(b.load(&room).await.unwrap().last, at(1));

    new.write(more(&room, at(1), 2)).await;
    assert_eq!(a.commit(&late).await, Err(StoreError::Fenced { epoch }));
    assert_eq!(b.load(&room).await.unwrap().last, at(3));
}

pub async fn w1_a_writer_that_was_never_granted_is_fenced(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let impostor = Writer {
        store: store.clone(),
        partition: store.layout().partition(&room),
        epoch: 1,
        cursor: Cursor::default(),
    };
    let commit = impostor.commit_of(vec![more(&room, Pos::START, 1)]);
    let fenced = Err(StoreError::Fenced { epoch: 1 });
    assert_eq!(store.commit(&commit).await, fenced);
    assert_eq!(store.load(&room).await, Ok(RoomLoad::default()));

    // Nor does the lease of a neighbour help.
    let layout = store.layout();
    let others = layout
        .all_partitions()
        .filter(|other| *other != impostor.partition);
    for name in others.map(LeaseName::Partition) {
        store.claim(name, &"a".into(), LONG).await.unwrap();
    }
    assert_eq!(store.commit(&commit).await, fenced);
}

pub async fn w2_a_repeated_commit_changes_nothing_and_is_announced_once(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let (subscriptions, mut listener) = b.listen(&"gateway".into()).await.unwrap();
    subscriptions.subscribe(&room).await.unwrap();
    let mut writer = Writer::of(&a, &room).await;

    let mut commit = writer.commit_of(vec![RoomCommit {
        park: vec![act(&room, 1)],
        signals: vec![json("1")],
        ..more(&room, Pos::START, 2)
    }]);
    commit.replies = vec![("gateway".into(), gap(&room))];
    writer.commit(commit.clone()).await;
    let loaded = a.load(&room).await.unwrap();
    for store in [&a, &b, &a] {
        assert_eq!(store.commit(&commit).await, Ok(Committed::Before));
        assert_eq!(store.load(&room).await.unwrap(), loaded);
    }

    let last = Nudge::Over { sid: Sid::now_v7() };
    a.nudge(None, &last).await.unwrap();
    let heard = heard_until(&mut listener, &StoreEvent::Nudge(last)).await;
    assert_eq!(heard, [announced(&commit), StoreEvent::Reply(gap(&room))]);
}

pub async fn w2_a_commit_from_another_cursor_is_moved(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    let first = writer.commit_of(vec![more(&room, Pos::START, 1)]);
    writer.commit(first.clone()).await;
    writer.write(more(&room, at(1), 1)).await;

    // What was overtaken, what runs ahead, and what only looks like the cursor.
    let overtaken = first;
    let mut ahead = writer.commit_of(vec![more(&room, at(2), 1)]);
    ahead.from.commits += 1;
    let mut namesake = writer.commit_of(vec![more(&room, at(2), 1)]);
    namesake.from.tag += 1;
    let mut behind = writer.commit_of(vec![more(&room, at(2), 1)]);
    behind.from.topic = TopicId::default();
    for commit in [overtaken, ahead, namesake, behind] {
        let answer = store.commit(&commit).await;
        assert!(matches!(answer, Err(StoreError::Moved(_))), "{answer:?}");
    }
    assert_eq!(store.cursor(writer.partition).await, Ok(writer.cursor));
    assert_eq!(store.load(&room).await.unwrap().last, at(2));
}

pub async fn w2_a_commit_behind_another_entry_is_moved(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    let namesake = |off| Pos { off, tag: 1 };
    let refused = async |writer: &Writer, change| {
        let answer = store.commit(&writer.commit_of(vec![change])).await;
        assert!(matches!(answer, Err(StoreError::Moved(_))), "{answer:?}");
    };
    refused(&writer, more(&room, at(1), 1)).await;
    writer.write(unchanged(&room, Pos::START)).await;
    refused(&writer, more(&room, at(1), 1)).await;
    writer.write(more(&room, Pos::START, 5)).await;
    // Where the log ends is a matter neither of what it still holds nor of what else is written.
    let trim = RoomCommit {
        trim_below: Some(9),
        seats: vec![(Sid::nil(), Some(Seat::default()))],
        head: Some("h".into()),
        ttl_ms: Some(600_000),
        ..unchanged(&room, at(5))
    };
    writer.write(trim).await;
    for behind in [Pos::START, at(4), namesake(5), at(6)] {
        refused(&writer, more(&room, behind, 1)).await;
        refused(&writer, unchanged(&room, behind)).await;
    }
    writer.write(more(&room, at(5), 1)).await;
    writer.write(unchanged(&room, at(6))).await;
    refused(&writer, more(&room, at(5), 1)).await;
    assert_eq!(store.load(&room).await.unwrap().last, at(6));
    assert_eq!(store.read_tail(&room, 9).await.unwrap().last, at(6));
}

pub async fn w2_a_commit_that_is_refused_halfway_changes_nothing(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [good, bad] = neighbours(store.layout());
    let (subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    subscriptions.subscribe(&good).await.unwrap();
    let mut writer = Writer::of(&store, &good).await;
    let inputs = vec![act(&good, 1), act(&bad, 1)];
    store.append(writer.partition, NEVER, inputs).await.unwrap();
    writer
        .write(RoomCommit {
            seats: vec![(Sid::nil(), Some(Seat::default()))],
            head: Some("old".into()),
            wake_ms: Some(5),
            park: vec![act(&good, 9)],
            ..more(&good, Pos::START, 3)
        })
        .await;
    let everything = async || {
        let topic = store.read_topic(writer.partition, TopicId::default(), 9, PATIENCE);
        (
            store.cursor(writer.partition).await.unwrap(),
            store.load(&good).await.unwrap(),
            store.load(&bad).await.unwrap(),
            store.wakes(writer.partition, 9).await.unwrap(),
            topic.await.unwrap(),
        )
    };
    let before = everything().await;

    let state = json("{}");
    let change = RoomCommit {
        seats: vec![(Sid::nil(), None), (Sid::max(), Some(Seat::default()))],
        head: Some("new".into()),
        snapshot: Some(Snapshot {
            pos: at(4),
            version: 1,
            state,
        }),
        trim_below: Some(3),
        wake_ms: None,
        ttl_ms: Some(1),
        park: vec![act(&good, 10)],
        unpark: true,
        signals: vec![json("1")],
        ..more(&good, at(3), 1)
    };
    let mut refused = writer.commit_of(vec![change, more(&bad, at(1), 1)]);
    refused.to.topic = before.4[0].id;
    refused.replies = vec![("gateway".into(), gap(&good))];
    refused.unread = vec!["?".into()];
    let answer = store.commit(&refused).await;
    assert!(matches!(answer, Err(StoreError::Moved(_))), "{answer:?}");
    harness.pass(Duration::from_millis(50)).await;
    assert_eq!(everything().await, before);

    let last = Nudge::Over { sid: Sid::now_v7() };
    store.nudge(None, &last).await.unwrap();
    let heard = heard_until(&mut listener, &StoreEvent::Nudge(last)).await;
    assert_eq!(heard.len(), 1, "only the first commit: {heard:?}");
}

pub async fn w2_of_two_commits_from_one_cursor_one_happens(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let mut writer = Writer::of(&a, &room).await;
    for _ in 0..10 {
        let behind = a.load(&room).await.unwrap().last;
        let one = writer.commit_of(vec![more(&room, behind, 1)]);
        let mut two = writer.commit_of(vec![more(&room, behind, 2)]);
        two.to.tag += 1;
        let answers = tokio::join!(a.commit(&one), b.commit(&two));
        writer.cursor = match answers {
            (Ok(Committed::Now), Err(StoreError::Moved(_))) => one.to,
            (Err(StoreError::Moved(_)), Ok(Committed::Now)) => two.to,
            answers => panic!("{answers:?}"),
        };
        let added = a.load(&room).await.unwrap().last.off - behind.off;
        let expected = if writer.cursor == one.to { 1 } else { 2 };
        assert_eq!(added, expected);
    }
}

pub async fn w2_a_commit_moves_its_partition_alone(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    let far = Cursor {
        topic: TopicId {
            ms: u64::MAX >> 11,
            seq: 77,
        },
        commits: 1,
        tag: u64::MAX,
    };
    let mut commit = writer.commit_of(vec![unchanged(&room, Pos::START)]);
    commit.to = far;
    writer.commit(commit).await;
    for partition in store.layout().all_partitions() {
        let expected = if partition == writer.partition {
            far
        } else {
            Cursor::default()
        };
        assert_eq!(store.cursor(partition).await, Ok(expected));
    }
    assert_eq!(store.load(&room).await.unwrap().last, Pos::START);
    // Nothing in it at all is a commit too.
    writer.commit(writer.commit_of(Vec::new())).await;
}

fn gap(room: &outlast_protocol::RoomName) -> Reply {
    Reply {
        sid: Sid::nil(),
        room: room.clone(),
        answer: Answer::Gap { expect: 4 },
    }
}

/// Returns the announcement of a commit of one room.
fn announced(commit: &Commit) -> StoreEvent {
    let change = &commit.rooms[0];
    StoreEvent::Room(Announcement {
        room: change.room.clone(),
        prev: change.prev,
        entries: change.entries.clone(),
        signals: change.signals.clone(),
    })
}

pub async fn w6_inputs_that_nobody_could_read_are_kept_until_somebody_can(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let mut writer = Writer::of(&store, &room).await;
    let unread = async |max| store.unread(partition, max).await.unwrap();
    let strange = ["{not \"JSON\"\n", "", "{}"].map(str::to_owned);
    let input = act(&room, 1);
    let text = serde_json::to_string(&input).unwrap();
    let kept = async |writer: &mut Writer, reread, unread: &[String]| {
        let commit = Commit {
            unread: unread.to_vec(),
            reread,
            ..writer.commit_of(Vec::new())
        };
        writer.commit(commit.clone()).await;
        // Repeated, it changes nothing more (W2).
        assert_eq!(store.commit(&commit).await, Ok(Committed::Before));
    };
    assert_eq!(unread(9).await, []);
    kept(&mut writer, 0, &strange[..2]).await;
    kept(&mut writer, 0, &[text, strange[2].clone()]).await;
    let [a, b, c] = strange.clone().map(Err);
    assert_eq!(unread(0).await, []);
    assert_eq!(unread(2).await, [a.clone(), b.clone()]);
    assert_eq!(unread(9).await, [a.clone(), b, Ok(input), c.clone()]);
    kept(&mut writer, 3, &strange[..1]).await;
    assert_eq!(unread(9).await, [c, a]);
    kept(&mut writer, 9, &[]).await;
    assert_eq!(unread(9).await, []);
}

pub async fn w12_a_commit_takes_the_notes_away_that_it_names(harness: &dyn Harness) {
    let store = harness.connect().await;
    let mut writer = Writer::of(&store, &room("chat/lobby")).await;
    let partition = writer.partition;
    let note = |name: &str| (name.to_owned(), Some("1".to_owned()));
    let changes = ["a", "b", "c"].map(note);
    let epoch = writer.commit_of(Vec::new()).epoch;
    store.note(partition, epoch, &changes).await.unwrap();
    let commit = Commit {
        unnote: vec!["a".into(), "c".into(), "unknown".into()],
        ..writer.commit_of(Vec::new())
    };
    writer.commit(commit.clone()).await;
    let b = ("b".to_owned(), "1".to_owned());
    assert_eq!(store.notes(partition).await, Ok(vec![b]));
    // Repeated, it takes nothing away that was noted since.
    store.note(partition, epoch, &changes).await.unwrap();
    assert_eq!(store.commit(&commit).await, Ok(Committed::Before));
    assert_eq!(store.notes(partition).await.unwrap().len(), 3);
}
