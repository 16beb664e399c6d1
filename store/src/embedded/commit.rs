use std::fmt::Display;

use outlast_protocol::Pos;
use redb::{ReadableTable, WriteTransaction};

use super::{
    Shared, append,
    batch::{Batch, Durability},
    error::{WriteError, json},
    room::RoomRow,
    tables::{CURSORS, LOG, NOTES, PARKED, ROOMS, SEATS, SNAPSHOTS, UNREAD},
    writer::Operation,
};
use crate::{
    Announcement, Commit, Committed, Cursor, LeaseName, PartitionId, RoomCommit, StoreError,
    StoreEvent, TopicId,
};

/// Does a [`Commit`]: all checks, then all writes.
pub(super) struct DoCommit(pub(super) Commit);

impl Operation for DoCommit {
    type Output = Committed;

    fn run(&mut self, step: &Batch<'_>) -> Result<Committed, WriteError> {
        let commit = &self.0;
        let txn = step.look()?;
        let lease = LeaseName::Partition(commit.partition);
        if !step.shared.leases.is_newest(lease, commit.epoch) {
            let epoch = commit.epoch;
            return Err(StoreError::Fenced { epoch }.into());
        }
        let stands = read_cursor(&txn.open_table(CURSORS)?, commit.partition)?;
        if stands == commit.to {
            return Ok(Committed::Before);
        }
        if stands != commit.from {
            return Err(moved("the cursor", &commit.from, &stands));
        }
        for room in &commit.rooms {
            check(txn, room, step.now_ms)?;
        }

        let txn = step.write(Durability::Durable)?;
        write_cursor(txn, commit)?;
        append::trim(txn, commit.partition, commit.to.topic)?;
        keep_unread(txn, commit)?;
        drop_notes(txn, commit)?;
        for room in &commit.rooms {
            write(txn, commit.partition, room, step.now_ms)?;
        }
        Ok(Committed::Now)
    }

    fn announce(self, committed: &Committed, shared: &Shared) {
        match committed {
            Committed::Before => return,
            Committed::Now => (),
        }
        for room in self.0.rooms {
            if !(room.entries.is_empty() && room.signals.is_empty()) {
                shared.hub.tell_room(Announcement {
                    room: room.room,
                    prev: room.prev,
                    entries: room.entries,
                    signals: room.signals,
                });
            }
        }
        for (gateway, reply) in self.0.replies {
            shared.hub.tell(&gateway, &StoreEvent::Reply(reply));
        }
    }
}

/// Where a partition stands.
pub(super) fn read_cursor(
    cursors: &impl ReadableTable<u16, (u64, u64, u64, u64)>,
    PartitionId(p): PartitionId,
) -> Result<Cursor, WriteError> {
    let cursor = cursors.get(p)?.map(|cursor| cursor.value());
    let (ms, seq, commits, tag) = cursor.unwrap_or_default();
    Ok(Cursor {
        topic: TopicId { ms, seq },
        commits,
        tag,
    })
}

fn write_cursor(txn: &WriteTransaction, commit: &Commit) -> Result<(), WriteError> {
    let Cursor {
        topic,
        commits,
        tag,
    } = commit.to;
    let value = (topic.ms, topic.seq, commits, tag);
    txn.open_table(CURSORS)?.insert(commit.partition.0, value)?;
    Ok(())
}

fn keep_unread(txn: &WriteTransaction, commit: &Commit) -> Result<(), WriteError> {
    let PartitionId(p) = commit.partition;
    let mut unread = txn.open_table(UNREAD)?;
    for _ in 0..commit.reread {
        let oldest = unread.range((p, 0)..=(p, u64::MAX))?.next().transpose()?;
        let Some(key) = oldest.map(|(key, _)| key.value()) else {
            break;
        };
        unread.remove(key)?;
    }
    let last = unread.range((p, 0)..=(p, u64::MAX))?.next_back();
    let next = last.transpose()?.map_or(0, |(key, _)| key.value().1 + 1);
    for (number, text) in (next..).zip(&commit.unread) {
        unread.insert((p, number), text.as_str())?;
    }
    Ok(())
}

fn drop_notes(txn: &WriteTransaction, commit: &Commit) -> Result<(), WriteError> {
    if commit.unnote.is_empty() {
        return Ok(());
    }
    let mut notes = txn.open_table(NOTES)?;
    for name in &commit.unnote {
        notes.remove((commit.partition.0, name.as_str()))?;
    }
    Ok(())
}

fn check(txn: &WriteTransaction, change: &RoomCommit, now_ms: u64) -> Result<(), WriteError> {
    let row = RoomRow::read(&txn.open_table(ROOMS)?, &change.room, now_ms)?;
    let last = row.map_or(Pos::START, |row| row.last);
    if last != change.prev {
        return Err(moved(change.room.as_str(), &change.prev, &last));
    }
    Ok(())
}

fn write(
    txn: &WriteTransaction,
    partition: PartitionId,
    change: &RoomCommit,
    now_ms: u64,
) -> Result<(), WriteError> {
    let room = change.room.as_str();
    let mut old = RoomRow::read_even_gone(&txn.open_table(ROOMS)?, room)?.unwrap_or_default();
    if old.is_gone(now_ms) {
        old.erase(txn, partition, room)?;
        old = RoomRow::default();
    }
    let (first_off, last) = write_log(txn, change, &old)?;
    write_seats(txn, change)?;
    write_parked(txn, change)?;
    if let Some(snapshot) = &change.snapshot {
        let Pos { off, tag } = snapshot.pos;
        let value = (off, tag, snapshot.version, snapshot.state.as_json());
        txn.open_table(SNAPSHOTS)?.insert(room, value)?;
    }
    let new = RoomRow {
        last,
        first_off,
        wake_ms: change.wake_ms,
        gone_ms: change.ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms)),
        head: change.head.clone().or_else(|| old.head.clone()),
    };
    new.replace(&old, txn, partition, room)
}

/// Adds entries and drops old ones; answers where the log then begins and ends.
fn write_log(
    txn: &WriteTransaction,
    change: &RoomCommit,
    old: &RoomRow,
) -> Result<(u64, Pos), WriteError> {
    let room = change.room.as_str();
    let mut log = txn.open_table(LOG)?;
    for entry in &change.entries {
        log.insert((room, entry.pos.off), json::write(entry).as_str())?;
    }
    let last = change.entries.last().map_or(old.last, |entry| entry.pos);
    let first_ever = change.entries.first().map_or(0, |entry| entry.pos.off);
    let first = if old.first_off == 0 {
        first_ever
    } else {
        old.first_off
    };
    // The last entry stays, whatever is asked.
    let kept_from = change
        .trim_below
        .unwrap_or(0)
        .clamp(first, last.off.max(first));
    log.retain_in((room, first)..(room, kept_from), |_, _| false)?;
    Ok((kept_from, last))
}

fn write_seats(txn: &WriteTransaction, change: &RoomCommit) -> Result<(), WriteError> {
    let mut seats = txn.open_table(SEATS)?;
    for (sid, seat) in &change.seats {
        let key = (change.room.as_str(), sid.as_u128());
        match seat {
            Some(seat) => seats.insert(key, json::write(seat).as_str())?,
            None => seats.remove(key)?,
        };
    }
    Ok(())
}

fn write_parked(txn: &WriteTransaction, change: &RoomCommit) -> Result<(), WriteError> {
    if change.park.is_empty() && !change.unpark {
        return Ok(());
    }
    let room = change.room.as_str();
    let mut parked = txn.open_table(PARKED)?;
    let all = (room, 0)..=(room, u64::MAX);
    if change.unpark {
        parked.retain_in(all.clone(), |_, _| false)?;
    }
    let last = parked.range(all)?.next_back();
    let next = last.transpose()?.map_or(0, |(key, _)| key.value().1 + 1);
    for (number, input) in (next..).zip(&change.park) {
        parked.insert((room, number), json::write(input).as_str())?;
    }
    Ok(())
}

fn moved(what: &str, expected: &impl Display, found: &impl Display) -> WriteError {
    StoreError::Moved(format!("{what} stands at {found}, not at {expected}")).into()
}
