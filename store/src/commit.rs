use std::fmt;

use async_trait::async_trait;
use outlast_protocol::{Payload, Pos, RoomName, Sid};
use serde::{Deserialize, Serialize};

use crate::{Entry, Input, NodeId, PartitionId, Reply, Seat, StoreError, TopicId};

/// The progress of a partition. Each commit moves it from the one it expects to a new one, so that a
/// commit whose answer was lost is told from one that never happened (W2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The last topic entry that was applied.
    pub topic: TopicId,
    /// The number of commits so far.
    pub commits: u64,
    /// The random number of the newest commit.
    pub tag: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.commits, self.tag)
    }
}

impl std::str::FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let unreadable = || StoreError::Unreadable(format!("cursor {text:?}"));
        let mut parts = text.split('/');
        let topic = parts.next().ok_or_else(unreadable)?.parse()?;
        let mut number = || parts.next()?.parse().ok();
        let (commits, tag) = number().zip(number()).ok_or_else(unreadable)?;
        Ok(Cursor {
            topic,
            commits,
            tag,
        })
    }
}

/// One atomic step of a partition (W2): everything in it happens, or nothing does.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Which partition.
    pub partition: PartitionId,
    /// The epoch of the lease that it is written under.
    pub epoch: u64,
    /// The cursor that it expects.
    pub from: Cursor,
    /// The cursor that it leaves. Topic entries up to it are no longer needed.
    pub to: Cursor,
    /// The changes in each room; each room at most once.
    pub rooms: Vec<RoomCommit>,
    /// The replies to gateways, in order, announced once it has happened.
    pub replies: Vec<(NodeId, Reply)>,
    /// Topic entries that this version cannot read, kept as they are (W6), after those that are.
    pub unread: Vec<String>,
    /// The number of those that were kept that this commit takes up again: so many of the oldest are dropped,
    /// before any is added.
    pub reread: usize,
    /// Notes that go with it, by their names: it shows that they say nothing any more.
    pub unnote: Vec<String>,
}

/// The changes of a commit in one room.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomCommit {
    /// Which room.
    pub room: RoomName,
    /// The last entry of its log before this, [`Pos::START`] for a room that has none; the commit is
    /// refused with [`StoreError::Moved`] where the log ends elsewhere.
    pub prev: Pos,
    /// New entries, `off` rising by one from `prev`.
    pub entries: Vec<Entry>,
    /// Seats that changed; `None` forgets one.
    pub seats: Vec<(Sid, Option<Seat>)>,
    /// The host's own state of the room (see `worker`); replaces what was there. `None` leaves
    /// it.
    pub head: Option<String>,
    /// A new snapshot; replaces the one before.
    pub snapshot: Option<Snapshot>,
    /// Entries with a lower `off` go. The room's last entry always stays (E2).
    pub trim_below: Option<u64>,
    /// When the room wants to be woken, on the store's clock; replaces what was there.
    pub wake_ms: Option<u64>,
    /// The time for which the room's keys may stay from now on, in milliseconds: set when its last member leaves
    /// (E2); `None` keeps them for good.
    pub ttl_ms: Option<u64>,
    /// Inputs to park for a version that can read this room (W6), after those that are.
    pub park: Vec<Input>,
    /// True if parked inputs have been taken up by this commit and are dropped.
    pub unpark: bool,
    /// Volatile news for whoever listens now; not stored.
    pub signals: Vec<Payload>,
}

/// A room's state at a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry that it includes.
    pub pos: Pos,
    /// The version of the room's state, chosen by the room.
    pub version: u32,
    /// The state.
    pub state: Payload,
}

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It has happened now.
    Now,
    /// It had happened before: this was a repetition, and changed nothing.
    Before,
}

/// Everything that a store holds of a room.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RoomLoad {
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The log's entries after the snapshot, or all of them when there is none; fewer where the log was lost (W14).
    pub entries: Vec<Entry>,
    /// The log's last position; [`Pos::START`] when it never had an entry. As for [`LogSlice::last`].
    pub last: Pos,
    /// The log's first `off`; 0 when it has no entry.
    pub first_off: u64,
    /// The seats, by session.
    pub seats: Vec<(Sid, Seat)>,
    /// The host's own state of the room.
    pub head: Option<String>,
    /// Parked inputs (W6).
    pub parked: Vec<Input>,
}

/// A piece of a room's log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogSlice {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// The first `off` that the log still holds; 0 when it has no entry.
    pub first_off: u64,
    /// The log's last position; [`Pos::START`] when it never had an entry. Where the log is gone and the room
    /// remembers that it had entries, the room's: no position of that room stands in it any more (W14).
    pub last: Pos,
}

/// Room logs, snapshots and seats.
#[async_trait]
pub trait Rooms {
    /// Where a partition stands; the default when nothing was committed yet.
    async fn cursor(&self, partition: PartitionId) -> Result<Cursor, StoreError>;

    /// Does a commit.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], [`StoreError::Moved`] and [`StoreError::Full`] mean that nothing has
    /// changed. After [`StoreError::Unavailable`] the same commit is repeated until it is answered.
    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError>;

    /// Loads a room whole, at one moment. A room that was never written is the default.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where some of it is of a version that this one cannot read (W6).
    async fn load(&self, room: &RoomName) -> Result<RoomLoad, StoreError>;

    /// The oldest of a partition's topic entries that were kept unread, up to `max` of them; each again
    /// the raw text where this version cannot read it either (W6).
    async fn unread(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<Result<Input, String>>, StoreError>;

    /// Those of a room's parked inputs that this version can read, in order: for a room that cannot be
    /// loaded (W6).
    async fn parked(&self, room: &RoomName) -> Result<Vec<Input>, StoreError>;

    /// Reads up to `max` entries of a room's log with an `off` of at least `from_off`, at one moment.
    async fn read_log(
        &self,
        room: &RoomName,
        from_off: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError>;

    /// Reads the last `max` entries of a room's log, at one moment.
    async fn read_tail(&self, room: &RoomName, max: usize) -> Result<LogSlice, StoreError>;

    /// Rooms of a partition that want to be woken, with when, the earliest first.
    async fn wakes(
        &self,
        partition: PartitionId,
        max: usize,
    ) -> Result<Vec<(RoomName, u64)>, StoreError>;
}
