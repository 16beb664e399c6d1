use std::time::Duration;

use outlast_protocol::{RoomName, Sid};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::{
    Embedded, Shared,
    append::Append,
    batch::{Batch, Durability},
    error::WriteError,
    tables::{DUE, GROUPS, LOG, OWNED, RECORDS, ROOMS},
    writer::Operation,
};
use crate::{Deadline, PartitionId, ShardId, StoreError, conformance::Lost};

struct LoseLog(RoomName);

impl Operation for LoseLog {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        let txn = step.write(Durability::Durable)?;
        let all = (self.0.as_str(), 0)..=(self.0.as_str(), u64::MAX);
        Ok(txn.open_table(LOG)?.retain_in(all, |_, _| false)?)
    }

    fn announce(self, (): &(), _: &Shared) {}
}

/// For tests alone.
impl Embedded {
    /// Lets the store's clock jump ahead, as if so much time had passed.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// Appends a text as it is, such as another version might have written (W6).
    pub async fn append_text(&self, partition: PartitionId, text: &str) -> Result<(), StoreError> {
        let append = Append::new(partition, Deadline(u64::MAX), vec![text.to_owned()]);
        self.writer.run(append).await
    }

    /// Drops a room's log and nothing else of the room (W14).
    pub async fn lose_log(&self, room: &RoomName) -> Result<(), StoreError> {
        self.writer.run(LoseLog(room.clone())).await
    }

    /// Loses a part of a record, as a store may that was restored from pieces.
    pub async fn lose(&self, shard: ShardId, sid: Sid, what: Lost) -> Result<(), StoreError> {
        self.writer.run(Lose(shard, sid, what)).await
    }

    /// Returns the number of rooms in the store, those included whose time has run out.
    pub fn rooms_stored(&self) -> u64 {
        let rooms = |txn: &ReadTransaction| Ok(txn.open_table(ROOMS)?.len()?);
        self.shared
            .disk
            .read(rooms)
            .expect("a store under test can be read")
    }
}

struct Lose(ShardId, Sid, Lost);

impl Operation for Lose {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        let Lose(ShardId(s), sid, what) = self;
        let (s, sid) = (*s, sid.as_u128());
        let txn = step.write(Durability::Durable)?;
        match what {
            Lost::Record => drop(txn.open_table(RECORDS)?.remove(sid)?),
            Lost::Due => {
                let records = txn.open_table(RECORDS)?;
                let due_ms = records.get(sid)?.and_then(|record| record.value().1);
                txn.open_table(DUE)?.remove((s, due_ms.unwrap_or(0), sid))?;
            }
            Lost::Owner(owner) => {
                txn.open_table(OWNED)?.remove((s, owner.as_str(), sid))?;
            }
            Lost::Group(group) => {
                txn.open_table(GROUPS)?.remove((s, group.as_str(), sid))?;
            }
        }
        Ok(())
    }

    fn announce(self, (): &(), _: &Shared) {}
}
