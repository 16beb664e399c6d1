use outlast_store::StoreError;

/// Why a session is not what it was asked to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There is no such session, or it has ended, or the key is not one of its two: on purpose there is
    /// no telling which (S4). Also where the store has lost the attach that the caller relies on (R4).
    #[error("no such session, or not with this key")]
    Gone,
    /// A newer socket holds the session; nothing has changed (S5).
    #[error("a newer socket has taken the session over")]
    Superseded,
    /// The token names another user than the session's; nothing has changed (H5).
    #[error("the session belongs to another user")]
    OtherUser,
    /// The user has as many sessions as it may; none was made (S8).
    #[error("the user has {max} sessions already, which is as many as it may have")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The session is in as many rooms as it may be; the room was not added (A5).
    #[error("a session may be in {max} rooms at most")]
    TooManyRooms {
        /// The bound.
        max: usize,
    },
    /// The session was written by a version of outlast that this one cannot read. Nothing is wrong with
    /// it: a process of the newer version can take it up.
    #[error("the session's record cannot be read by this version: {0}")]
    Unreadable(String),
    /// The store did not do it. It may have happened after all, and can be repeated.
    #[error(transparent)]
    Store(#[from] StoreError),
}
