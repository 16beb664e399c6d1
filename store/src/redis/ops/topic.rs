use std::{borrow::Cow, sync::LazyLock, time::Duration};

use async_trait::async_trait;
use redis::Script;

use super::{
    fields::{seat_field, to_json},
    rooms::standing,
};
use crate::redis::{
    Redis,
    net::{
        batcher::{Answers, Batch},
        nodes::Nodes,
        script::ScriptCall,
    },
    unexpected,
};
use crate::{Deadline, Input, PartitionId, SeatRead, StoreError, Topic, TopicEntry, TopicId};

static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/append.lua")));

/// Appends to topics, gathered.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Appends {
    pub(in crate::redis) nodes: Nodes,
    pub(in crate::redis) entries_max: usize,
}

#[derive(Debug)]
pub(in crate::redis) struct Append {
    topic: String,
    deadline: Deadline,
    /// By how much the store's time is ahead of the clock there, in milliseconds.
    offset_ms: i64,
    /// As they lie in the topic.
    inputs: Vec<String>,
    looks: Vec<Look>,
}

/// A seat that is wanted: the room's key, and the seat's field.
#[derive(Debug)]
struct Look {
    room: String,
    seat: String,
}

/// Where each room ended, and the seat.
type Seen = Vec<(String, String)>;

impl Batch for Appends {
    type Ask = Append;
    type Answer = Seen;

    fn bytes(append: &Append) -> usize {
        let looks = append.looks.iter();
        let looks = looks.map(|look| look.room.len() + look.seat.len());
        append.inputs.iter().map(String::len).chain(looks).sum()
    }

    async fn send(&self, asks: &[Append]) -> Result<Answers<Self>, StoreError> {
        let keys: Vec<_> = asks.iter().flat_map(Append::keys).collect();
        let bytes = asks.iter().map(Self::bytes).sum();
        let mut script = ScriptCall::of_bytes(&APPEND, &keys, bytes);
        script.arg(self.entries_max);
        for append in asks {
            script.arg(append.deadline_by_the_clock());
            script.arg(append.inputs.len()).arg(append.looks.len());
            script.arg(&append.inputs);
            for look in &append.looks {
                script.arg(&look.seat);
            }
        }
        let outcomes: Vec<Vec<Vec<u8>>> = self.nodes.run(&script).await?;
        let appended = |(append, outcome): (&Append, _)| appended(outcome, append.looks.len());
        Ok(asks.iter().zip(outcomes).map(appended).collect())
    }
}

impl Append {
    fn deadline_by_the_clock(&self) -> u64 {
        self.deadline.0.saturating_add_signed(-self.offset_ms)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let rooms = self.looks.iter().map(|look| look.room.as_str());
        std::iter::once(self.topic.as_str()).chain(rooms)
    }
}

fn appended(outcome: Vec<Vec<u8>>, looks: usize) -> Result<Seen, StoreError> {
    // What is no text is no seat that this version can read.
    let mut outcome = outcome.iter().map(|part| String::from_utf8_lossy(part));
    match outcome.next().as_deref() {
        Some("done") => Some(pairs(outcome.map(Cow::into_owned)))
            .filter(|seen| seen.len() == looks)
            .ok_or_else(|| unexpected("seats are missing")),
        Some("late") => Err(StoreError::TooLate),
        Some("full") => Err(StoreError::Full("the topic is at its bound".into())),
        why => Err(StoreError::Unavailable(why.unwrap_or_default().to_owned())),
    }
}

fn pairs(mut texts: impl Iterator<Item = String>) -> Seen {
    std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect()
}

impl Redis {
    async fn append_looking(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: &[Input],
        looks: impl Fn() -> Vec<Look>,
    ) -> Result<Seen, StoreError> {
        if self.nodes.link(&self.keys.topic(partition))?.crowded() {
            return Err(StoreError::Full(
                "Redis is close to its memory limit".into(),
            ));
        }
        let topic = self.keys.topic(partition);
        let append = || Append {
            offset_ms: self.clock.offset_ms_at(&topic),
            topic: topic.clone(),
            deadline,
            inputs: inputs.iter().map(to_json).collect(),
            looks: looks(),
        };
        match self.appends.ask(append()).await {
            // So it is, or the clock has jumped that it was measured by.
            Err(StoreError::TooLate) if self.clock.sync_or_reckon().await <= deadline.0 => {
                self.clock.learn(&topic).await?;
                self.appends.ask(append()).await
            }
            appended => appended,
        }
    }
}

#[async_trait]
impl Topic for Redis {
    async fn append(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<(), StoreError> {
        self.append_looking(partition, deadline, &inputs, Vec::new)
            .await
            .map(drop)
    }

    async fn arrive(
        &self,
        partition: PartitionId,
        deadline: Deadline,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<SeatRead>>, StoreError> {
        let look = |input: &Input| Look {
            room: self.keys.room(partition, &input.room),
            seat: seat_field(&input.sid),
        };
        let looks = || inputs.iter().map(look).collect();
        let seen = self
            .append_looking(partition, deadline, &inputs, looks)
            .await?;
        let seen = inputs.iter().zip(seen);
        let standings = seen.map(|(input, (end, seat))| standing(&input.room, &end, &seat));
        Ok(standings.collect())
    }

    async fn read_topic(
        &self,
        partition: PartitionId,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, StoreError> {
        self.readers
            .read((&self.nodes, &self.keys), partition, after, max, wait)
            .await
    }
}
