//! Requests that share a round trip.

use futures_util::future::join_all;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Announcements, Input, NodeId, Nudge, PartitionId, RecordWrite, Records, StoreError, StoreEvent,
    Topic, TopicId, WriteOutcome,
};
use outlast_testkit::{PATIENCE, RedisServer};

use crate::scene::{ANY_TIME, LAYOUT, connect, input, new_record, partition};

#[tokio::test]
async fn a_record_that_cannot_be_read_is_nobody_elses_error() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let records: [RecordWrite; 9] = std::array::from_fn(|_| new_record());
    let broken = &records[4].sid;
    let shard = LAYOUT.shard(broken);
    let key = format!("ol:{{s{}}}:session:{broken}", shard.0);
    server.run::<()>(&["SET", &key, "no hash"]);

    let writes = records
        .iter()
        .map(|write| store.write(shard, write.clone()));
    let written = join_all(writes).await;
    let reads = records.iter().map(|write| store.read(shard, &write.sid));
    let reads = join_all(reads).await;
    for (write, (written, read)) in records.iter().zip(written.into_iter().zip(reads)) {
        if write.sid == *broken {
            assert!(is_wrong_type(&written.unwrap_err()));
            assert!(is_wrong_type(&read.unwrap_err()));
        } else {
            assert_eq!(written, Ok(WriteOutcome::Done { version: 1 }));
            assert_eq!(read.unwrap().record.unwrap().version, 1);
        }
    }
}

#[tokio::test]
async fn w6_a_seat_that_cannot_be_read_is_as_good_as_none() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let (strange, known) = (input(), input());
    let key = format!("ol:{{p{}}}:room:{}", partition().0, strange.room);
    let (strange_field, known_field) = (
        format!("seat:{}", strange.sid),
        format!("seat:{}", known.sid),
    );
    let seats = [
        &strange_field,
        r#"{"n":"seven"}"#,
        &known_field,
        r#"{"n":7}"#,
    ];
    server.run::<()>(&[&["HSET", &key][..], &seats].concat());
    let arrived = store.arrive(partition(), ANY_TIME, vec![strange, known]);
    let seen: Vec<_> = arrived.await.unwrap();
    let numbers = seen.into_iter().map(|seen| seen.map(|seen| seen.seat.n));
    assert_eq!(numbers.collect::<Vec<_>>(), [None, Some(7)]);
}

#[tokio::test]
async fn a_topic_that_cannot_be_read_is_nobody_elses_error() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let broken = PartitionId(2);
    server.run::<()>(&["SET", "ol:{p2}:topic", "no stream"]);

    let partitions: Vec<_> = LAYOUT.all_partitions().collect();
    let appends = partitions
        .iter()
        .map(|partition| store.append(*partition, ANY_TIME, vec![said(*partition)]));
    let appended = join_all(appends).await;
    for (partition, appended) in partitions.into_iter().zip(appended) {
        if partition == broken {
            assert!(is_wrong_type(&appended.unwrap_err()));
            continue;
        }
        assert_eq!(appended, Ok(()));
        let read = store.read_topic(partition, TopicId::default(), 9, PATIENCE);
        assert_eq!(read.await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn nudges_that_share_a_round_trip_reach_whom_they_are_meant_for_in_order() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let names = ["one", "two"].map(NodeId::from);
    let (_one, mut one) = store.listen(&names[0]).await.unwrap();
    let (_two, mut two) = store.listen(&names[1]).await.unwrap();
    let sid = Sid::now_v7();
    let taken = |generation| Nudge::TakenOver { sid, generation };
    let nudges: Vec<_> = (0..60).map(taken).collect();
    let said = nudges
        .iter()
        .zip(names.iter().cycle())
        .map(|(nudge, to)| store.nudge(Some(to), nudge));
    assert!(join_all(said).await.iter().all(Result::is_ok));
    for generation in 0..60 {
        let listener = if generation % 2 == 0 {
            &mut one
        } else {
            &mut two
        };
        let heard = tokio::time::timeout(PATIENCE, listener.next()).await;
        assert_eq!(heard, Ok(StoreEvent::Nudge(taken(generation))));
    }
}

fn said(PartitionId(p): PartitionId) -> Input {
    let room: RoomName = format!("chat/{p}").parse().unwrap();
    let sid = Sid::now_v7();
    Input {
        room,
        sid,
        ..input()
    }
}

fn is_wrong_type(error: &StoreError) -> bool {
    error.to_string().contains("WRONGTYPE")
}
