//! A listener's connections, and who looks after them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use futures_util::future::{join_all, select_all};
use outlast_protocol::RoomName;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    inbox::Inbox,
    interest::Interest,
    subscription::{SubscriberConnection, away},
};
use crate::redis::{
    keys::{Channels, Keys},
    net::{
        dialer::{DialError, Dialer, Wire, backoff},
        nodes::Nodes,
        resolver::ResolvedAddress,
    },
};
use crate::{Layout, NodeId, StoreError};

/// The number of commands that are carried out at once.
const COMMANDS_AT_ONCE: usize = 512;

/// A room that a listener wants to hear of, or no longer.
#[derive(Debug)]
pub(in crate::redis) enum SubscribeCommand {
    Subscribe(RoomName, oneshot::Sender<Result<(), StoreError>>),
    Unsubscribe(RoomName),
}

/// Hears what it should, and fills an inbox with it. It has one connection to each node that has something to say,
/// so that one that is lost takes nothing from the others.
#[derive(Debug)]
pub(in crate::redis) struct Subscriber {
    nodes: Nodes,
    layout: Layout,
    keys: Keys,
    channels: Channels,
    me: NodeId,
    inbox: Arc<Inbox>,
    /// Rooms that are heard for now.
    rooms: HashSet<RoomName>,
    connections: BTreeMap<ResolvedAddress, SubscriberConnection>,
    /// Connections that are being made, and how often each node was tried.
    dialing: JoinSet<(ResolvedAddress, u64, Result<Wire, DialError>)>,
    attempts: HashMap<ResolvedAddress, Attempts>,
}

#[derive(Debug, Default)]
struct Attempts {
    failed: u32,
    under_way: bool,
}

impl Subscriber {
    /// Connects, with every subscription in place.
    pub(in crate::redis) async fn connect(
        nodes: Nodes,
        layout: Layout,
        keys: Keys,
        channels: Channels,
        me: NodeId,
        inbox: Arc<Inbox>,
    ) -> Result<Self, StoreError> {
        let mut subscriber = Subscriber {
            nodes,
            layout,
            keys,
            channels,
            me,
            inbox,
            rooms: HashSet::new(),
            connections: BTreeMap::new(),
            dialing: JoinSet::new(),
            attempts: HashMap::new(),
        };
        let mut shares = BTreeMap::<_, BTreeSet<_>>::new();
        for interest in subscriber.interests() {
            let (_, owner) = subscriber
                .nodes
                .link(&interest.home(&subscriber.keys))?
                .connection()?;
            shares.entry(owner).or_default().insert(interest);
        }
        for (address, interests) in shares {
            let number = subscriber.inbox.open(false);
            let dialer = subscriber.nodes.dialer();
            let dialed = dial(
                &dialer,
                &address,
                &subscriber.nodes,
                subscriber.inbox.clone(),
                number,
            )
            .await;
            subscriber
                .settle(dialed.map_err(DialError::into_inner)?, number, interests)
                .await?;
        }
        Ok(subscriber)
    }

    /// Listens for ever. That nobody sends commands any more is no reason to stop.
    pub(in crate::redis) async fn listen(mut self, mut commands: mpsc::Receiver<SubscribeCommand>) {
        let mut changes = self.nodes.changes();
        let mut probe = interval(self.nodes.probe_every());
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            self.mend();
            tokio::select! {
                address = lost(&self.connections) => self.lose(&address),
                Some(Ok((address, number, dialed))) = self.dialing.join_next() => {
                    self.dialed(address, number, dialed).await;
                }
                // It ends only where the sender is gone, and `nodes` has it.
                _ = changes.changed() => self.leave_former_owners(),
                1.. = commands.recv_many(&mut batch, COMMANDS_AT_ONCE) => {
                    self.execute(batch.drain(..)).await;
                }
                _ = probe.tick() => self.ping().await,
            }
        }
    }

    /// Begins to connect to who has what is not heard.
    fn mend(&mut self) {
        let missing: BTreeSet<_> = self
            .unserved()
            .into_iter()
            .map(|(_, owner)| owner)
            .collect();
        for address in missing {
            // What has come to a node that is heard already is heard along with the rest.
            self.lose(&address);
            let attempts = self.attempts.entry(address.clone()).or_default();
            if attempts.under_way {
                continue;
            }
            attempts.under_way = true;
            let pause = backoff(attempts.failed);
            let (nodes, inbox) = (self.nodes.clone(), self.inbox.clone());
            let number = self.inbox.open(true);
            self.dialing.spawn(async move {
                sleep(pause).await;
                let dialed = dial(&nodes.dialer(), &address, &nodes, inbox, number).await;
                (address, number, dialed)
            });
        }
    }

    async fn dialed(
        &mut self,
        address: ResolvedAddress,
        number: u64,
        dialed: Result<Wire, DialError>,
    ) {
        let interests = self.unserved().into_iter();
        let interests = interests.filter(|(_, owner)| *owner == address);
        let interests: BTreeSet<_> = interests.map(|(interest, _)| interest).collect();
        let settled = match dialed {
            // What it was for has moved on.
            Ok(_) if interests.is_empty() => Err(away()),
            Ok(wire) => self.settle(wire, number, interests).await,
            Err(error) => Err(error.into_inner()),
        };
        match settled {
            Ok(()) => {
                self.attempts.remove(&address);
                self.inbox.push_missed(number);
            }
            Err(error) => {
                tracing::debug!("subscribing failed: {error}");
                self.nodes.look_again();
                let attempts = self.attempts.entry(address).or_default();
                attempts.under_way = false;
                attempts.failed = attempts.failed.saturating_add(1);
                self.inbox.close(number);
                // Who has nothing to say to us any more is not asked again.
                let wanted: BTreeSet<_> = self
                    .unserved()
                    .into_iter()
                    .map(|(_, owner)| owner)
                    .collect();
                self.attempts
                    .retain(|address, attempts| attempts.under_way || wanted.contains(address));
            }
        }
    }

    /// Makes a connection of a connection, with every subscription in place.
    async fn settle(
        &mut self,
        wire: Wire,
        number: u64,
        interests: BTreeSet<Interest>,
    ) -> Result<(), StoreError> {
        let address = wire.at.clone();
        let mut connection = SubscriberConnection::new(wire, number, interests);
        let (mut sharded, mut plain) = (Vec::new(), Vec::new());
        for interest in connection.interests() {
            match interest {
                Interest::Partition(p) => sharded.push(self.channels.replies(*p, &self.me)),
                Interest::Shard(_) => {}
                Interest::Nudges => plain.extend([
                    self.channels.nudges(Some(&self.me)),
                    self.channels.nudges(None),
                ]),
            }
        }
        sharded.extend(self.names(&connection, &self.rooms));
        connection.subscribe(&plain).await?;
        connection.ssubscribe(&sharded).await?;
        self.connections.insert(address, connection);
        Ok(())
    }

    /// Carries commands out, the last one for each room.
    async fn execute(&mut self, commands: impl Iterator<Item = SubscribeCommand>) {
        let (mut wanted, mut unwanted) = (HashSet::new(), HashSet::new());
        let mut waiting = Vec::new();
        for command in commands {
            match command {
                // Who asked has given up.
                SubscribeCommand::Subscribe(_, done) if done.is_closed() => {}
                SubscribeCommand::Subscribe(room, done) => {
                    unwanted.remove(&room);
                    wanted.insert(room.clone());
                    waiting.push((room, done));
                }
                SubscribeCommand::Unsubscribe(room) => {
                    wanted.remove(&room);
                    unwanted.insert(room);
                }
            }
        }
        self.rooms.retain(|room| !unwanted.contains(room));
        let lists: Vec<_> = self
            .connections
            .values()
            .map(|connection| {
                (
                    self.names(connection, &unwanted),
                    self.names(connection, &wanted),
                )
            })
            .collect();
        let connections = self.connections.iter_mut().zip(lists);
        let done = connections.map(|((address, connection), (off, on))| async move {
            let done = async {
                connection.unsubscribe(&off).await?;
                connection.ssubscribe(&on).await
            };
            (address.clone(), done.await)
        });
        for (address, done) in join_all(done).await {
            if let Err(error) = done {
                tracing::debug!("subscriber connection failed: {error}");
                self.lose(&address);
            }
        }
        for (room, waiter) in waiting {
            let interest = Interest::Partition(self.layout.partition(&room));
            let heard = self
                .connections
                .values()
                .any(|connection| connection.has(interest));
            if heard && wanted.contains(&room) {
                self.rooms.insert(room);
            }
            drop(waiter.send(if heard { Ok(()) } else { Err(away()) }));
        }
    }

    async fn ping(&mut self) {
        let pings = self
            .connections
            .iter_mut()
            .map(|(address, connection)| async move { (address.clone(), connection.ping().await) });
        for (address, pong) in join_all(pings).await {
            if let Err(error) = pong {
                tracing::debug!("subscriber connection failed: {error}");
                self.lose(&address);
            }
        }
    }

    /// Drops the connections to nodes that no longer have what is to be heard from them.
    fn leave_former_owners(&mut self) {
        let moved = |(address, connection): (&ResolvedAddress, &SubscriberConnection)| {
            let owners = connection
                .interests()
                .iter()
                .map(|interest| interest.home(&self.keys));
            let mut owners = owners.filter_map(|home| self.nodes.owner(&home));
            owners
                .any(|owner| owner != *address)
                .then(|| address.clone())
        };
        let moved: Vec<_> = self.connections.iter().filter_map(moved).collect();
        for address in moved {
            self.lose(&address);
        }
    }

    fn lose(&mut self, address: &ResolvedAddress) {
        if let Some(connection) = self.connections.remove(address) {
            self.inbox.close(connection.number());
            self.nodes.look_again();
        }
    }

    /// Returns the interests that are not served and could be, with the address that serves them.
    fn unserved(&self) -> Vec<(Interest, ResolvedAddress)> {
        let heard = |interest: &Interest| {
            self.connections
                .values()
                .any(|connection| connection.has(*interest))
        };
        let deaf = self.interests().filter(|interest| !heard(interest));
        deaf.filter_map(|interest| Some((interest, self.nodes.owner(&interest.home(&self.keys))?)))
            .collect()
    }

    fn interests(&self) -> impl Iterator<Item = Interest> + use<> {
        let partitions = self.layout.all_partitions().map(Interest::Partition);
        let shards = self.layout.all_shards().map(Interest::Shard);
        partitions.chain(shards).chain([Interest::Nudges])
    }

    /// The channels of those rooms that a connection hears.
    fn names(&self, connection: &SubscriberConnection, rooms: &HashSet<RoomName>) -> Vec<String> {
        let placed = rooms.iter().map(|room| (self.layout.partition(room), room));
        placed
            .filter(|(p, _)| connection.has(Interest::Partition(*p)))
            .map(|(p, room)| self.channels.live(p, room))
            .collect()
    }
}

async fn dial(
    dialer: &Dialer,
    address: &ResolvedAddress,
    nodes: &Nodes,
    inbox: Arc<Inbox>,
    number: u64,
) -> Result<Wire, DialError> {
    let hear = move |channel, message| inbox.push(number, channel, message);
    let answer_timeout = Some(nodes.command_timeout());
    dialer.dial_to_hear(address, answer_timeout, hear).await
}

/// Waits until one of the connections is lost.
async fn lost(connections: &BTreeMap<ResolvedAddress, SubscriberConnection>) -> ResolvedAddress {
    let closed = connections.iter().map(|(address, connection)| {
        Box::pin(async move {
            connection.closed().await;
            address.clone()
        })
    });
    let closed: Vec<_> = closed.collect();
    if closed.is_empty() {
        return std::future::pending().await;
    }
    let (address, _, _) = select_all(closed).await;
    address
}
