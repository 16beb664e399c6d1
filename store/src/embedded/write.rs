use outlast_protocol::Sid;
use redb::{ReadableTable, WriteTransaction};

use super::{
    Shared,
    batch::{Batch, Durability},
    error::WriteError,
    tables::{DUE, GROUPS, OWNED, RECORDS},
    writer::Operation,
};
use crate::{Group, RecordWrite, ShardId, WriteOutcome};

/// Does a [`Write`].
pub(super) struct DoWrite(pub(super) ShardId, pub(super) RecordWrite);

impl Operation for DoWrite {
    type Output = WriteOutcome;

    fn run(&mut self, step: &Batch<'_>) -> Result<WriteOutcome, WriteError> {
        let DoWrite(shard, write) = self;
        let txn = step.look()?;
        let old = Indexed::read(txn, &write.sid)?;
        let found = old.as_ref().map_or(0, |old| old.version);
        if found != write.expect {
            return Ok(WriteOutcome::Conflict);
        }
        if let (None, Some(group)) = (&old, &write.group)
            && is_full(txn, *shard, group)?
        {
            return Ok(WriteOutcome::GroupFull);
        }

        let txn = step.write(Durability::Durable)?;
        let new = Indexed {
            version: found + 1,
            due_ms: write.due_ms,
            owner: write.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            group: write.group.as_ref().map(|group| group.name.clone()),
        };
        old.unwrap_or_default().leave(txn, *shard, &write.sid)?;
        match &write.value {
            Some(value) => {
                let record = (
                    new.version,
                    new.due_ms,
                    new.owner.as_deref(),
                    new.group.as_deref(),
                    value.as_ref(),
                );
                txn.open_table(RECORDS)?
                    .insert(write.sid.as_u128(), record)?;
                new.enter(txn, *shard, &write.sid)?;
            }
            None => drop(txn.open_table(RECORDS)?.remove(write.sid.as_u128())?),
        }
        Ok(WriteOutcome::Done {
            version: new.version,
        })
    }

    fn announce(self, _: &WriteOutcome, _: &Shared) {}
}

/// The part of a record that indexes are made of.
#[derive(Debug, Default)]
pub(super) struct Indexed {
    version: u64,
    pub(super) due_ms: Option<u64>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
}

impl Indexed {
    pub(super) fn read(txn: &WriteTransaction, sid: &Sid) -> Result<Option<Self>, WriteError> {
        let records = txn.open_table(RECORDS)?;
        let record = records.get(sid.as_u128())?;
        Ok(record.map(|record| {
            let (version, due_ms, owner, group, _) = record.value();
            Indexed {
                version,
                due_ms,
                owner: owner.map(str::to_owned),
                group: group.map(str::to_owned),
            }
        }))
    }

    fn leave(
        &self,
        txn: &WriteTransaction,
        ShardId(s): ShardId,
        sid: &Sid,
    ) -> Result<(), WriteError> {
        let sid = sid.as_u128();
        if let Some(due_ms) = self.due_ms {
            txn.open_table(DUE)?.remove((s, due_ms, sid))?;
        }
        if let Some(owner) = &self.owner {
            txn.open_table(OWNED)?.remove((s, owner.as_str(), sid))?;
        }
        if let Some(group) = &self.group {
            txn.open_table(GROUPS)?.remove((s, group.as_str(), sid))?;
        }
        Ok(())
    }

    /// Takes the places in the indexes.
    pub(super) fn enter(
        &self,
        txn: &WriteTransaction,
        ShardId(s): ShardId,
        sid: &Sid,
    ) -> Result<(), WriteError> {
        let sid = sid.as_u128();
        if let Some(due_ms) = self.due_ms {
            txn.open_table(DUE)?.insert((s, due_ms, sid), ())?;
        }
        if let Some(owner) = &self.owner {
            txn.open_table(OWNED)?
                .insert((s, owner.as_str(), sid), ())?;
        }
        if let Some(group) = &self.group {
            txn.open_table(GROUPS)?
                .insert((s, group.as_str(), sid), ())?;
        }
        Ok(())
    }
}

fn is_full(txn: &WriteTransaction, ShardId(s): ShardId, group: &Group) -> Result<bool, WriteError> {
    let groups = txn.open_table(GROUPS)?;
    let name = group.name.as_str();
    let members = groups.range((s, name, 0)..=(s, name, u128::MAX))?;
    Ok(members.take(group.max).count() >= group.max)
}
