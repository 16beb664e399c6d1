//! The store against the simplest thing that could be one, under random commits and writes.

use std::collections::BTreeMap;

use outlast_protocol::{Pos, RoomName, Sid};
use rand::{RngExt, rngs::StdRng};

use super::{
    Harness,
    fixture::{Writer, act, at, events, json, neighbours, seeded},
};
use crate::{
    Commit, Committed, Entry, Group, Input, LogSlice, NodeId, RecordWrite, RoomCommit, RoomLoad,
    Seat, SharedStore, Snapshot, StoreError, WriteOutcome,
};

const STEPS: usize = 250;

pub async fn w2_rooms_are_what_their_commits_made_of_them(harness: &dyn Harness) {
    let store = harness.connect().await;
    let mut random = seeded();
    let rooms: [RoomName; 3] = neighbours(store.layout());
    let mut model: BTreeMap<_, _> = rooms.clone().map(|room| (room, Room::default())).into();
    let mut writer = Writer::of(&store, &rooms[0]).await;
    for _ in 0..STEPS {
        let mut changes = Vec::new();
        for (name, room) in &model {
            if random.random_ratio(1, 2) {
                changes.push(room.any_change(name, &mut random));
            }
        }
        let mut commit = writer.commit_of(changes);
        if random.random_ratio(1, 8) {
            spoil(&mut commit, &mut random);
            let answer = store.commit(&commit).await;
            let refused = matches!(
                answer,
                Err(StoreError::Moved(_) | StoreError::Fenced { .. })
            );
            assert!(refused, "{answer:?} to {commit:?}");
        } else {
            for change in &commit.rooms {
                let room = model.get_mut(&change.room).unwrap();
                room.apply(change);
            }
            writer.commit(commit.clone()).await;
            if random.random_ratio(1, 8) {
                assert_eq!(store.commit(&commit).await, Ok(Committed::Before));
            }
        }
        for (name, room) in &model {
            room.check(&store, name, &mut random).await;
        }
        let mut wakes: Vec<_> = model
            .iter()
            .filter_map(|(n, r)| Some((n.clone(), r.wake_ms?)))
            .collect();
        wakes.sort_by_key(|(_, wake_ms)| *wake_ms);
        assert_eq!(store.wakes(writer.partition, 9).await, Ok(wakes));
    }
}

/// Makes one thing wrong with a commit.
fn spoil(commit: &mut Commit, random: &mut StdRng) {
    match (random.random_range(0..3), commit.rooms.last_mut()) {
        (0, Some(last)) => last.prev.tag += 1,
        (1, _) => commit.epoch -= 1,
        (_, _) => commit.from.commits += 1,
    }
}

/// A room, as plainly as can be.
#[derive(Debug, Default)]
struct Room {
    log: Vec<Entry>,
    last: Pos,
    snapshot: Option<Snapshot>,
    seats: BTreeMap<Sid, Seat>,
    head: Option<String>,
    wake_ms: Option<u64>,
    parked: Vec<Input>,
}

impl Room {
    fn any_change(&self, room: &RoomName, random: &mut StdRng) -> RoomCommit {
        let count = random.random_range(0..5) * random.random_range(0..2);
        let end = self.last.off + count;
        let mut seats = Vec::new();
        for sid in [1, 2, 3, 4].map(Sid::from_u128) {
            let n = random.random_range(1..1_000);
            let seat = Seat {
                n,
                ..Seat::default()
            };
            if random.random_ratio(1, 3) {
                seats.push((sid, random.random_ratio(2, 3).then_some(seat)));
            }
        }
        let parked = (0..random.random_range(0..3)).map(|n| act(room, n));
        RoomCommit {
            room: room.clone(),
            prev: self.last,
            entries: events(self.last, count),
            seats,
            park: parked.collect(),
            unpark: random.random_ratio(1, 3),
            head: random.random_ratio(1, 3).then(|| end.to_string()),
            snapshot: random.random_ratio(1, 4).then(|| Snapshot {
                pos: at(end),
                version: 1,
                state: json(&end.to_string()),
            }),
            trim_below: random
                .random_ratio(1, 4)
                .then(|| random.random_range(0..end + 3)),
            // No two alike, so that there is one order.
            wake_ms: random
                .random_ratio(1, 2)
                .then(|| random.random_range(1..1 << 40)),
            ttl_ms: random.random_ratio(1, 2).then_some(60_000),
            signals: Vec::new(),
        }
    }

    fn apply(&mut self, change: &RoomCommit) {
        self.log.extend(change.entries.iter().cloned());
        self.last = self.log.last().map_or(Pos::START, |entry| entry.pos);
        let below = change.trim_below.unwrap_or(0).min(self.last.off);
        self.log.retain(|entry| entry.pos.off >= below);
        for (sid, seat) in &change.seats {
            match seat {
                Some(seat) => self.seats.insert(*sid, seat.clone()),
                None => self.seats.remove(sid),
            };
        }
        if change.unpark {
            self.parked.clear();
        }
        self.parked.extend(change.park.iter().cloned());
        self.head = change.head.clone().or(self.head.take());
        self.snapshot = change.snapshot.clone().or(self.snapshot.take());
        self.wake_ms = change.wake_ms;
    }

    async fn check(&self, store: &SharedStore, name: &RoomName, random: &mut StdRng) {
        let from = |off| {
            self.log
                .iter()
                .filter(move |entry| entry.pos.off >= off)
                .cloned()
        };
        let first_off = self.log.first().map_or(0, |entry| entry.pos.off);
        let stretch = |entries| LogSlice {
            entries,
            first_off,
            last: self.last,
        };
        let mut loaded = store.load(name).await.unwrap();
        loaded.seats.sort_by_key(|(sid, _)| *sid);
        let behind = self
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.pos.off);
        let expected = RoomLoad {
            snapshot: self.snapshot.clone(),
            entries: from(behind + 1).collect(),
            last: self.last,
            first_off,
            seats: self.seats.clone().into_iter().collect(),
            head: self.head.clone(),
            parked: self.parked.clone(),
        };
        assert_eq!(loaded, expected);

        let off = random.random_range(0..self.last.off + 3);
        let max = random.random_range(1..20);
        let read = store.read_log(name, off, max).await;
        assert_eq!(read, Ok(stretch(from(off).take(max).collect())));
        let tail = self.log.len().saturating_sub(max);
        let read = store.read_tail(name, max).await;
        assert_eq!(read, Ok(stretch(self.log[tail..].to_vec())));
    }
}

pub async fn s3_records_and_their_indexes_are_what_the_writes_made_of_them(harness: &dyn Harness) {
    let store = harness.connect().await;
    let mut random = seeded();
    let layout = store.layout();
    let shard = layout.shard_of_user("ada");
    let sids: [Sid; 6] = std::array::from_fn(|_| layout.place(Sid::now_v7(), "ada"));
    let mut model = BTreeMap::<Sid, (u64, RecordWrite)>::new();
    for _ in 0..STEPS {
        let sid = sids[random.random_range(0..sids.len())];
        let version = model.get(&sid).map_or(0, |(version, _)| *version);
        let write = RecordWrite {
            sid,
            expect: if random.random_ratio(1, 8) {
                version + 1
            } else {
                version
            },
            value: (version == 0 || random.random_ratio(2, 3)).then(|| "value".into()),
            due_ms: random
                .random_ratio(1, 2)
                .then(|| random.random_range(1..1 << 40)),
            owner: any_of(["one", "two", "three"], &mut random).map(NodeId::from),
            group: any_of(["a", "b"], &mut random).map(|name| Group {
                name: name.into(),
                max: 2,
            }),
        };

        let in_group = |group: &Group| {
            let groups = model.values().filter_map(|(_, write)| write.group.as_ref());
            groups.filter(|other| other.name == group.name).count()
        };
        let full = write
            .group
            .as_ref()
            .is_some_and(|group| in_group(group) >= group.max);
        let expected = match version {
            _ if write.expect != version => WriteOutcome::Conflict,
            0 if full => WriteOutcome::GroupFull,
            version => WriteOutcome::Done {
                version: version + 1,
            },
        };
        assert_eq!(
            store.write(shard, write.clone()).await,
            Ok(expected.clone())
        );
        if let WriteOutcome::Done { version } = expected {
            match write.value {
                Some(_) => model.insert(sid, (version, write)),
                None => model.remove(&sid),
            };
        }

        for sid in &sids {
            let record = store.read(shard, sid).await.unwrap().record;
            let expected = model.get(sid).map(|(version, _)| *version);
            assert_eq!(record.map(|record| record.version), expected);
        }
        let writes = || model.values().map(|(_, write)| write);
        let mut due: Vec<_> = writes()
            .filter_map(|write| Some((write.due_ms?, write.sid)))
            .collect();
        due.sort();
        let due: Vec<_> = due.into_iter().map(|(_, sid)| sid).collect();
        assert_eq!(store.due(shard, 99).await, Ok(due));
        for owner in ["one", "two", "three"].map(NodeId::from) {
            let mut owned = store.owned(shard, &owner, 99).await.unwrap();
            owned.sort();
            let owns = writes().filter(|write| write.owner.as_ref() == Some(&owner));
            assert_eq!(owned, owns.map(|write| write.sid).collect::<Vec<_>>());
            let owners = store.owners(shard).await.unwrap();
            assert_eq!(owners.contains(&owner), !owned.is_empty());
        }
    }
}

fn any_of<const N: usize>(names: [&'static str; N], random: &mut StdRng) -> Option<&'static str> {
    names.get(random.random_range(0..=N)).copied()
}
