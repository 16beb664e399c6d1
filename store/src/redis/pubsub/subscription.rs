//! One of a listener's connections.

use std::collections::BTreeSet;

use redis::{Pipeline, PushKind, Value};

use super::interest::Interest;
use crate::StoreError;
use crate::redis::{error::store_error, net::dialer::Wire};

/// The number of channels that are named in one go.
const CHANNELS_AT_ONCE: usize = 512;

/// A connection that hears what lies in some slots. After an error it is of no more use.
#[derive(Debug)]
pub(in crate::redis) struct SubscriberConnection {
    wire: Wire,
    number: u64,
    interests: BTreeSet<Interest>,
}

impl SubscriberConnection {
    pub(in crate::redis) fn new(wire: Wire, number: u64, interests: BTreeSet<Interest>) -> Self {
        SubscriberConnection {
            wire,
            number,
            interests,
        }
    }

    /// Returns the connection's number in the inbox.
    pub(in crate::redis) fn number(&self) -> u64 {
        self.number
    }

    pub(in crate::redis) fn interests(&self) -> &BTreeSet<Interest> {
        &self.interests
    }

    pub(in crate::redis) fn has(&self, interest: Interest) -> bool {
        self.interests.contains(&interest)
    }

    /// Waits until it is of no more use.
    pub(in crate::redis) async fn closed(&self) {
        self.wire.closed().await;
    }

    /// Hears channels from now on that reach every node.
    pub(in crate::redis) async fn subscribe(
        &mut self,
        channels: &[String],
    ) -> Result<(), StoreError> {
        if channels.is_empty() {
            return Ok(());
        }
        let subscribed = self.wire.connection.subscribe(channels).await;
        subscribed.map_err(store_error)
    }

    /// Hears sharded channels from now on.
    pub(in crate::redis) async fn ssubscribe(
        &mut self,
        channels: &[String],
    ) -> Result<(), StoreError> {
        self.confirm("SSUBSCRIBE", &PushKind::SSubscribe, channels)
            .await
    }

    /// Hears sharded channels no more.
    pub(in crate::redis) async fn unsubscribe(
        &mut self,
        channels: &[String],
    ) -> Result<(), StoreError> {
        self.wire.leaves(channels.len());
        self.confirm("SUNSUBSCRIBE", &PushKind::SUnsubscribe, channels)
            .await
    }

    pub(in crate::redis) async fn ping(&mut self) -> Result<(), StoreError> {
        let pong: Value = redis::cmd("PING")
            .query_async(&mut self.wire.connection)
            .await
            .map_err(store_error)?;
        match pong == Value::SimpleString("PONG".into()) {
            true => Ok(()),
            false => Err(away()),
        }
    }

    /// Sends a command for each channel. Redis may say by itself that it dropped a channel, which looks
    /// like an answer: so each answer has to be the right one.
    async fn confirm(
        &mut self,
        command: &str,
        kind: &PushKind,
        channels: &[String],
    ) -> Result<(), StoreError> {
        for some in channels.chunks(CHANNELS_AT_ONCE) {
            let mut all = Pipeline::new();
            for channel in some {
                all.cmd(command).arg(channel);
            }
            let answers = all.query_async(&mut self.wire.connection).await;
            let answers: Vec<Value> = answers.map_err(store_error)?;
            let confirmed = |(answer, channel): (&Value, &String)| {
                matches!(answer,
                Value::Push { kind: is, data } if is == kind
                    && data.first() == Some(&Value::BulkString(channel.as_bytes().into())))
            };
            if answers.len() != some.len() || !answers.iter().zip(some).all(confirmed) {
                return Err(away());
            }
        }
        Ok(())
    }
}

pub(in crate::redis) fn away() -> StoreError {
    StoreError::Unavailable("the connection that listens was lost".into())
}
