use async_trait::async_trait;
use outlast_protocol::Sid;

use crate::{NodeId, ShardId, StoreError};

/// An index entry of a record, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordIndexes {
    /// The record that it names.
    pub sid: Sid,
    /// True if it stood among the deadlines.
    pub due: bool,
    /// The owner under whom it stood, if it stood under one.
    pub owner: Option<NodeId>,
    /// The group in which it stood, if it stood in one.
    pub group: Option<String>,
}

impl RecordIndexes {
    /// A record that was met in no index.
    pub fn nowhere(sid: Sid) -> Self {
        RecordIndexes {
            sid,
            due: false,
            owner: None,
            group: None,
        }
    }
}

/// The faults of a record's places in the indexes that have been mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// The number of entries that went, since the record does not bear them out.
    pub removed: u8,
    /// The number of entries that came, since they were missing or wrong.
    pub restored: u8,
}

impl Mended {
    /// True if there was nothing to mend.
    pub fn is_nothing(&self) -> bool {
        *self == Mended::default()
    }
}

/// The holder of a record's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The record's version.
    pub version: u64,
    /// The gateway, if one does.
    pub gateway: Option<NodeId>,
}

/// A look at records and their indexes from each other's side: a store may have lost the one and kept the
/// other. Slow, and never on anybody's way.
#[async_trait]
pub trait Audits {
    /// Up to `max` records that a gateway owns, those that come after `after`.
    async fn owned_after(
        &self,
        shard: ShardId,
        owner: &NodeId,
        after: Option<Sid>,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError>;

    /// Up to `max` places in the groups of a shard, with the groups' names, those that come after `after`.
    async fn grouped_after(
        &self,
        shard: ShardId,
        after: Option<&(String, Sid)>,
        max: usize,
    ) -> Result<Vec<(String, Sid)>, StoreError>;

    /// Makes the indexes say of each of these records what the record says itself; a record that is not
    /// there stands in none. Works at the store's memory limit.
    async fn mend(&self, shard: ShardId, seen: &[RecordIndexes])
    -> Result<Vec<Mended>, StoreError>;

    /// Returns the holder of the socket of each of these records; `None` for a record that is not there.
    async fn holders(
        &self,
        shard: ShardId,
        sids: &[Sid],
    ) -> Result<Vec<Option<Holder>>, StoreError>;
}
