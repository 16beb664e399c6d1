use async_trait::async_trait;
use outlast_protocol::{Payload, Pos, RoomName, Sid};
use redb::ReadTransaction;

use super::{
    Embedded,
    commit::{DoCommit, read_cursor},
    error::{WriteError, json},
    room::{RoomRow, room_name},
    tables::{CURSORS, LOG, PARKED, ROOMS, SEATS, SNAPSHOTS, UNREAD, WAKES},
};
use crate::{
    Commit, Committed, Cursor, Entry, Input, LogSlice, PartitionId, RoomLoad, Rooms, Seat,
    Snapshot, StoreError,
};

#[async_trait]
impl Rooms for Embedded {
    async fn cursor(&self, partition: PartitionId) -> Result<Cursor, StoreError> {
        let read = |txn: &ReadTransaction| read_cursor(&txn.open_table(CURSORS)?, partition);
        self.look(read).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        self.writer.run(DoCommit(commit.clone())).await
    }

    async fn load(&self, room: &RoomName) -> Result<RoomLoad, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        self.look(|txn| load(txn, room, now_ms)).await
    }

    async fn unread(
        &self,
        PartitionId(p): PartitionId,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, StoreError> {
        self.look(|txn| {
            let unread = txn.open_table(UNREAD)?;
            let found = unread.range((p, 0)..=(p, u64::MAX))?;
            let kept = found.take(max).map(|kept| {
                let (_, text) = kept?;
                let text = text.value();
                Ok(serde_json::from_str(text).map_err(|_| text.to_owned()))
            });
            kept.collect()
        })
        .await
    }

    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        self.look(|txn| {
            let row = RoomRow::read(&txn.open_table(ROOMS)?, room, now_ms)?;
            if row.is_none() {
                return Ok(Vec::new());
            }
            let parked = txn.open_table(PARKED)?;
            let found = parked.range((room.as_str(), 0)..=(room.as_str(), u64::MAX))?;
            let mut inputs = Vec::new();
            for input in found {
                let (_, text) = input?;
                inputs.extend(json::read(room.as_str(), text.value()).ok());
            }
            Ok(inputs)
        })
        .await
    }

    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        self.read_stretch(room, |row| (from_off.max(row.first_off), max))
            .await
    }

    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<LogSlice, StoreError> {
        self.read_stretch(room, |row| {
            let before_tail = row.last.off.saturating_sub(max as u64);
            (row.first_off.max(before_tail + 1), max)
        })
        .await
    }

    async fn wakes(
        &self,
        PartitionId(p): PartitionId,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        self.look(|txn| {
            let rooms = txn.open_table(ROOMS)?;
            let wakes = txn.open_table(WAKES)?;
            let mut found = Vec::new();
            for wake in wakes.range((p, 0, "")..(p + 1, 0, ""))? {
                if found.len() == max {
                    break;
                }
                let (key, ()) = wake.map(|(key, value)| (key, value.value()))?;
                let (_, ms, room) = key.value();
                let room = room_name(room)?;
                if RoomRow::read(&rooms, &room, now_ms)?.is_some() {
                    found.push((room, ms));
                }
            }
            Ok(found)
        })
        .await
    }
}

impl Embedded {
    /// Reads entries of a log, from where on and how many being a matter of how the room stands.
    async fn read_stretch(
        &self,
        room: &RoomName,
        which: impl FnOnce(&RoomRow) -> (u64, usize) + Send,
    ) -> Result<LogSlice, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        self.look(|txn| {
            let Some(row) = RoomRow::read(&txn.open_table(ROOMS)?, room, now_ms)? else {
                return Ok(LogSlice::default());
            };
            let (from_off, max) = which(&row);
            Ok(LogSlice {
                entries: entries(txn, room, from_off, max)?,
                first_off: first_off(txn, room)?,
                last: row.last,
            })
        })
        .await
    }
}

fn load(txn: &ReadTransaction, room: &RoomName, now_ms: u64) -> Result<RoomLoad, WriteError> {
    let Some(row) = RoomRow::read(&txn.open_table(ROOMS)?, room, now_ms)? else {
        return Ok(RoomLoad::default());
    };
    let snapshot = snapshot(txn, room)?;
    let behind = snapshot.as_ref().map_or(0, |snapshot| snapshot.pos.off);
    Ok(RoomLoad {
        entries: entries(txn, room, behind + 1, usize::MAX)?,
        snapshot,
        last: row.last,
        first_off: first_off(txn, room)?,
        seats: seats(txn, room)?,
        head: row.head,
        parked: parked(txn, room)?,
    })
}

fn snapshot(txn: &ReadTransaction, room: &RoomName) -> Result<Option<Snapshot>, WriteError> {
    let snapshots = txn.open_table(SNAPSHOTS)?;
    let Some(snapshot) = snapshots.get(room.as_str())? else {
        return Ok(None);
    };
    let (off, tag, version, state) = snapshot.value();
    let state = Payload::from_json(state.to_owned())
        .map_err(|error| StoreError::Unreadable(format!("the snapshot of {room}: {error}")))?;
    let pos = Pos { off, tag };
    Ok(Some(Snapshot {
        pos,
        version,
        state,
    }))
}

fn entries(
    txn: &ReadTransaction,
    room: &RoomName,
    from_off: u64,
    max: usize,
) -> Result<Vec<Entry>, WriteError> {
    let log = txn.open_table(LOG)?;
    let found = log.range((room.as_str(), from_off)..=(room.as_str(), u64::MAX))?;
    let entries = found.take(max).map(|entry| {
        let (_, text) = entry?;
        Ok(json::read(room.as_str(), text.value())?)
    });
    entries.collect()
}

/// The first `off` that the log holds; what the room's row says of it may be lost (W14).
fn first_off(txn: &ReadTransaction, room: &RoomName) -> Result<u64, WriteError> {
    let log = txn.open_table(LOG)?;
    let first = log
        .range((room.as_str(), 0)..=(room.as_str(), u64::MAX))?
        .next();
    Ok(first.transpose()?.map_or(0, |(key, _)| key.value().1))
}

fn seats(txn: &ReadTransaction, room: &RoomName) -> Result<Vec<(Sid, Seat)>, WriteError> {
    let seats = txn.open_table(SEATS)?;
    let found = seats.range((room.as_str(), 0)..=(room.as_str(), u128::MAX))?;
    let seats = found.map(|seat| {
        let (key, text) = seat?;
        let seat = json::read(room.as_str(), text.value())?;
        Ok((Sid::from_u128(key.value().1), seat))
    });
    seats.collect()
}

fn parked(txn: &ReadTransaction, room: &RoomName) -> Result<Vec<Input>, WriteError> {
    let parked = txn.open_table(PARKED)?;
    let found = parked.range((room.as_str(), 0)..=(room.as_str(), u64::MAX))?;
    let inputs = found.map(|input| {
        let (_, text) = input?;
        Ok(json::read(room.as_str(), text.value())?)
    });
    inputs.collect()
}
