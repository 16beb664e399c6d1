use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The name of a running process, drawn anew each time one starts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Draws a new one: eight letters and digits.
    pub fn random() -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letters = (0..8).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]));
        NodeId(letters.collect::<String>().into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        NodeId(name.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The role of a member of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Holds sockets.
    Gateway,
    /// Runs rooms.
    Worker,
    /// Keeps sessions.
    Keeper,
}

/// A member of the fleet, as its last heartbeat described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// When it was last heard of, on the store's clock, in milliseconds since the epoch.
    pub heard_ms: u64,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The store's clock, in milliseconds since the epoch.
    pub now_ms: u64,
    /// True if the store did not know this member: it is new, or was declared dead, or the store was
    /// emptied. Whoever thought itself known must look after what it owned.
    pub unknown: bool,
}

/// Which processes are alive.
#[async_trait]
pub trait Membership {
    /// Says that a member is alive.
    async fn heartbeat(&self, id: &NodeId, role: Role) -> Result<HeartbeatReply, StoreError>;

    /// Everybody who was heard of and has not left, and the store's clock.
    async fn nodes(&self) -> Result<(u64, Vec<Node>), StoreError>;

    /// Strikes a member off, because it leaves or because it was silent for too long: only if it was
    /// last heard of no later than `heard_ms`, when that is given. Answers whether it was struck.
    async fn deregister(&self, id: &NodeId, heard_ms: Option<u64>) -> Result<bool, StoreError>;
}
