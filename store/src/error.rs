/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer in time, or its answer was lost. What was asked **may have happened**;
    /// every operation of this crate can be repeated safely.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The store is at its memory limit, or the topic at its bound. Nothing has changed (W7).
    #[error("the store cannot take more: {0}")]
    Full(String),
    /// A newer epoch owns the partition or shard. Nothing has changed (W1).
    #[error("fenced: a newer epoch than {epoch} owns this")]
    Fenced {
        /// The epoch that was refused.
        epoch: u64,
    },
    /// The store is not where the commit expected it to be. Nothing has changed (W2).
    #[error("the store stands at another place than expected: {0}")]
    Moved(String),
    /// An append came later than its deadline. Nothing has changed (S6).
    #[error("the append came too late to be taken")]
    TooLate,
    /// A stored value that cannot be read by this version (W6).
    #[error("the store holds something that this version cannot read: {0}")]
    Unreadable(String),
    /// The store was made with another format or layout (L3).
    #[error("{0}")]
    Incompatible(String),
}

/// True if the store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Up,
    /// It answers, and takes changes of what it holds, and nothing new: it is at its memory limit, or close to it.
    Full,
    /// It answers, and is not to be relied on: nothing more may be put into it, or it throws away what it holds.
    Refusing,
    /// It does not; the backend keeps trying.
    Down,
}
