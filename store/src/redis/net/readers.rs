//! Connections that wait for topic entries: one for each partition that is being read.

use std::{collections::HashMap, io, time::Duration};

use parking_lot::Mutex;
use redis::{RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    dialer::DialError,
    link::Link,
    nodes::Nodes,
    resolver::ResolvedAddress,
    script::{Redirect, Request},
};
use crate::redis::{
    error::{read_value, store_error},
    keys::Keys,
};
use crate::{Input, PartitionId, StoreError, TopicEntry, TopicId};

/// A command that waits holds up everything after it, so each wait has a connection to itself.
///
/// A connection is taken out while it waits. Who gives up waiting drops it, which ends the wait in
/// Redis, too; the next one then makes a new connection.
#[derive(Debug, Default)]
pub(in crate::redis) struct Readers {
    idle: Mutex<HashMap<PartitionId, (MultiplexedConnection, ResolvedAddress)>>,
}

/// XREAD answers streams, each with its entries, each with its id and its fields.
type Streams = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;

impl Readers {
    /// Reads what a topic holds after `after`, and waits where that is nothing.
    pub(in crate::redis) async fn read(
        &self,
        (nodes, keys): (&Nodes, &Keys),
        partition: PartitionId,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, StoreError> {
        let topic = keys.topic(partition);
        let read = xread(&topic, after, max, wait);
        let limit = wait + nodes.command_timeout();
        let link = nodes.link(&topic)?;
        let answer = match self.read_at(&link, partition, &read, false, limit).await? {
            Ok(answer) => answer,
            // Reading once more does no harm, and if that is not enough, who reads asks again.
            Err(redirect) => {
                let asking = redirect.ask;
                let link = nodes.follow(redirect).await?;
                let again = self.read_at(&link, partition, &read, asking, limit).await?;
                again.map_err(|_| StoreError::Unavailable("the topic is being moved".into()))?
            }
        };
        let (_, entries) = answer.unwrap_or_default().pop().unwrap_or_default();
        let entries = entries.into_iter();
        entries
            .map(|(id, fields)| topic_entry(&id, fields))
            .collect()
    }

    /// Reads from one node.
    async fn read_at(
        &self,
        link: &Link,
        partition: PartitionId,
        read: &redis::Cmd,
        asking: bool,
        limit: Duration,
    ) -> Result<Result<Option<Streams>, Redirect>, StoreError> {
        let (_, at) = link.connection()?;
        // The link may know before this connection does that there is nothing to wait for.
        let answer = tokio::select! {
            answer = self.query(link, &at, partition, read, asking, limit) => answer?,
            () = left(link, &at) => {
                return Err(StoreError::Unavailable("the connection was lost".into()));
            }
        };
        match answer {
            Ok(value) => read_value(value).map(Ok),
            Err(error) => match Redirect::of(&error, &at.address) {
                Some(redirect) => Ok(Err(redirect)),
                None => Err(store_error(error)),
            },
        }
    }

    async fn query(
        &self,
        link: &Link,
        at: &ResolvedAddress,
        partition: PartitionId,
        read: &redis::Cmd,
        asking: bool,
        limit: Duration,
    ) -> Result<RedisResult<Value>, StoreError> {
        let idle = self.idle.lock().remove(&partition);
        if let Some((connection, there)) = idle
            && there == *at
        {
            match self
                .query_on(connection, at, partition, read, asking, limit)
                .await
            {
                // It was closed while nobody used it.
                Err(error) if error.is_connection_dropped() => {}
                answer => return Ok(answer),
            }
        }
        let wire = link.dialer().dial_at(at, None).await;
        let connection = wire.map_err(DialError::into_inner)?.connection;
        Ok(self
            .query_on(connection, at, partition, read, asking, limit)
            .await)
    }

    async fn query_on(
        &self,
        mut connection: MultiplexedConnection,
        at: &ResolvedAddress,
        partition: PartitionId,
        read: &redis::Cmd,
        asking: bool,
        limit: Duration,
    ) -> RedisResult<Value> {
        let answer = timeout(limit, Request::Command(read).run(&mut connection, asking)).await;
        let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let idle = (connection, at.clone());
        self.idle.lock().insert(partition, idle);
        Ok(answer)
    }
}

/// Waits until a link leads somewhere else, or nowhere.
async fn left(link: &Link, at: &ResolvedAddress) {
    let mut changes = link.changes();
    while link.connection().is_ok_and(|(_, now)| now == *at) {
        // It ends only where the sender is gone, and `link` has it.
        let _ = changes.changed().await;
    }
}

fn xread(topic: &str, after: TopicId, max: usize, wait: Duration) -> redis::Cmd {
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT").arg(max);
    // BLOCK 0 would wait for ever.
    if !wait.is_zero() {
        read.arg("BLOCK").arg(wait.as_millis().max(1) as u64);
    }
    read.arg("STREAMS").arg(topic).arg(after.to_string());
    read
}

fn topic_entry(id: &str, fields: Vec<Vec<u8>>) -> Result<TopicEntry, StoreError> {
    let raw = match fields.as_slice() {
        [name, json] if name == b"input" => json.clone(),
        _ => fields.join(&b' '),
    };
    Ok(TopicEntry {
        id: id.parse()?,
        input: serde_json::from_slice::<Input>(&raw)
            .map_err(|_| String::from_utf8_lossy(&raw).into_owned()),
    })
}
