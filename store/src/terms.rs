use async_trait::async_trait;

use crate::StoreError;

/// The times for which sessions live without a socket: kept in the store, so that all of its processes go by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The time for which a session outlives its socket, in milliseconds (S2).
    pub ttl_ms: u64,
    /// The time that a session may be without a socket before its rooms are told, in milliseconds (S7).
    pub grace_ms: u64,
}

/// The one value of [`Terms`] that counts in a store.
#[async_trait]
pub trait Agreement {
    /// The terms that count. Where there are none yet, these do from now on.
    async fn agree(&self, ours: Terms) -> Result<Terms, StoreError>;

    /// The terms that count, as one says who decreed some: where what counts was decreed by nobody, because the store was
    /// emptied meanwhile, these are decreed.
    async fn uphold(&self, ours: Terms) -> Result<Terms, StoreError> {
        self.agree(ours).await
    }

    /// From now on these terms count.
    async fn decree(&self, ours: Terms) -> Result<(), StoreError>;
}
