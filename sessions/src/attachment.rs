use std::fmt;

use outlast_protocol::{RoomName, Sid};

use crate::Identity;

/// A session that has just been given a socket.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The session's name.
    pub sid: Sid,
    /// The secret that the next resume needs. It exists here and at the client, nowhere else.
    pub key: String,
    /// The number of sockets that the session has had, this one included.
    pub generation: u64,
    /// Whose session it is. Its token may have expired meanwhile; that is the caller's to judge (H6).
    pub identity: Identity,
    /// The rooms that it may be in: it was about to join them, and has not left them since.
    pub rooms: Vec<RoomName>,
}

/// Leaves the key out (H3).
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("sid", &self.sid)
            .field("generation", &self.generation)
            .field("identity", &self.identity)
            .field("rooms", &self.rooms)
            .finish_non_exhaustive()
    }
}
