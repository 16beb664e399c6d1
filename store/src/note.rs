use async_trait::async_trait;

use crate::{PartitionId, StoreError};

/// A note by its name, and what it says from now on; `None` takes it away.
pub type NoteChange = (String, Option<String>);

/// The notes that the holders of a partition leave for those that come after them, whatever becomes of them.
#[async_trait]
pub trait Notes {
    /// All notes of a partition, in no order.
    async fn notes(&self, partition: PartitionId) -> Result<Vec<(String, String)>, StoreError>;

    /// Changes notes, all of them or none. It is durable when this returns, and works at the store's memory limit.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where a newer epoch owns the partition; nothing has changed then.
    async fn note(
        &self,
        partition: PartitionId,
        epoch: u64,
        changes: &[NoteChange],
    ) -> Result<(), StoreError>;
}
