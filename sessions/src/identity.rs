use serde::{Deserialize, Serialize};

/// The owner of a session, as its newest token said (H5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user; a session never changes hands.
    pub user: String,
    /// When the token expires, in seconds since the epoch; never, when there is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The patterns of rooms that it may join; every room, when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<String>>,
    /// True if it may look after what belongs to others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
}
