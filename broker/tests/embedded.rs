//! What the embedded store promises besides what every backend does.

use std::time::Duration;

use outlast_broker::{
    Commit, Committed, Cursor, Deadline, Input, Layout, Leases, Request, RoomCommit, Rooms, Topic,
    TopicId, embedded::Embedded,
};
use outlast_protocol::{Pos, RoomName, Sid};

#[tokio::test]
async fn smoke() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::default();
    let room: RoomName = "chat/a".parse().unwrap();
    let p = layout.partition(&room);
    for round in 0..2u64 {
        let store = Embedded::open(folder.path(), layout).unwrap();
        let input = Input {
            room: room.clone(),
            sid: Sid::now_v7(),
            generation: 1,
            gateway: None,
            request: Request::View,
        };
        let from = store.cursor(p).await.unwrap();
        assert_eq!(from.commits, round);
        store
            .append(p, Deadline(u64::MAX), vec![input.clone()])
            .await
            .unwrap();
        let read = store
            .read_topic(p, from.topic, 9, Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(read.len(), 1);
        let lease = store
            .claim(
                outlast_broker::LeaseName::Partition(p),
                &"a".into(),
                Duration::from_secs(9),
            )
            .await
            .unwrap()
            .unwrap();
        let to = Cursor {
            topic: read[0].id,
            commits: round + 1,
            tag: 7,
        };
        let commit = Commit {
            partition: p,
            epoch: lease.epoch,
            from,
            to,
            rooms: vec![RoomCommit {
                room: room.clone(),
                behind: Pos::START,
                entries: vec![],
                seats: vec![],
                head: Some("{}".into()),
                snapshot: None,
                trim_below: None,
                wake_ms: Some(5),
                ttl_ms: None,
                park: vec![input],
                unpark: false,
                signals: vec![],
            }],
            replies: vec![],
            unread: vec!["x".into()],
        };
        assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
        assert_eq!(store.commit(&commit).await, Ok(Committed::Before));
        assert_eq!(
            store.load(&room).await.unwrap().parked.len() as u64,
            round + 1
        );
        assert_eq!(store.wakes(p, 3).await.unwrap(), [(room.clone(), 5)]);
        assert!(
            store
                .read_topic(p, TopicId::default(), 9, Duration::ZERO)
                .await
                .unwrap()
                .is_empty()
        );
    }
}
