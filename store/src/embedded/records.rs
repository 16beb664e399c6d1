use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::Sid;

use super::{
    Embedded,
    error::WriteError,
    tables::{DUE, GROUPS, OWNED, RECORDS},
    write::DoWrite,
};
use crate::{NodeId, Record, RecordRead, RecordWrite, Records, ShardId, StoreError, WriteOutcome};

#[async_trait]
impl Records for Embedded {
    async fn read(&self, _: ShardId, sid: &Sid) -> Result<RecordRead, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        let record = self
            .look(|txn| {
                let records = txn.open_table(RECORDS)?;
                let record = records.get(sid.as_u128())?;
                Ok(record.map(|record| {
                    let (version, _, _, _, value) = record.value();
                    let value = Bytes::copy_from_slice(value);
                    Record { value, version }
                }))
            })
            .await?;
        Ok(RecordRead { now_ms, record })
    }

    async fn write(&self, shard: ShardId, write: RecordWrite) -> Result<WriteOutcome, StoreError> {
        self.writer.run(DoWrite(shard, write)).await
    }

    async fn due(&self, ShardId(s): ShardId, max: usize) -> Result<Vec<Sid>, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        self.look(|txn| {
            let due = txn.open_table(DUE)?;
            let due = due.range((s, 0, 0)..=(s, now_ms, u128::MAX))?;
            let sids = due.take(max).map(|due| {
                let (key, _) = due?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, WriteError>>()
        })
        .await
    }

    async fn waiting(&self, ShardId(s): ShardId) -> Result<u64, StoreError> {
        self.look(|txn| {
            let due = txn.open_table(DUE)?;
            let mut waiting = 0;
            for due in due.range((s, 0, 0)..=(s, u64::MAX, u128::MAX))? {
                due?;
                waiting += 1;
            }
            Ok(waiting)
        })
        .await
    }

    async fn owners(&self, ShardId(s): ShardId) -> Result<Vec<NodeId>, StoreError> {
        self.look(|txn| {
            let owned = txn.open_table(OWNED)?;
            let mut owners = Vec::<NodeId>::new();
            let mut next = owned.range((s, "", 0)..)?.next();
            // From one owner straight to the next, however many records each has.
            while let Some(found) = next {
                let (key, _) = found?;
                let (shard, owner, _) = key.value();
                if shard != s {
                    break;
                }
                owners.push(owner.into());
                next = owned.range((s, owner, u128::MAX)..)?.next();
            }
            Ok(owners)
        })
        .await
    }

    async fn owned(
        &self,
        ShardId(s): ShardId,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let owner = owner.as_str();
        self.look(|txn| {
            let owned = txn.open_table(OWNED)?;
            let owned = owned.range((s, owner, 0)..=(s, owner, u128::MAX))?;
            let sids = owned.take(max).map(|owned| {
                let (key, _) = owned?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, WriteError>>()
        })
        .await
    }

    async fn grouped(
        &self,
        ShardId(s): ShardId,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        self.look(|txn| {
            let groups = txn.open_table(GROUPS)?;
            let grouped = groups.range((s, group, 0)..=(s, group, u128::MAX))?;
            let sids = grouped.take(max).map(|grouped| {
                let (key, _) = grouped?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, WriteError>>()
        })
        .await
    }
}
