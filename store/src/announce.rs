use std::sync::Arc;

use async_trait::async_trait;
use outlast_protocol::{Payload, Pos, RoomName};
use serde::{Deserialize, Serialize};

use crate::{Entry, NodeId, Nudge, Reply, StoreError};

/// News of one room's commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// Which room.
    pub room: RoomName,
    /// The last entry of its log before this commit; [`Pos::START`] when it had none. Who holds another
    /// has missed something, or holds what the store has lost (R4).
    #[serde(alias = "behind")]
    pub prev: Pos,
    /// The entries that were added to its log.
    pub entries: Vec<Entry>,
    /// The volatile signals.
    pub signals: Vec<Payload>,
}

/// An event that a listener hears.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreEvent {
    /// A room that it subscribed to has new entries.
    Room(Announcement),
    /// A room answers one of this process's sessions. Announcements and replies of one partition are
    /// heard in the order of the commits; within a commit, rooms come before replies.
    Reply(Reply),
    /// Another process has something to say.
    Nudge(Nudge),
    /// Anything may have been missed before this. Where a connection was lost it is heard before any news
    /// of the next one, and again when that one has every subscription in place: a log that is read
    /// after that one holds all that went unheard.
    Missed,
}

/// The receiving end of a process's announcements.
#[async_trait]
pub trait Listener: Send {
    /// Waits for the next; never ends, and is cancel safe.
    async fn next(&mut self) -> StoreEvent;
}

/// The subscriptions of a process. Shared by its parts.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Returns once nothing that is committed to the room from now on goes unheard. While the store is
    /// away it fails, and the subscription is not made.
    async fn subscribe(&self, room: &RoomName) -> Result<(), StoreError>;

    /// From now on the room's news need not be heard. Best effort.
    fn unsubscribe(&self, room: &RoomName);
}

/// News of commits and messages between processes, delivered at most once: the log is the truth.
#[async_trait]
pub trait Announcements {
    /// Starts to listen: to replies and nudges for `me`, to nudges for everybody, and to the rooms that
    /// are subscribed to. Called once by each process part that listens.
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), StoreError>;

    /// Tells one process something, or everybody (`None`).
    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), StoreError>;
}
