use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use redis::Script;

use super::{
    Redis,
    errand::Call,
    gather::{Answers, Batch},
    keys,
    nodes::Nodes,
};
use crate::{BrokerError, Deadline, Input, Partition, Topic, TopicEntry, TopicId};

static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("append.lua")));

/// Appends to topics, gathered.
#[derive(Debug, Clone)]
pub(super) struct Appends {
    pub(super) nodes: Nodes,
    pub(super) entries_max: usize,
}

#[derive(Debug)]
pub(super) struct Append {
    topic: String,
    deadline: Deadline,
    /// As they lie in the topic.
    inputs: Vec<String>,
}

impl Batch for Appends {
    type Ask = Append;
    type Answer = ();

    fn bytes(append: &Append) -> usize {
        append.inputs.iter().map(String::len).sum()
    }

    async fn send(&self, asks: &[Append]) -> Result<Answers<Self>, BrokerError> {
        let topics: Vec<_> = asks.iter().map(|append| &append.topic).collect();
        let bytes = asks.iter().map(Self::bytes).sum();
        let mut script = Call::of_bytes(&APPEND, &topics, bytes);
        script.arg(self.entries_max);
        for append in asks {
            script.arg(append.deadline.0).arg(append.inputs.len());
            script.arg(&append.inputs);
        }
        let outcomes: Vec<String> = self.nodes.run(&script).await?;
        let appended = |outcome: String| match outcome.as_str() {
            "done" => Ok(()),
            "late" => Err(BrokerError::TooLate),
            "full" => Err(BrokerError::Full("the topic is at its bound".into())),
            why => Err(BrokerError::Unavailable(why.to_owned())),
        };
        Ok(outcomes.into_iter().map(appended).collect())
    }
}

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
        let append = Append {
            topic: keys::topic(partition),
            deadline,
            inputs: inputs.iter().map(to_json).collect(),
        };
        self.appends.ask(append).await
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
