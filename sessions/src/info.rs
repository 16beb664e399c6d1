use outlast_protocol::RoomName;
use outlast_store::NodeId;

/// A session as its record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Whose it is.
    pub user: String,
    /// The number of sockets that it has had.
    pub generation: u64,
    /// True if it has one now.
    pub presence: Presence,
    /// The rooms that it may be in.
    pub rooms: Vec<RoomName>,
}

/// True if a session has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It has.
    Attached {
        /// The gateway that holds it.
        gateway: NodeId,
    },
    /// It has lost it.
    Detached {
        /// When, on the store's clock, in milliseconds since the epoch.
        since_ms: u64,
    },
}
