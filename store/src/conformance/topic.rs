use std::time::{Duration, Instant};

use outlast_protocol::{Pos, RoomName, Sid};

use super::{
    Harness,
    fixture::{NEVER, PATIENCE, Writer, act, at, input, json, more, neighbours, room, unchanged},
};
use crate::{
    Deadline, Input, Request, RoomCommit, Seat, SeatRead, StoreError, TopicEntry, TopicId,
};

pub async fn entries_come_back_in_order_behind_a_position(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let inputs: Vec<_> = (1..=7).map(|n| act(&room, n)).collect();
    for chunk in inputs.chunks(3) {
        store
            .append(partition, NEVER, chunk.to_vec())
            .await
            .unwrap();
    }

    let read = async |after, max| {
        store
            .read_topic(partition, after, max, PATIENCE)
            .await
            .unwrap()
    };
    let all = read(TopicId::default(), 100).await;
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(understood(&all), inputs);
    assert_eq!(read(TopicId::default(), 2).await, all[..2]);
    assert_eq!(read(all[1].id, 100).await, all[2..]);
    assert_eq!(read(all[4].id, 1).await, all[5..6]);
}

pub async fn an_append_is_taken_as_a_whole(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let appends = (1..=20).map(|n| {
        let inputs: Vec<_> = (0..5).map(|_| act(&room, n)).collect();
        store.append(partition, NEVER, inputs)
    });
    for append in futures_util::future::join_all(appends).await {
        append.unwrap();
    }

    let all = store.read_topic(partition, TopicId::default(), 1000, PATIENCE);
    let all = understood(&all.await.unwrap());
    assert_eq!(all.len(), 100);
    for append in all.chunks(5) {
        assert!(
            append
                .iter()
                .all(|input| input.request == append[0].request)
        );
    }
}

pub async fn partitions_do_not_mix(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    for partition in store.layout().all_partitions() {
        let inputs = vec![act(&room, u64::from(partition.0))];
        store.append(partition, NEVER, inputs).await.unwrap();
    }
    for partition in store.layout().all_partitions() {
        let read = store.read_topic(partition, TopicId::default(), 9, PATIENCE);
        let requests: Vec<_> = understood(&read.await.unwrap())
            .into_iter()
            .map(|input| input.request)
            .collect();
        assert_eq!(requests, [act(&room, u64::from(partition.0)).request]);
    }
}

pub async fn of_many_appends_at_once_each_has_its_own_answer(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let (now_ms, _) = store.nodes().await.unwrap();
    let partitions: Vec<_> = store.layout().all_partitions().collect();
    let to = |n: u64| partitions[n as usize % partitions.len()];
    let is_late = |n: u64| n.is_multiple_of(7);
    let appends = (0..300).map(|n| {
        let late = Deadline(now_ms - 1);
        let deadline = if is_late(n) { late } else { NEVER };
        // From one input to three.
        let inputs = (0..=n % 3).map(|_| act(&room, n)).collect();
        store.append(to(n), deadline, inputs)
    });
    let answers = futures_util::future::join_all(appends).await;
    for (n, answer) in (0..).zip(answers) {
        let expected = match is_late(n) {
            true => Err(StoreError::TooLate),
            false => Ok(()),
        };
        assert_eq!(answer, expected, "append {n}");
    }

    for partition in &partitions {
        let expected = (0..300).filter(|n| to(*n) == *partition && !is_late(*n));
        let expected = expected.flat_map(|n| (0..=n % 3).map(move |_| n));
        let read = store.read_topic(*partition, TopicId::default(), 1000, PATIENCE);
        let mut read: Vec<_> = understood(&read.await.unwrap())
            .into_iter()
            .map(|input| {
                let Request::Act { n, .. } = input.request else {
                    panic!("{input:?} was never appended");
                };
                n
            })
            .collect();
        // Which of them comes first is nobody's business, and each is whole.
        let mut wholes = read.chunk_by(|a, b| a == b);
        assert!(wholes.all(|whole| whole.len() as u64 == whole[0] % 3 + 1));
        read.sort_unstable();
        assert_eq!(read, expected.collect::<Vec<_>>());
    }
}

pub async fn who_arrives_sees_its_seat_as_of_the_last_commit(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [lobby, empty] = neighbours(store.layout());
    let partition = store.layout().partition(&lobby);
    let arrived = |room: &RoomName| input(room, Request::Arrived);
    let (mine, strangers, nowhere) = (arrived(&lobby), arrived(&lobby), arrived(&empty));
    let all = vec![strangers, mine.clone(), nowhere, mine.clone()];
    let arrive = async |inputs: &[Input]| {
        let arrived = store.arrive(partition, NEVER, inputs.to_vec()).await;
        arrived.unwrap()
    };
    assert_eq!(arrive(&all).await, [None, None, None, None]);

    let mut writer = Writer::of(&store, &lobby).await;
    let mut last = Pos::START;
    for n in 1..=3 {
        let seat = Seat {
            member: Some(4),
            n,
            generation: 2,
            joined: Some(at(1)),
            ..Seat::default()
        };
        let seats = vec![(mine.sid, Some(seat.clone()))];
        let commit = RoomCommit {
            seats,
            ..more(&lobby, last, n)
        };
        last = at(last.off + n);
        writer.write(commit).await;
        let mine = Some(SeatRead { seat, last });
        assert_eq!(arrive(&all).await, [None, mine.clone(), None, mine.clone()]);
    }
    writer
        .write(RoomCommit {
            seats: vec![(mine.sid, None)],
            ..unchanged(&lobby, last)
        })
        .await;
    assert_eq!(arrive(&all).await, [None, None, None, None]);

    // And all of them were appended.
    let read = store.read_topic(partition, writer.cursor.topic, 99, PATIENCE);
    let read = understood(&read.await.unwrap());
    assert_eq!(read[read.len() - 4..], all);
    let late = store.arrive(partition, Deadline(1), all.clone()).await;
    assert_eq!(late, Err(StoreError::TooLate));
}

pub async fn of_many_who_arrive_at_once_each_sees_its_own_seat(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [lobby] = neighbours(store.layout());
    let partition = store.layout().partition(&lobby);
    let inputs: Vec<_> = (0..200).map(|n| act(&lobby, n)).collect();
    let seat = |n: u64| Seat {
        n,
        ..Seat::default()
    };
    let seats = (0..)
        .zip(&inputs)
        .map(|(n, input)| (input.sid, Some(seat(n))));
    let mut writer = Writer::of(&store, &lobby).await;
    writer
        .write(RoomCommit {
            seats: seats.collect(),
            ..more(&lobby, Pos::START, 5)
        })
        .await;
    // Every third only appends, and some bring two at a time.
    let asks = inputs.chunks(2).zip(0..).map(|(some, ask)| {
        let store = &store;
        async move {
            match ask % 3 {
                0 => store
                    .append(partition, NEVER, some.to_vec())
                    .await
                    .map(|()| Vec::new()),
                1 => store.arrive(partition, NEVER, some[..1].to_vec()).await,
                _ => store.arrive(partition, NEVER, some.to_vec()).await,
            }
        }
    });
    let answers = futures_util::future::join_all(asks).await;
    for (ask, answer) in answers.into_iter().enumerate() {
        let standing = |n: usize| {
            let (seat, last) = (seat(n as u64), at(5));
            Some(SeatRead { seat, last })
        };
        let expected = match ask % 3 {
            0 => vec![],
            1 => vec![standing(2 * ask)],
            _ => vec![standing(2 * ask), standing(2 * ask + 1)],
        };
        assert_eq!(answer, Ok(expected), "ask {ask}");
    }
}

pub async fn a_read_waits_for_the_next_entry(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let mut after = TopicId::default();
    for n in 1..=20 {
        let appender = harness.connect().await;
        let input = act(&room, n);
        let append = async {
            if n % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            appender.append(partition, NEVER, vec![input.clone()]).await
        };
        let read = store.read_topic(partition, after, 10, PATIENCE);
        let started = Instant::now();
        let (read, appended) = tokio::join!(read, append);
        appended.unwrap();
        let read = read.unwrap();
        assert!(started.elapsed() < PATIENCE / 2, "the read slept on");
        assert_eq!(understood(&read), [input]);
        after = read[0].id;
    }
}

pub async fn a_read_that_waits_in_vain_is_empty(harness: &dyn Harness) {
    let store = harness.connect().await;
    let partition = store.layout().partition(&room("chat/lobby"));
    for wait in [Duration::ZERO, Duration::from_millis(50)] {
        let started = Instant::now();
        let read = store.read_topic(partition, TopicId::default(), 9, wait);
        assert_eq!(read.await, Ok(Vec::new()));
        assert!(started.elapsed() >= wait);
    }
}

pub async fn s6_an_append_behind_its_deadline_is_too_late(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let (now_ms, _) = store.nodes().await.unwrap();
    let deadline = Deadline(now_ms + 600_000);

    let in_time = store.append(partition, deadline, vec![act(&room, 1)]);
    assert_eq!(in_time.await, Ok(()));
    let late = vec![act(&room, 2), act(&room, 3)];
    let late = store.append(partition, Deadline(now_ms - 1), late).await;
    assert_eq!(late, Err(StoreError::TooLate));

    let read = store.read_topic(partition, TopicId::default(), 9, PATIENCE);
    assert_eq!(read.await.unwrap().len(), 1);
}

pub async fn w6_an_entry_that_cannot_be_read_comes_as_its_text(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let partition = store.layout().partition(&room);
    let text = r#"{"room":"chat/lobby","do":{"frobnicate":{}}}"#;
    let before = act(&room, 1);
    store
        .append(partition, NEVER, vec![before.clone()])
        .await
        .unwrap();
    harness.append_text(partition, text).await;
    let behind = act(&room, 2);
    store
        .append(partition, NEVER, vec![behind.clone()])
        .await
        .unwrap();

    let read = store.read_topic(partition, TopicId::default(), 9, PATIENCE);
    let read: Vec<_> = read.await.unwrap().into_iter().map(|e| e.input).collect();
    assert_eq!(read, [Ok(before), Err(text.to_owned()), Ok(behind)]);
}

pub async fn unusual_inputs_come_back_as_they_were(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("a.b_c-0/9");
    let partition = store.layout().partition(&room);
    let data =
        json("{\n\"\u{1f980}\\u0000\" :\t[1.50e300,9007199254740993,-0.0,\"a\\nb\\\"c\\\\\"]}");
    let requests = [
        Request::Join {
            n: 1,
            user: "Zoë \"x\"\n\u{0}".into(),
            data: None,
        },
        Request::Join {
            n: 1,
            user: String::new(),
            data: Some(json("false")),
        },
        Request::Act {
            n: u64::MAX >> 11,
            data: data.clone(),
        },
        Request::Leave { n: 3 },
        Request::Attached { view: true },
        Request::Arrived,
        Request::View,
        Request::Detached,
        Request::Over {
            reason: "expired".into(),
        },
    ];
    let mut inputs: Vec<_> = requests.map(|request| input(&room, request)).into();
    inputs[2].gateway = None;
    inputs[2].sid = Sid::max();
    store
        .append(partition, NEVER, inputs.clone())
        .await
        .unwrap();

    let read = store.read_topic(partition, TopicId::default(), 99, PATIENCE);
    let read = understood(&read.await.unwrap());
    for (read, written) in read.iter().zip(&inputs) {
        // Written so, because payloads are equal as values already.
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
    }
    assert_eq!(read.len(), inputs.len());
}

/// Returns the inputs of entries, every one of which can be read.
fn understood(entries: &[TopicEntry]) -> Vec<crate::Input> {
    let inputs = entries.iter().map(|entry| entry.input.clone());
    inputs.collect::<Result<_, _>>().unwrap()
}
