use std::time::Duration;

use redb::{ReadTransaction, ReadableTableMetadata};

use super::{Embedded, append::Append, tables::ROOMS};
use crate::{BrokerError, Deadline, Partition};

/// For tests alone.
impl Embedded {
    /// Lets the store's clock jump ahead, as if so much time had passed.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// Appends a text as it is, such as another version might have written (W6).
    pub async fn append_text(&self, partition: Partition, text: &str) -> Result<(), BrokerError> {
        let append = Append::new(partition, Deadline(u64::MAX), vec![text.to_owned()]);
        self.writer.run(append).await
    }

    /// How many rooms lie in the store, those included whose time has run out.
    pub fn rooms_stored(&self) -> u64 {
        let rooms = |txn: &ReadTransaction| Ok(txn.open_table(ROOMS)?.len()?);
        self.shared
            .disk
            .read(rooms)
            .expect("a store under test can be read")
    }
}
