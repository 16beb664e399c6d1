//! A listener's connection, and who looks after it.

use std::{collections::HashSet, pin::pin, sync::Arc};

use outlast_protocol::RoomName;
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    dialer::{DialError, Wire, backoff},
    fault::broker_error,
    inbox::Inbox,
    keys::Channels,
    link::Link,
};
use crate::{BrokerError, Health, Layout};

/// How many wishes are taken up at once.
const WISHES_AT_ONCE: usize = 512;

/// How many channels are named in one command.
const CHANNELS_AT_ONCE: usize = 512;

/// What a listener wants to hear of, or no longer.
#[derive(Debug)]
pub(super) enum Wish {
    Subscribe(RoomName, oneshot::Sender<Result<(), BrokerError>>),
    Unsubscribe(RoomName),
}

/// Keeps a connection that hears what it should, and fills an inbox from it.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) link: Arc<Link>,
    pub(super) layout: Layout,
    pub(super) channels: Channels,
    /// Channels that are always heard.
    pub(super) fixed: Vec<String>,
    /// Rooms that are heard for now.
    pub(super) rooms: HashSet<RoomName>,
    pub(super) inbox: Arc<Inbox>,
}

impl Ear {
    /// Connects, with every subscription in place.
    pub(super) async fn connect(&self) -> Result<Wire, BrokerError> {
        let (inbox, number) = (self.inbox.clone(), self.inbox.next_connection());
        let hear = move |channel, message| inbox.push(number, channel, message);
        let answer_timeout = Some(self.link.command_timeout());
        let dialer = self.link.dialer();
        let dialed = dialer.dial_to_hear(self.link.address(), answer_timeout, hear);
        let mut wire = dialed.await.map_err(DialError::into_inner)?;
        subscribe(&mut wire.connection, &self.fixed).await?;
        subscribe(&mut wire.connection, &self.names(&self.rooms)).await?;
        Ok(wire)
    }

    /// Listens for ever. That nobody makes wishes any more is no reason to stop.
    pub(super) async fn listen(mut self, mut wire: Wire, mut wishes: mpsc::Receiver<Wish>) {
        loop {
            self.until_lost(&mut wire, &mut wishes).await;
            wire = self.again(&mut wishes).await;
            self.inbox.push_missed();
        }
    }

    /// Fulfils wishes until the connection is lost.
    async fn until_lost(&mut self, wire: &mut Wire, wishes: &mut mpsc::Receiver<Wish>) {
        let mut batch = Vec::new();
        loop {
            let fine = tokio::select! {
                () = wire.closed() => Err(away()),
                1.. = wishes.recv_many(&mut batch, WISHES_AT_ONCE) => {
                    self.fulfil(&mut wire.connection, batch.drain(..)).await
                }
                () = sleep(self.link.probe_every()) => ping(&mut wire.connection).await,
            };
            if let Err(error) = fine {
                tracing::debug!("a listener's connection is of no more use: {error}");
                return;
            }
        }
    }

    /// Connects again. Wishes to hear that come in between are refused.
    async fn again(&mut self, wishes: &mut mpsc::Receiver<Wish>) -> Wire {
        for attempt in 0.. {
            let mut left = HashSet::new();
            let connected = {
                let mut connect = pin!(async {
                    self.link.becomes(Health::Up).await;
                    sleep(backoff(attempt)).await;
                    self.connect().await
                });
                loop {
                    tokio::select! {
                        connected = &mut connect => break connected,
                        Some(wish) = wishes.recv() => match wish {
                            Wish::Unsubscribe(room) => drop(left.insert(room)),
                            Wish::Subscribe(_, done) => drop(done.send(Err(away()))),
                        },
                    }
                }
            };
            self.rooms.retain(|room| !left.contains(room));
            if let Ok(mut wire) = connected
                && let Ok(()) = unsubscribe(&mut wire.connection, &self.names(&left)).await
            {
                return wire;
            }
        }
        unreachable!("there are more attempts than anybody waits for")
    }

    /// Fulfils wishes, the last one for each room; an error when the connection is of no more use.
    async fn fulfil(
        &mut self,
        connection: &mut MultiplexedConnection,
        wishes: impl Iterator<Item = Wish>,
    ) -> Result<(), BrokerError> {
        let (mut wanted, mut unwanted) = (HashSet::new(), HashSet::new());
        let mut waiting = Vec::new();
        for wish in wishes {
            match wish {
                // Who asked has given up.
                Wish::Subscribe(_, done) if done.is_closed() => {}
                Wish::Subscribe(room, done) => {
                    unwanted.remove(&room);
                    wanted.insert(room);
                    waiting.push(done);
                }
                Wish::Unsubscribe(room) => {
                    wanted.remove(&room);
                    unwanted.insert(room);
                }
            }
        }
        let (on, off) = (self.names(&wanted), self.names(&unwanted));
        let done = async {
            unsubscribe(connection, &off).await?;
            subscribe(connection, &on).await
        };
        let done = done.await;
        self.rooms.retain(|room| !unwanted.contains(room));
        if done.is_ok() {
            self.rooms.extend(wanted);
        }
        for waiter in waiting {
            drop(waiter.send(done.clone()));
        }
        done
    }

    /// The channels of rooms.
    fn names(&self, rooms: &HashSet<RoomName>) -> Vec<String> {
        rooms
            .iter()
            .map(|room| self.channels.live(self.layout.partition(room), room))
            .collect()
    }
}

pub(super) fn away() -> BrokerError {
    BrokerError::Unavailable("the connection that listens was lost".into())
}

async fn subscribe(
    connection: &mut MultiplexedConnection,
    channels: &[String],
) -> Result<(), BrokerError> {
    for some in channels.chunks(CHANNELS_AT_ONCE) {
        connection.subscribe(some).await.map_err(broker_error)?;
    }
    Ok(())
}

async fn unsubscribe(
    connection: &mut MultiplexedConnection,
    channels: &[String],
) -> Result<(), BrokerError> {
    for some in channels.chunks(CHANNELS_AT_ONCE) {
        connection.unsubscribe(some).await.map_err(broker_error)?;
    }
    Ok(())
}

async fn ping(connection: &mut MultiplexedConnection) -> Result<(), BrokerError> {
    redis::cmd("PING")
        .exec_async(connection)
        .await
        .map_err(broker_error)
}
