//! The bounds on what the store holds, and on how long.

use std::time::Duration;

use outlast_protocol::Pos;
use outlast_store::{
    Layout, RoomCommit, SharedStore, StoreError, TopicId,
    conformance::fixture::{
        NEVER, PATIENCE, Writer, act, at, events, more, neighbours, room, unchanged,
    },
    embedded::Embedded,
};

#[tokio::test]
async fn w7_a_full_topic_takes_no_more_until_some_of_it_is_applied() {
    let store: SharedStore = Embedded::memory(Layout::default());
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let inputs: Vec<_> = (1..=10_000).map(|n| act(&room, n)).collect();
    for _ in 0..9 {
        store
            .append(partition, NEVER, inputs.clone())
            .await
            .unwrap();
    }
    store
        .append(partition, NEVER, inputs[..9_999].to_vec())
        .await
        .unwrap();
    let full = store.append(partition, NEVER, inputs[..2].to_vec()).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    store
        .append(partition, NEVER, inputs[..1].to_vec())
        .await
        .unwrap();
    let full = store.append(partition, NEVER, inputs[..1].to_vec()).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");

    let first = store.read_topic(partition, TopicId::default(), 500, PATIENCE);
    let applied = first.await.unwrap().last().unwrap().id;
    let mut writer = Writer::of(&store, &room).await;
    let mut commit = writer.commit_of(Vec::new());
    commit.to.topic = applied;
    writer.commit(commit).await;
    store
        .append(partition, NEVER, inputs[..500].to_vec())
        .await
        .unwrap();
    let full = store.append(partition, NEVER, inputs[..1].to_vec()).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
}

#[tokio::test]
async fn what_was_applied_is_no_longer_in_the_topic() {
    let store: SharedStore = Embedded::memory(Layout::default());
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let inputs: Vec<_> = (1..=5).map(|n| act(&room, n)).collect();
    store.append(partition, NEVER, inputs).await.unwrap();
    let read = async || {
        store
            .read_topic(partition, TopicId::default(), 9, Duration::ZERO)
            .await
    };
    let all = read().await.unwrap();
    let mut writer = Writer::of(&store, &room).await;
    for applied in [1, 2, 4] {
        let mut commit = writer.commit_of(Vec::new());
        commit.to.topic = all[applied].id;
        writer.commit(commit).await;
        assert_eq!(read().await.unwrap(), all[applied + 1..]);
    }
    // An id is never given twice, even where nothing is left to tell which was the last.
    store
        .append(partition, NEVER, vec![act(&room, 6)])
        .await
        .unwrap();
    assert!(read().await.unwrap()[0].id > all[4].id);
}

#[tokio::test]
async fn e2_rooms_whose_time_ran_out_are_swept_away() {
    let store = Embedded::memory(Layout::default());
    let shared: SharedStore = store.clone();
    let rooms: [_; 100] = neighbours(Layout::default());
    let mut writer = Writer::of(&shared, &rooms[0]).await;
    let fleeting = |room| RoomCommit {
        ttl_ms: Some(60_000),
        wake_ms: Some(1),
        ..more(room, Pos::START, 3)
    };
    let changes = rooms.iter().map(fleeting).collect();
    writer.commit(writer.commit_of(changes)).await;
    writer.write(unchanged(&rooms[0], at(3))).await;
    assert_eq!(store.rooms_stored(), 100);

    store.advance(Duration::from_secs(61));
    // Gone at once for who looks, and before long for good.
    assert_eq!(shared.wakes(writer.partition, 999).await.unwrap().len(), 0);
    let swept = async {
        while store.rooms_stored() > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, swept)
        .await
        .expect("the sweep comes by");
    let kept = shared.load(&rooms[0]).await.unwrap();
    assert_eq!(kept.entries, events(Pos::START, 3));
}
