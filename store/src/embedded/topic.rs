use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::{
    Embedded,
    append::{Append, Arrive},
    error::{WriteError, json},
    tables::TOPIC,
};
use crate::{Deadline, Input, PartitionId, SeatRead, StoreError, Topic, TopicEntry, TopicId};

#[async_trait]
impl Topic for Embedded {
    async fn append(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), StoreError> {
        self.writer.run(append(partition, deadline, &inputs)).await
    }

    async fn arrive(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<SeatRead>>, StoreError> {
        let append = append(partition, deadline, &inputs);
        let who = inputs.into_iter().map(|input| (input.room, input.sid));
        self.writer.run(Arrive::new(append, who.collect())).await
    }

    async fn read_topic(
        &self,
        partition: PartitionId,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, StoreError> {
        let until = Instant::now() + wait;
        let bell = &self.shared.appended[usize::from(partition.0)];
        loop {
            // Armed before the look, so that nothing is appended unheard between look and wait.
            let rung = bell.notified();
            let entries = self.entries_behind(partition, after, max).await?;
            if !entries.is_empty() || timeout_at(until, rung).await.is_err() {
                return Ok(entries);
            }
        }
    }
}

fn append(partition: PartitionId, deadline: Deadline, inputs: &[Input]) -> Append {
    let texts = inputs.iter().map(json::write).collect();
    Append::new(partition, deadline, texts)
}

impl Embedded {
    async fn entries_behind(
        &self,
        PartitionId(p): PartitionId,
        after: TopicId,
        max: usize,
    ) -> Result<Vec<TopicEntry>, StoreError> {
        self.look(|txn| {
            let topic = txn.open_table(TOPIC)?;
            let behind = topic.range((p, after.ms, after.seq + 1)..=(p, u64::MAX, u64::MAX))?;
            let entries = behind.take(max).map(|entry| {
                let (key, text) = entry?;
                let (_, ms, seq) = key.value();
                let text = text.value();
                Ok(TopicEntry {
                    id: TopicId { ms, seq },
                    input: serde_json::from_str(text).map_err(|_| text.to_owned()),
                })
            });
            entries.collect::<Result<_, WriteError>>()
        })
        .await
    }
}
