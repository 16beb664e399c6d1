use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::Sid;

use super::{
    Embedded,
    halt::Halt,
    tables::{DUE, GROUPS, OWNED, RECORDS},
    write::DoWrite,
};
use crate::{BrokerError, NodeId, Read, Record, Records, Shard, Write, Written};

#[async_trait]
impl Records for Embedded {
    async fn read(&self, _: Shard, sid: &Sid) -> Result<Read, BrokerError> {
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
        Ok(Read { now_ms, record })
    }

    async fn write(&self, shard: Shard, write: Write) -> Result<Written, BrokerError> {
        self.writer.run(DoWrite(shard, write)).await
    }

    async fn due(&self, Shard(s): Shard, max: usize) -> Result<Vec<Sid>, BrokerError> {
        let now_ms = self.shared.clock.now_ms();
        self.look(|txn| {
            let due = txn.open_table(DUE)?;
            let due = due.range((s, 0, 0)..=(s, now_ms, u128::MAX))?;
            let sids = due.take(max).map(|due| {
                let (key, _) = due?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, Halt>>()
        })
        .await
    }

    async fn waiting(&self, Shard(s): Shard) -> Result<u64, BrokerError> {
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

    async fn owners(&self, Shard(s): Shard) -> Result<Vec<NodeId>, BrokerError> {
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
        Shard(s): Shard,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        let owner = owner.as_str();
        self.look(|txn| {
            let owned = txn.open_table(OWNED)?;
            let owned = owned.range((s, owner, 0)..=(s, owner, u128::MAX))?;
            let sids = owned.take(max).map(|owned| {
                let (key, _) = owned?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, Halt>>()
        })
        .await
    }

    async fn grouped(
        &self,
        Shard(s): Shard,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        self.look(|txn| {
            let groups = txn.open_table(GROUPS)?;
            let grouped = groups.range((s, group, 0)..=(s, group, u128::MAX))?;
            let sids = grouped.take(max).map(|grouped| {
                let (key, _) = grouped?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, Halt>>()
        })
        .await
    }
}
