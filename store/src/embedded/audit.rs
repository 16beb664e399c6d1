use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use outlast_protocol::Sid;
use redb::{ReadableTable, WriteTransaction};

use super::{
    Embedded, Shared,
    batch::{Batch, Durability},
    error::WriteError,
    tables::{DUE, GROUPS, OWNED, RECORDS},
    write::Indexed,
    writer::Operation,
};
use crate::{Audits, Holder, Mended, NodeId, RecordIndexes, ShardId, StoreError};

#[async_trait]
impl Audits for Embedded {
    async fn owned_after(
        &self,
        ShardId(s): ShardId,
        owner: &NodeId,
        after: Option<Sid>,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let owner = owner.as_str();
        let Some(from) = after.map_or(Some(0), |after| after.as_u128().checked_add(1)) else {
            return Ok(Vec::new());
        };
        self.look(|txn| {
            let owned = txn.open_table(OWNED)?;
            let owned = owned.range((s, owner, from)..=(s, owner, u128::MAX))?;
            let sids = owned.take(max).map(|owned| {
                let (key, _) = owned?;
                Ok(Sid::from_u128(key.value().2))
            });
            sids.collect::<Result<_, WriteError>>()
        })
        .await
    }

    async fn grouped_after(
        &self,
        ShardId(s): ShardId,
        after: Option<&(String, Sid)>,
        max: usize,
    ) -> Result<Vec<(String, Sid)>, StoreError> {
        let from = after.map_or((s, "", 0), |(group, sid)| (s, group, sid.as_u128()));
        self.look(|txn| {
            let groups = txn.open_table(GROUPS)?;
            let mut places = Vec::new();
            for place in groups.range(from..)? {
                let (key, _) = place?;
                let (shard, group, sid) = key.value();
                if shard != s || places.len() == max {
                    break;
                }
                if after.is_none() || (shard, group, sid) != from {
                    places.push((group.to_owned(), Sid::from_u128(sid)));
                }
            }
            Ok(places)
        })
        .await
    }

    async fn mend(
        &self,
        shard: ShardId,
        seen: &[RecordIndexes],
    ) -> Result<Vec<Mended>, StoreError> {
        self.writer.run(DoMend(shard, seen.to_vec())).await
    }

    async fn holders(&self, _: ShardId, sids: &[Sid]) -> Result<Vec<Option<Holder>>, StoreError> {
        self.look(|txn| {
            let records = txn.open_table(RECORDS)?;
            let holder = |sid: &Sid| {
                let record = records.get(sid.as_u128())?;
                Ok(record.map(|record| {
                    let (version, _, owner, _, _) = record.value();
                    let gateway = owner.map(NodeId::from);
                    Holder { version, gateway }
                }))
            };
            sids.iter().map(holder).collect::<Result<_, WriteError>>()
        })
        .await
    }
}

/// Makes the indexes say of records what those say themselves.
struct DoMend(ShardId, Vec<RecordIndexes>);

impl Operation for DoMend {
    type Output = Vec<Mended>;

    fn run(&mut self, step: &Batch<'_>) -> Result<Vec<Mended>, WriteError> {
        let DoMend(shard, seen) = self;
        let due: HashSet<_> = seen
            .iter()
            .filter(|seen| seen.due)
            .map(|seen| seen.sid)
            .collect();
        let deadlines = deadlines(step.look()?, *shard, &due)?;
        let mend = |seen: &RecordIndexes| {
            let deadlines = deadlines.get(&seen.sid).map_or(&[][..], Vec::as_slice);
            mend(step, *shard, seen, deadlines)
        };
        seen.iter().map(mend).collect()
    }

    fn announce(self, _: &Vec<Mended>, _: &Shared) {}
}

fn mend(
    step: &Batch<'_>,
    shard @ ShardId(s): ShardId,
    seen: &RecordIndexes,
    deadlines: &[u64],
) -> Result<Mended, WriteError> {
    let txn = step.look()?;
    let sid = seen.sid.as_u128();
    let record = Indexed::read(txn, &seen.sid)?.unwrap_or_default();
    let mut mended = Mended::default();

    for due_ms in deadlines {
        if record.due_ms != Some(*due_ms) {
            txn.open_table(DUE)?.remove((s, *due_ms, sid))?;
            mended.removed += 1;
        }
    }
    if let Some(owner) = seen.owner.as_ref().map(NodeId::as_str)
        && record.owner.as_deref() != Some(owner)
        && txn.open_table(OWNED)?.remove((s, owner, sid))?.is_some()
    {
        mended.removed += 1;
    }
    if let Some(group) = seen.group.as_deref()
        && record.group.as_deref() != Some(group)
        && txn.open_table(GROUPS)?.remove((s, group, sid))?.is_some()
    {
        mended.removed += 1;
    }

    if let Some(due_ms) = record.due_ms {
        let missing = txn.open_table(DUE)?.get((s, due_ms, sid))?.is_none();
        mended.restored += u8::from(missing);
    }
    if let Some(owner) = record.owner.as_deref() {
        let missing = txn.open_table(OWNED)?.get((s, owner, sid))?.is_none();
        mended.restored += u8::from(missing);
    }
    if let Some(group) = record.group.as_deref() {
        let missing = txn.open_table(GROUPS)?.get((s, group, sid))?.is_none();
        mended.restored += u8::from(missing);
    }
    if mended.restored > 0 {
        record.enter(txn, shard, &seen.sid)?;
    }
    if !mended.is_nothing() {
        step.write(Durability::Durable)?;
    }
    Ok(mended)
}

/// When these records are due, by the index: that is in the order of time, so it is gone through once for all.
fn deadlines(
    txn: &WriteTransaction,
    ShardId(s): ShardId,
    of: &HashSet<Sid>,
) -> Result<HashMap<Sid, Vec<u64>>, WriteError> {
    let mut found = HashMap::<_, Vec<_>>::new();
    if of.is_empty() {
        return Ok(found);
    }
    let table = txn.open_table(DUE)?;
    for due in table.range((s, 0, 0)..=(s, u64::MAX, u128::MAX))? {
        let (key, _) = due?;
        let (_, due_ms, sid) = key.value();
        let sid = Sid::from_u128(sid);
        if of.contains(&sid) {
            found.entry(sid).or_default().push(due_ms);
        }
    }
    Ok(found)
}
