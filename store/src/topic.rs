use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{Deadline, Input, PartitionId, SeatRead, StoreError};

/// Where an entry stands in a topic: the store's clock in milliseconds, and a count within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct TopicId {
    /// The store's clock when the entry was appended, in milliseconds since the epoch.
    pub ms: u64,
    /// Which entry of that millisecond, or of any later one when the clock went back.
    pub seq: u64,
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl std::str::FromStr for TopicId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let parts = text
            .split_once('-')
            .and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
        let (ms, seq) =
            parts.ok_or_else(|| StoreError::Unreadable(format!("topic id {text:?}")))?;
        Ok(TopicId { ms, seq })
    }
}

/// An entry of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicEntry {
    /// Where it stands.
    pub id: TopicId,
    /// The input; the raw text where this version cannot read it (W6).
    pub input: Result<Input, String>,
}

/// Inputs on their way to their rooms.
#[async_trait]
pub trait Topic {
    /// Appends inputs, which all belong to `partition`, in order and as a whole.
    ///
    /// # Errors
    /// [`StoreError::TooLate`] past `deadline`; [`StoreError::Full`] at the topic's bound or the
    /// store's memory limit; nothing is appended then. After [`StoreError::Unavailable`] it may have
    /// been: rooms tell repetitions by their numbers.
    async fn append(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), StoreError>;

    /// Appends as [`append`](Topic::append) does, and answers for each input where its session stood in its room at
    /// that moment, as of the room's last commit; `None` where it had no seat that this version can read. What it did
    /// before and still lies in the topic has not been done there.
    ///
    /// # Errors
    /// As [`append`](Topic::append).
    async fn arrive(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<SeatRead>>, StoreError>;

    /// Reads up to `max` entries after `after`; waits up to `wait` for the first. Empty when none came.
    async fn read_topic(
        &self,
        partition: PartitionId,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, StoreError>;
}
