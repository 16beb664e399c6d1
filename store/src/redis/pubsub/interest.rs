//! The interests of a listener, slot by slot.

use crate::{PartitionId, ShardId, redis::keys::Keys};

/// An interest of a listener in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redis) enum Interest {
    /// A partition's rooms and replies.
    Partition(PartitionId),
    /// Nothing: but who hears of it knows when its records may have been lost (R4).
    Shard(ShardId),
    /// Nudges, which reach every node.
    Nudges,
}

impl Interest {
    /// A key in its slot.
    pub(super) fn home(self, keys: &Keys) -> String {
        match self {
            Interest::Partition(p) => keys.topic(p),
            Interest::Shard(s) => keys.due(s),
            Interest::Nudges => keys.members(),
        }
    }
}
