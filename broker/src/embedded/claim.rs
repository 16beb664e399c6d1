use std::time::Duration;

use super::{Shared, halt::Halt, step::Step, writer::Operation};
use crate::{Lease, LeaseName, NodeId};

/// Claims a lease. It takes its turn among the commits although it writes nothing: whoever is granted a
/// partition finds every commit of the holder before it done, and none comes after (W1).
pub(super) struct Claim {
    pub(super) name: LeaseName,
    pub(super) owner: NodeId,
    pub(super) ttl: Duration,
}

impl Operation for Claim {
    type Output = Option<Lease>;

    fn run(&mut self, step: &Step<'_>) -> Result<Option<Lease>, Halt> {
        let book = &step.shared.leases;
        Ok(book.claim(self.name, &self.owner, self.ttl, step.now_ms))
    }

    fn announce(self, _: &Option<Lease>, _: &Shared) {}
}
