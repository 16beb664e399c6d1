//! Connections that wait for topic entries: one for each partition that is being read.

use std::{collections::HashMap, io, time::Duration};

use parking_lot::Mutex;
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{dialer::DialError, fault::broker_error, keys, link::Link};
use crate::{BrokerError, Health, Input, Partition, TopicEntry, TopicId};

/// A command that waits holds up everything behind it, so each wait has a connection to itself.
///
/// A connection is taken out while it waits. Who gives up waiting drops it, which ends the wait in
/// Redis, too; the next one then makes a new connection.
#[derive(Debug, Default)]
pub(super) struct Readers {
    idle: Mutex<HashMap<Partition, MultiplexedConnection>>,
}

/// XREAD answers streams, each with its entries, each with its id and its fields.
type Streams = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;

impl Readers {
    /// Reads what a topic holds behind `after`, and waits where that is nothing.
    pub(super) async fn read(
        &self,
        link: &Link,
        partition: Partition,
        after: TopicId,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TopicEntry>, BrokerError> {
        link.connection()?;
        let read = xread(partition, after, max, wait);
        // The link may know before this connection does that there is nothing to wait for.
        tokio::select! {
            read = self.query(link, partition, &read, wait + link.command_timeout()) => {
                let (_, entries) = read?.pop().unwrap_or_default();
                entries.into_iter().map(|(id, fields)| topic_entry(&id, fields)).collect()
            }
            () = link.becomes(Health::Down) => {
                Err(BrokerError::Unavailable("the connection was lost".into()))
            }
        }
    }

    async fn query(
        &self,
        link: &Link,
        partition: Partition,
        read: &redis::Cmd,
        limit: Duration,
    ) -> Result<Streams, BrokerError> {
        let idle = self.idle.lock().remove(&partition);
        if let Some(connection) = idle {
            match self.query_on(connection, partition, read, limit).await {
                // It was closed while nobody used it.
                Err(error) if error.is_connection_dropped() => {}
                answer => return answer.map_err(broker_error),
            }
        }
        let wire = link
            .dialer()
            .dial(link.address(), None)
            .await
            .map_err(DialError::into_inner)?;
        self.query_on(wire.connection, partition, read, limit)
            .await
            .map_err(broker_error)
    }

    async fn query_on(
        &self,
        mut connection: MultiplexedConnection,
        partition: Partition,
        read: &redis::Cmd,
        limit: Duration,
    ) -> RedisResult<Streams> {
        let answer = timeout(limit, read.query_async(&mut connection)).await;
        let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.idle.lock().insert(partition, connection);
        Ok(answer)
    }
}

fn xread(partition: Partition, after: TopicId, max: usize, wait: Duration) -> redis::Cmd {
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT").arg(max);
    // BLOCK 0 would wait for ever.
    if !wait.is_zero() {
        read.arg("BLOCK").arg(wait.as_millis().max(1) as u64);
    }
    read.arg("STREAMS")
        .arg(keys::topic(partition))
        .arg(after.to_string());
    read
}

fn topic_entry(id: &str, fields: Vec<Vec<u8>>) -> Result<TopicEntry, BrokerError> {
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
