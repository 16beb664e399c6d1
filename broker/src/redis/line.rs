//! One of a listener's connections.

use std::collections::BTreeSet;

use redis::{Pipeline, PushKind, Value};

use super::{
    dialer::Wire,
    ear::{Parcel, away},
    fault::broker_error,
};
use crate::BrokerError;

/// How many channels are named in one go.
const CHANNELS_AT_ONCE: usize = 512;

/// A connection that hears some parcels of what there is to hear. After an error it is of no more use.
#[derive(Debug)]
pub(super) struct Line {
    wire: Wire,
    number: u64,
    parcels: BTreeSet<Parcel>,
}

impl Line {
    pub(super) fn new(wire: Wire, number: u64, parcels: BTreeSet<Parcel>) -> Self {
        Line {
            wire,
            number,
            parcels,
        }
    }

    /// What the inbox calls it.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn parcels(&self) -> &BTreeSet<Parcel> {
        &self.parcels
    }

    pub(super) fn has(&self, parcel: Parcel) -> bool {
        self.parcels.contains(&parcel)
    }

    /// Waits until it is of no more use.
    pub(super) async fn closed(&self) {
        self.wire.closed().await;
    }

    /// Hears channels from now on that reach every node.
    pub(super) async fn hear_plain(&mut self, channels: &[String]) -> Result<(), BrokerError> {
        if channels.is_empty() {
            return Ok(());
        }
        let subscribed = self.wire.connection.subscribe(channels).await;
        subscribed.map_err(broker_error)
    }

    /// Hears sharded channels from now on.
    pub(super) async fn hear(&mut self, channels: &[String]) -> Result<(), BrokerError> {
        self.confirm("SSUBSCRIBE", &PushKind::SSubscribe, channels)
            .await
    }

    /// Hears sharded channels no more.
    pub(super) async fn leave(&mut self, channels: &[String]) -> Result<(), BrokerError> {
        self.wire.leaves(channels.len());
        self.confirm("SUNSUBSCRIBE", &PushKind::SUnsubscribe, channels)
            .await
    }

    pub(super) async fn ping(&mut self) -> Result<(), BrokerError> {
        let pong: Value = redis::cmd("PING")
            .query_async(&mut self.wire.connection)
            .await
            .map_err(broker_error)?;
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
    ) -> Result<(), BrokerError> {
        for some in channels.chunks(CHANNELS_AT_ONCE) {
            let mut all = Pipeline::new();
            for channel in some {
                all.cmd(command).arg(channel);
            }
            let answers = all.query_async(&mut self.wire.connection).await;
            let answers: Vec<Value> = answers.map_err(broker_error)?;
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
