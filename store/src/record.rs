use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::Sid;

use crate::{NodeId, ShardId, StoreError};

/// A stored record and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The bytes that were written.
    pub value: Bytes,
    /// Rises by one with each write.
    pub version: u64,
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRead {
    /// The store's clock, in milliseconds since the epoch.
    pub now_ms: u64,
    /// The record, if there is one.
    pub record: Option<Record>,
}

/// A group that records are counted in: the sessions of one user (S8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name; it must lie in the record's shard.
    pub name: String,
    /// The number of records that it may hold.
    pub max: usize,
}

/// A conditional write of one record and of the indexes that find it. Everything is set as given:
/// what is `None` is absent afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWrite {
    /// Which record.
    pub sid: Sid,
    /// The version that it must have; 0 for one that must not exist.
    pub expect: u64,
    /// The bytes that it holds from now on; `None` deletes it, with its place in every index.
    pub value: Option<Bytes>,
    /// When it is due, on the store's clock, in milliseconds since the epoch.
    pub due_ms: Option<u64>,
    /// The gateway that holds its socket.
    pub owner: Option<NodeId>,
    /// The group that it counts in. The bound is checked when the record is created.
    pub group: Option<Group>,
}

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It was done; this is the new version.
    Done {
        /// The record's version from now on.
        version: u64,
    },
    /// The record had another version: read it again. Nothing has changed.
    Conflict,
    /// The group holds as many records as it may. Nothing has changed.
    GroupFull,
}

/// Session records: compare-and-swap, with an index of deadlines, of owners and of groups.
#[async_trait]
pub trait Records {
    /// Reads a record.
    async fn read(&self, shard: ShardId, sid: &Sid) -> Result<RecordRead, StoreError>;

    /// Writes a record if it has the expected version.
    async fn write(&self, shard: ShardId, write: RecordWrite) -> Result<WriteOutcome, StoreError>;

    /// Up to `max` records that are due, the longest due first.
    async fn due(&self, shard: ShardId, max: usize) -> Result<Vec<Sid>, StoreError>;

    /// Returns the number of records with a deadline, be it past or to come.
    async fn waiting(&self, shard: ShardId) -> Result<u64, StoreError>;

    /// Every gateway that owns a record of this shard.
    async fn owners(&self, shard: ShardId) -> Result<Vec<NodeId>, StoreError>;

    /// Up to `max` records that a gateway owns.
    async fn owned(
        &self,
        shard: ShardId,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError>;

    /// Up to `max` records that count in a group.
    async fn grouped(
        &self,
        shard: ShardId,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError>;
}
