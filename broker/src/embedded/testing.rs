use std::time::Duration;

use super::{Embedded, append::Append};
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
}
