use outlast_protocol::{Pos, Sid};

use super::{
    Harness,
    fixture::{Writer, act, at, event, events, json, more, neighbours, room, unchanged},
};
use crate::{
    Body, Entry, LogSlice, Outcome, OutcomeBody, RoomCommit, RoomLoad, Seat, SharedStore, Snapshot,
};

pub async fn a_room_that_was_never_written_is_empty(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/nobody");
    assert_eq!(store.load(&room).await, Ok(RoomLoad::default()));
    assert_eq!(store.read_log(&room, 0, 9).await, Ok(LogSlice::default()));
    assert_eq!(store.read_tail(&room, 9).await, Ok(LogSlice::default()));
    let partition = store.layout().partition(&room);
    assert_eq!(store.wakes(partition, 9).await, Ok(Vec::new()));
}

pub async fn w3_a_room_loads_as_its_snapshot_and_what_is_behind_it(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [room, neighbour] = neighbours(store.layout());
    let mut writer = Writer::of(&store, &room).await;
    writer.write(more(&room, Pos::START, 5)).await;
    writer.write(more(&neighbour, Pos::START, 2)).await;
    let loaded = store.load(&room).await.unwrap();
    assert_eq!(loaded.entries, events(Pos::START, 5));
    assert_eq!((loaded.last, loaded.first_off), (at(5), 1));
    assert_eq!(loaded.snapshot, None);

    let seat = full_seat();
    let change = RoomCommit {
        seats: vec![(Sid::max(), Some(seat.clone()))],
        head: Some("{\"members\":1}".into()),
        snapshot: Some(snapshot(7)),
        trim_below: Some(3),
        park: vec![act(&room, 1), act(&room, 2)],
        ..more(&room, at(5), 5)
    };
    writer.write(change.clone()).await;
    let expected = RoomLoad {
        snapshot: Some(snapshot(7)),
        entries: events(at(7), 3),
        last: at(10),
        first_off: 3,
        seats: vec![(Sid::max(), seat)],
        head: change.head,
        parked: change.park,
    };
    assert_eq!(store.load(&room).await, Ok(expected.clone()));

    // What a commit does not name stays; a newer snapshot takes the place of the older.
    writer
        .write(RoomCommit {
            snapshot: Some(snapshot(10)),
            ..unchanged(&room, at(10))
        })
        .await;
    let expected = RoomLoad {
        snapshot: Some(snapshot(10)),
        entries: Vec::new(),
        ..expected
    };
    assert_eq!(store.load(&room).await, Ok(expected));
    assert_eq!(
        store.load(&neighbour).await.unwrap().entries,
        events(Pos::START, 2)
    );
}

pub async fn w3_everything_of_a_room_is_of_one_moment(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let mut writer = Writer::of(&a, &room).await;
    const ROUNDS: u64 = 60;
    let write = async {
        for round in 1..=ROUNDS {
            let behind = at((round - 1) * 3);
            let end = behind.off + 3;
            let seat = Seat {
                n: end,
                ..Seat::default()
            };
            let change = RoomCommit {
                seats: vec![(Sid::nil(), Some(seat))],
                head: Some(end.to_string()),
                snapshot: (round % 4 == 0).then(|| snapshot(end - 1)),
                trim_below: Some(end.saturating_sub(4)),
                park: vec![act(&room, end)],
                unpark: true,
                ..more(&room, behind, 3)
            };
            writer.write(change).await;
        }
    };
    let read = async {
        let mut last = 0;
        while last < ROUNDS * 3 {
            let loaded = b.load(&room).await.unwrap();
            assert!(loaded.last.off >= last, "a room never goes back");
            last = loaded.last.off;
            if last == 0 {
                assert_eq!(loaded, RoomLoad::default());
                continue;
            }
            assert_eq!(loaded.head, Some(last.to_string()));
            assert_eq!(loaded.seats[0].1.n, last);
            assert_eq!(loaded.parked.len(), 1);
            assert_eq!(loaded.first_off, last.saturating_sub(4).max(1));
            let snapshot = loaded.snapshot.map_or(0, |snapshot| snapshot.pos.off);
            let from = snapshot.max(loaded.first_off - 1);
            assert_eq!(loaded.entries, events(at(from), last - from));

            let stretch = b.read_log(&room, 0, 99).await.unwrap();
            let (first, end) = (stretch.first_off, stretch.last.off);
            assert_eq!(stretch.entries, events(at(first - 1), end + 1 - first));
        }
    };
    tokio::join!(write, read);
}

pub async fn a1_seats_are_replaced_and_forgotten(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [room, neighbour] = neighbours(store.layout());
    let mut writer = Writer::of(&store, &room).await;
    let sids: [Sid; 3] = std::array::from_fn(|_| Sid::now_v7());
    let seat = |n| Seat { n, ..full_seat() };
    let seats = async |store: &SharedStore| {
        let mut seats = store.load(&room).await.unwrap().seats;
        seats.sort_by_key(|(sid, _)| *sid);
        seats
    };

    let all = sids.map(|sid| (sid, Some(seat(1))));
    writer
        .write(RoomCommit {
            seats: all.into(),
            ..unchanged(&neighbour, Pos::START)
        })
        .await;
    let all = sids.map(|sid| (sid, Some(seat(1))));
    writer
        .write(RoomCommit {
            seats: all.into(),
            ..unchanged(&room, Pos::START)
        })
        .await;
    assert_eq!(seats(&store).await, sids.map(|sid| (sid, seat(1))));

    let some = vec![
        (sids[0], None),
        (sids[2], Some(seat(2))),
        (Sid::nil(), None),
    ];
    writer
        .write(RoomCommit {
            seats: some,
            ..unchanged(&room, Pos::START)
        })
        .await;
    assert_eq!(
        seats(&store).await,
        [(sids[1], seat(1)), (sids[2], seat(2))]
    );
    assert_eq!(store.load(&neighbour).await.unwrap().seats.len(), 3);
}

pub async fn e1_a_log_is_read_from_where_one_stands(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [room, neighbour] = neighbours(store.layout());
    let mut writer = Writer::of(&store, &room).await;
    writer.write(more(&neighbour, Pos::START, 30)).await;
    writer.write(more(&room, Pos::START, 12)).await;
    let stretch = |behind, count| LogSlice {
        entries: events(at(behind), count),
        first_off: 1,
        last: at(12),
    };
    for (from, max, behind, count) in [
        (0, 99, 0, 12),
        (1, 99, 0, 12),
        (4, 3, 3, 3),
        (10, 9, 9, 3),
        (12, 1, 11, 1),
        (13, 9, 12, 0),
        (1_000, 9, 12, 0),
    ] {
        let read = store.read_log(&room, from, max).await.unwrap();
        assert_eq!(read, stretch(behind, count), "{max} from {from}");
    }
    for (max, behind, count) in [(1, 11, 1), (5, 7, 5), (12, 0, 12), (99, 0, 12)] {
        let read = store.read_tail(&room, max).await.unwrap();
        assert_eq!(read, stretch(behind, count), "the last {max}");
    }
}

pub async fn w6_inputs_are_parked_and_taken_up(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let mut writer = Writer::of(&store, &room).await;
    let inputs: Vec<_> = (1..=5).map(|n| act(&room, n)).collect();
    let park = |inputs: &[_], unpark| RoomCommit {
        park: inputs.to_vec(),
        unpark,
        ..unchanged(&room, Pos::START)
    };
    let parked = async || {
        let parked = store.parked(&room).await.unwrap();
        assert_eq!(store.load(&room).await.unwrap().parked, parked);
        parked
    };
    assert_eq!(parked().await, []);

    writer.write(park(&inputs[..2], false)).await;
    writer.write(park(&inputs[2..3], false)).await;
    assert_eq!(parked().await, inputs[..3]);
    writer.write(park(&inputs[3..], true)).await;
    assert_eq!(parked().await, inputs[3..]);
    writer.write(park(&[], true)).await;
    assert_eq!(parked().await, []);
}

pub async fn rooms_wake_the_earliest_first(harness: &dyn Harness) {
    let store = harness.connect().await;
    let rooms: [_; 4] = neighbours(store.layout());
    let [a, b, c, d] = &rooms;
    let mut writer = Writer::of(&store, a).await;
    let wake = |room, wake_ms| RoomCommit {
        wake_ms,
        ..unchanged(room, Pos::START)
    };
    let wakes = async |max| store.wakes(store.layout().partition(a), max).await.unwrap();

    let soon = vec![
        wake(a, Some(3_000)),
        wake(b, Some(1_000)),
        wake(c, Some(2_000)),
        wake(d, None),
    ];
    writer.commit(writer.commit_of(soon)).await;
    let expected = [(b.clone(), 1_000), (c.clone(), 2_000), (a.clone(), 3_000)];
    assert_eq!(wakes(9).await, expected);
    assert_eq!(wakes(2).await, expected[..2]);

    writer.write(wake(b, Some(9_000_000_000_000))).await;
    writer.write(wake(c, None)).await;
    assert_eq!(
        wakes(9).await,
        [(a.clone(), 3_000), (b.clone(), 9_000_000_000_000)]
    );
    for partition in store.layout().all_partitions() {
        if partition != writer.partition {
            assert_eq!(store.wakes(partition, 9).await, Ok(Vec::new()));
        }
    }
}

pub async fn unusual_payloads_come_back_as_they_were(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("a.b_c-0/9");
    let mut writer = Writer::of(&store, &room).await;
    let text = "{\n\"\u{1f980}\\u0000\" :\t[1.50e300,9007199254740993,-0.0,\"a\\nb\\\"c\\\\\",{}]}";
    let result = Body::Result {
        to: u32::MAX,
        n: 1 << 52,
        ok: false,
        data: Some(json(text)),
        code: Some("\"\n\u{0}".into()),
        message: Some(String::new()),
        kept: Some(json("null")),
    };
    let notice = Body::Notice {
        to: 1,
        data: json("null"),
    };
    let entries = vec![
        event(1, json(text)),
        Entry {
            body: result,
            ..event(2, json("1"))
        },
        Entry {
            body: notice,
            ..event(3, json("1"))
        },
    ];
    let change = RoomCommit {
        entries,
        seats: vec![(Sid::max(), Some(full_seat()))],
        head: Some("\u{0}\n{\"é\":'}".into()),
        snapshot: Some(Snapshot {
            state: json(text),
            ..snapshot(1)
        }),
        park: vec![act(&room, u64::MAX >> 11)],
        ..unchanged(&room, Pos::START)
    };
    writer.write(change.clone()).await;

    // Written so, because payloads are equal as values already.
    let read = store.read_log(&room, 0, 9).await.unwrap();
    assert_eq!(
        format!("{:?}", read.entries),
        format!("{:?}", change.entries)
    );
    let loaded = store.load(&room).await.unwrap();
    assert_eq!(
        format!("{:?}", loaded.snapshot),
        format!("{:?}", change.snapshot)
    );
    assert_eq!(loaded.seats, [(Sid::max(), full_seat())]);
    assert_eq!(loaded.head, change.head);
    assert_eq!(loaded.parked, change.park);
}

pub(super) fn snapshot(off: u64) -> Snapshot {
    let state = json(&format!("{{\"at\":{off}}}"));
    Snapshot {
        pos: at(off),
        version: 2,
        state,
    }
}

/// A seat with nothing left at its default.
pub(super) fn full_seat() -> Seat {
    let outcome = |n, body| Outcome {
        n,
        pos: at(n),
        body,
    };
    let refused = OutcomeBody::Refused {
        code: "full".into(),
        message: "\"no\"\n".into(),
    };
    Seat {
        member: Some(7),
        n: 12,
        settled_off: Some(14),
        generation: 3,
        joined: Some(at(2)),
        away: true,
        over_at: Some(9_000_000_000_000),
        at: 1_700_000_000_000,
        outcomes: vec![
            outcome(
                11,
                OutcomeBody::Left {
                    reason: "left".into(),
                },
            ),
            outcome(12, refused),
        ],
    }
}
