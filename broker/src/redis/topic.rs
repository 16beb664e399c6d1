use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use redis::Script;

use super::{Redis, errand::Call, keys, unexpected};
use crate::{BrokerError, Deadline, Input, Partition, Topic, TopicEntry, TopicId};

static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("append.lua")));

#[async_trait]
impl Topic for Redis {
    async fn append(
        &self,
        partition: Partition,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), BrokerError> {
        if self.nodes.link(&keys::topic(partition))?.crowded() {
            return Err(BrokerError::Full(
                "Redis is close to its memory limit".into(),
            ));
        }
        let mut script = Call::new(&APPEND, &[keys::topic(partition)]);
        script.arg(deadline.0).arg(self.settings.topic_entries_max);
        for input in &inputs {
            script.arg(to_json(input));
        }
        match self.nodes.run::<String>(&script).await?.as_str() {
            "done" => Ok(()),
            "late" => Err(BrokerError::TooLate),
            "full" => Err(BrokerError::Full("the topic is at its bound".into())),
            other => Err(unexpected(other)),
        }
    }

    async fn read_topic(
        &self,
        partition: Partition,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, BrokerError> {
        self.readers
            .read(&self.nodes, partition, after, max, wait)
            .await
    }
}

/// What we store is made of strings, numbers and payloads that were read as JSON.
pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what travels through a store can be written as JSON")
}
