use std::time::Duration;

use redb::ReadableTable;

use super::{
    Shared,
    batch::{Batch, Durability},
    error::WriteError,
    tables::GRANTS,
    writer::Operation,
};
use crate::{Lease, LeaseName, NodeId, PartitionId};

/// Claims a lease. It takes its turn among the commits: whoever is granted a partition finds every commit of the holder
/// before it done, and none comes after (W1).
pub(super) struct Claim {
    pub(super) name: LeaseName,
    pub(super) owner: NodeId,
    pub(super) ttl: Duration,
}

/// The time after a grant within which a holder may have died of what it found. Whether it had committed something says
/// nothing here: what was appended before it died may have died with it, and comes again when its sender does.
const SHORT_LIVED_MS: u64 = 600_000;

/// For how long that may come again: for as long as a session outlives its socket.
const WARY_MS: u64 = 120_000;

impl Operation for Claim {
    type Output = Option<Lease>;

    fn run(&mut self, step: &Batch<'_>) -> Result<Option<Lease>, WriteError> {
        let book = &step.shared.leases;
        if book.is_held(self.name, step.now_ms) {
            return Ok(None);
        }
        let barren = match self.name {
            LeaseName::Partition(partition) => count(step, partition)?,
            LeaseName::Shard(_) => 0,
        };
        let granted = book.claim(self.name, &self.owner, self.ttl, step.now_ms);
        Ok(granted.map(|lease| Lease {
            barren,
            wary_ms: if barren > 0 { WARY_MS } else { 0 },
            ..lease
        }))
    }

    fn announce(self, _: &Option<Lease>, _: &Shared) {}
}

fn count(step: &Batch<'_>, PartitionId(p): PartitionId) -> Result<u64, WriteError> {
    let mut grants = step.write(Durability::Durable)?.open_table(GRANTS)?;
    let last = grants.get(p)?.map(|last| last.value());
    let barren = match last {
        Some((at_ms, barren)) if step.now_ms < at_ms.saturating_add(SHORT_LIVED_MS) => barren + 1,
        Some(_) | None => 0,
    };
    grants.insert(p, (step.now_ms, barren))?;
    Ok(barren)
}

/// Notes that a partition was given up by a holder that lived.
pub(super) struct GivenUp(pub(super) PartitionId);

impl Operation for GivenUp {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        let txn = step.write(Durability::Durable)?;
        txn.open_table(GRANTS)?.remove(self.0.0)?;
        Ok(())
    }

    fn announce(self, (): &(), _: &Shared) {}
}
