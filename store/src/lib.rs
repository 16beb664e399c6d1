//! The store that gateways, workers and keepers share, seen through traits at the level of meaning.
//!
//! - [`Topic`]: actions on their way to the room that applies them, in order, one topic a partition.
//! - [`Rooms`]: room logs, snapshots and seats, and the one fenced, atomic [`Commit`] that changes them.
//! - [`Notes`]: what the holders of a partition leave for those after them.
//! - [`Leases`]: who may write a partition or keep a shard of sessions.
//! - [`Membership`]: which processes are alive.
//! - [`Records`]: session records, with compare-and-swap, deadlines and owners.
//! - [`Audits`]: records and their indexes, looked at from each other's side.
//! - [`Agreement`]: how long sessions live, the same for all.
//! - [`Announcements`]: news of commits, delivered at most once; the log is the truth.
//!
//! Two backends implement them all: [`redis`] for any number of processes, [`embedded`] for one.
//! This crate promises that a commit happens as a whole or not at all, exactly once, and only by the
//! newest holder of the partition's lease (W1, W2). It never interprets what rooms or sessions store.

use std::sync::Arc;

mod announce;
mod audit;
mod clock;
mod commit;
mod entry;
mod error;
mod heartbeats;
mod input;
mod layout;
mod lease;
mod membership;
mod metered;
mod note;
mod record;
mod reply;
mod seat;
mod terms;
mod throttle;
mod topic;
mod version;

pub mod balance;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
pub mod redis;
pub mod telemetry;

pub use announce::{Announcement, Announcements, Listener, StoreEvent, Subscriptions};
pub use audit::{Audits, Holder, Mended, RecordIndexes};
pub use commit::{Commit, Committed, Cursor, LogSlice, RoomCommit, RoomLoad, Rooms, Snapshot};
pub use entry::{Body, Entry};
pub use error::{Health, StoreError};
pub use heartbeats::Heartbeats;
pub use input::{Deadline, Input, Request};
pub use layout::{Layout, PartitionId, ShardId};
pub use lease::{Lease, LeaseHolder, LeaseName, Leases};
pub use membership::{HeartbeatReply, Membership, Node, NodeId, Role};
pub use metered::metered;
pub use note::{NoteChange, Notes};
pub use record::{Group, Record, RecordRead, RecordWrite, Records, WriteOutcome};
pub use reply::{Answer, Nudge, Reply};
pub use seat::{Outcome, OutcomeBody, Seat, SeatRead};
pub use terms::{Agreement, Terms};
pub use throttle::Throttle;
pub use topic::{Topic, TopicEntry, TopicId};

/// A store: everything that processes share.
pub trait Store:
    Topic
    + Rooms
    + Notes
    + Leases
    + Membership
    + Records
    + Audits
    + Agreement
    + Announcements
    + Send
    + Sync
    + 'static
{
    /// Returns the numbers of partitions and shards that this store was created with (L3).
    fn layout(&self) -> Layout;

    /// The store's time, in milliseconds since the epoch, as this process knows it without asking (T1).
    fn now_ms(&self) -> u64;

    /// True if the store answers, now and whenever that changes.
    fn health(&self) -> tokio::sync::watch::Receiver<Health>;
}

/// A store, shared by the parts of a process.
pub type SharedStore = Arc<dyn Store>;
