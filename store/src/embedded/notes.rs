use async_trait::async_trait;
use redb::ReadTransaction;

use super::{
    Embedded, Shared,
    batch::{Batch, Durability},
    error::WriteError,
    tables::NOTES,
    writer::Operation,
};
use crate::{LeaseName, NoteChange, Notes, PartitionId, StoreError};

#[async_trait]
impl Notes for Embedded {
    async fn notes(
        &self,
        PartitionId(p): PartitionId,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.look(|txn: &ReadTransaction| {
            let notes = txn.open_table(NOTES)?;
            // Partitions are no more than 1,024.
            let found = notes.range((p, "")..(p + 1, ""))?;
            let notes = found.map(|note| {
                let (key, text) = note?;
                Ok((key.value().1.to_owned(), text.value().to_owned()))
            });
            notes.collect::<Result<_, WriteError>>()
        })
        .await
    }

    async fn note(
        &self,
        partition: PartitionId,
        epoch: u64,
        changes: &[NoteChange],
    ) -> Result<(), StoreError> {
        let changes = changes.to_vec();
        let note = DoNote {
            partition,
            epoch,
            changes,
        };
        self.writer.run(note).await
    }
}

struct DoNote {
    partition: PartitionId,
    epoch: u64,
    changes: Vec<NoteChange>,
}

impl Operation for DoNote {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        let (PartitionId(p), epoch) = (self.partition, self.epoch);
        let lease = LeaseName::Partition(self.partition);
        if !step.shared.leases.is_newest(lease, epoch) {
            return Err(StoreError::Fenced { epoch }.into());
        }
        let mut notes = step.write(Durability::Durable)?.open_table(NOTES)?;
        for (name, text) in &self.changes {
            let key = (p, name.as_str());
            match text {
                Some(text) => notes.insert(key, text.as_str())?,
                None => notes.remove(key)?,
            };
        }
        Ok(())
    }

    fn announce(self, (): &(), _: &Shared) {}
}
