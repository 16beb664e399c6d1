use std::ops::RangeInclusive;

use outlast_protocol::{RoomName, Sid};
use redb::{Database, ReadableTable, WriteTransaction};

use super::{
    Shared,
    batch::{Batch, Durability},
    error::WriteError,
    room::RoomRow,
    tables::{CURSORS, ROOMS, SEATS, TOPIC, TOPIC_ENDS},
    writer::Operation,
};
use crate::{Deadline, PartitionId, SeatRead, StoreError, TopicId};

/// Puts inputs, written as JSON, at the end of a partition's topic.
///
/// It promises no more than [`Promise::Committed`], and so costs no sync of the disk. That is enough
/// because nobody is promised anything beyond this process on the strength of an append alone: a client hears of
/// its action when the room has committed it, a keeper records what it has told a room after having told it, and
/// both of those are durable batches, which take every append before them along. A client that comes back is
/// promised that older sockets have no say, and those die with the process.
pub(super) struct Append {
    partition: PartitionId,
    deadline: Deadline,
    texts: Vec<String>,
    appended: Vec<Appended>,
}

/// An entry that was appended.
#[derive(Debug)]
pub(super) struct Appended {
    partition: PartitionId,
    id: TopicId,
    text: String,
}

/// The number of entries that a partition's topic holds: what its rooms can work off in some seconds. Beyond
/// it, clients are better told to wait.
const TOPIC_MAX: u64 = 100_000;

impl Append {
    pub(super) fn new(partition: PartitionId, deadline: Deadline, texts: Vec<String>) -> Self {
        Append {
            partition,
            deadline,
            texts,
            appended: Vec::new(),
        }
    }
}

/// Puts inputs at the end of a partition's topic, and looks where their sessions stand in their rooms.
pub(super) struct Arrive {
    append: Append,
    /// Whose seats, and in which rooms.
    who: Vec<(RoomName, Sid)>,
}

impl Arrive {
    pub(super) fn new(append: Append, who: Vec<(RoomName, Sid)>) -> Self {
        Arrive { append, who }
    }
}

impl Operation for Arrive {
    type Output = Vec<Option<SeatRead>>;

    fn run(&mut self, step: &Batch<'_>) -> Result<Self::Output, WriteError> {
        self.append.run(step)?;
        let txn = step.look()?;
        let (rooms, seats) = (txn.open_table(ROOMS)?, txn.open_table(SEATS)?);
        let standing = |(room, sid): &(RoomName, Sid)| {
            let row = RoomRow::read(&rooms, room, step.now_ms)?;
            let seat = seats.get((room.as_str(), sid.as_u128()))?;
            let found = row.zip(seat);
            Ok(found.and_then(|(row, seat)| SeatRead::read(room, seat.value(), row.last)))
        };
        self.who.iter().map(standing).collect()
    }

    fn announce(self, _: &Self::Output, shared: &Shared) {
        self.append.announce(&(), shared);
    }
}

impl Operation for Append {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        if step.now_ms > self.deadline.0 {
            return Err(StoreError::TooLate.into());
        }
        let end = TopicEnd::read(step.look()?, self.partition)?;
        if end.len + self.texts.len() as u64 > TOPIC_MAX {
            let PartitionId(p) = self.partition;
            let message = format!("the topic of partition {p} holds {} entries", end.len);
            return Err(StoreError::Full(message).into());
        }
        let txn = step.write(Durability::Committed)?;
        let first = end.last.next(step.now_ms);
        let texts = std::mem::take(&mut self.texts).into_iter();
        self.appended = (first.seq..)
            .zip(texts)
            .map(|(seq, text)| Appended {
                partition: self.partition,
                id: TopicId { ms: first.ms, seq },
                text,
            })
            .collect();
        insert(txn, &self.appended)
    }

    fn announce(self, (): &(), shared: &Shared) {
        shared.disk.unsaved(self.appended);
        if let Some(bell) = shared.appended.get(usize::from(self.partition.0)) {
            bell.notify_waiters();
        }
    }
}

/// Puts back appends that a failing disk may have lost; those that it kept stay as they are, and those
/// that were applied stay away.
pub(super) fn restore(database: &Database, unsaved: &[Appended]) -> Result<(), StoreError> {
    if unsaved.is_empty() {
        return Ok(());
    }
    let restore = || -> Result<(), WriteError> {
        let txn = database.begin_write()?;
        insert(&txn, unsaved)?;
        txn.commit()?;
        Ok(())
    };
    Ok(restore()?)
}

fn insert(txn: &WriteTransaction, entries: &[Appended]) -> Result<(), WriteError> {
    let mut topic = txn.open_table(TOPIC)?;
    let cursors = txn.open_table(CURSORS)?;
    for partition in entries.chunk_by(|a, b| a.partition == b.partition) {
        let p = partition[0].partition;
        let mut end = TopicEnd::read(txn, p)?;
        let applied = cursors.get(p.0)?.map(|cursor| cursor.value());
        let applied = applied.map_or(TopicId::default(), |(ms, seq, ..)| TopicId { ms, seq });
        for entry in partition.iter().filter(|entry| entry.id > applied) {
            let key = (p.0, entry.id.ms, entry.id.seq);
            if topic.insert(key, entry.text.as_str())?.is_none() {
                end.len += 1;
            }
            end.last = end.last.max(entry.id);
        }
        end.write(txn, p)?;
    }
    Ok(())
}

/// Drops entries that have been applied.
pub(super) fn trim(
    txn: &WriteTransaction,
    partition: PartitionId,
    to: TopicId,
) -> Result<(), WriteError> {
    let mut topic = txn.open_table(TOPIC)?;
    let mut gone = 0;
    for entry in topic.extract_from_if(up_to(partition, to), |_, _| true)? {
        entry?;
        gone += 1;
    }
    if gone > 0 {
        let mut end = TopicEnd::read(txn, partition)?;
        end.len -= gone;
        end.write(txn, partition)?;
    }
    Ok(())
}

/// The keys of a partition's entries up to an id.
fn up_to(PartitionId(p): PartitionId, to: TopicId) -> RangeInclusive<(u16, u64, u64)> {
    (p, 0, 0)..=(p, to.ms, to.seq)
}

/// Where a topic ends.
#[derive(Debug, Clone, Copy)]
struct TopicEnd {
    /// The last id that was ever given, whether or not the entry is still there.
    last: TopicId,
    /// The number of entries.
    len: u64,
}

impl TopicEnd {
    fn read(txn: &WriteTransaction, PartitionId(p): PartitionId) -> Result<Self, WriteError> {
        let ends = txn.open_table(TOPIC_ENDS)?;
        let end = ends.get(p)?.map(|end| end.value());
        let (ms, seq, len) = end.unwrap_or_default();
        let last = TopicId { ms, seq };
        Ok(TopicEnd { last, len })
    }

    fn write(self, txn: &WriteTransaction, PartitionId(p): PartitionId) -> Result<(), WriteError> {
        let value = (self.last.ms, self.last.seq, self.len);
        txn.open_table(TOPIC_ENDS)?.insert(p, value)?;
        Ok(())
    }
}

impl TopicId {
    /// The id after this one, at a time that may be earlier.
    fn next(self, now_ms: u64) -> Self {
        if now_ms > self.ms {
            return TopicId { ms: now_ms, seq: 0 };
        }
        TopicId {
            ms: self.ms,
            seq: self.seq + 1,
        }
    }
}
