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

use super::{inbox::Inbox, subscription::SubscriberConnection};
use crate::redis::{
    keys::{Channels, Keys},
    net::{
        dialer::{DialError, Dialer, Wire, backoff},
        nodes::Nodes,
        resolver::ResolvedAddress,
    },
};
use crate::{Layout, NodeId, PartitionId, ShardId, StoreError};

/// How many wishes are taken up at once.
const COMMANDS_AT_ONCE: usize = 512;

/// What a listener wants to hear of, or no longer.
#[derive(Debug)]
pub(in crate::redis) enum SubscribeCommand {
    Subscribe(RoomName, oneshot::Sender<Result<(), StoreError>>),
    Unsubscribe(RoomName),
}

/// What is heard where one slot lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redis) enum Interest {
    /// A partition's rooms and replies.
    Partition(PartitionId),
    /// Nothing: but who hears of it knows when its records may have been lost (R4).
    Shard(ShardId),
    /// Nudges, which reach every node.
    Nudges,
}

/// Hears what it should, and fills an inbox with it. It has one line to each node that has something to say,
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
    lines: BTreeMap<ResolvedAddress, SubscriberConnection>,
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
        let mut ear = Subscriber {
            nodes,
            layout,
            keys,
            channels,
            me,
            inbox,
            rooms: HashSet::new(),
            lines: BTreeMap::new(),
            dialing: JoinSet::new(),
            attempts: HashMap::new(),
        };
        let mut shares = BTreeMap::<_, BTreeSet<_>>::new();
        for parcel in ear.interests() {
            let (_, owner) = ear.nodes.link(&parcel.home(&ear.keys))?.connection()?;
            shares.entry(owner).or_default().insert(parcel);
        }
        for (address, parcels) in shares {
            let number = ear.inbox.open(false);
            let dialer = ear.nodes.dialer();
            let dialed = dial(&dialer, &address, &ear.nodes, ear.inbox.clone(), number).await;
            ear.settle(dialed.map_err(DialError::into_inner)?, number, parcels)
                .await?;
        }
        Ok(ear)
    }

    /// Listens for ever. That nobody makes wishes any more is no reason to stop.
    pub(in crate::redis) async fn listen(mut self, mut wishes: mpsc::Receiver<SubscribeCommand>) {
        let mut changes = self.nodes.changes();
        let mut probe = interval(self.nodes.probe_every());
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            self.mend();
            tokio::select! {
                address = lost(&self.lines) => self.lose(&address),
                Some(Ok((address, number, dialed))) = self.dialing.join_next() => {
                    self.dialed(address, number, dialed).await;
                }
                // It ends only where the sender is gone, and `nodes` has it.
                _ = changes.changed() => self.leave_former_owners(),
                1.. = wishes.recv_many(&mut batch, COMMANDS_AT_ONCE) => {
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
        let parcels = self.unserved().into_iter();
        let parcels = parcels.filter(|(_, owner)| *owner == address);
        let parcels: BTreeSet<_> = parcels.map(|(parcel, _)| parcel).collect();
        let settled = match dialed {
            // What it was for has moved on.
            Ok(_) if parcels.is_empty() => Err(away()),
            Ok(wire) => self.settle(wire, number, parcels).await,
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

    /// Makes a line of a connection, with every subscription in place.
    async fn settle(
        &mut self,
        wire: Wire,
        number: u64,
        parcels: BTreeSet<Interest>,
    ) -> Result<(), StoreError> {
        let address = wire.at.clone();
        let mut line = SubscriberConnection::new(wire, number, parcels);
        let (mut sharded, mut plain) = (Vec::new(), Vec::new());
        for parcel in line.interests() {
            match parcel {
                Interest::Partition(p) => sharded.push(self.channels.replies(*p, &self.me)),
                Interest::Shard(_) => {}
                Interest::Nudges => plain.extend([
                    self.channels.nudges(Some(&self.me)),
                    self.channels.nudges(None),
                ]),
            }
        }
        sharded.extend(self.names(&line, &self.rooms));
        line.subscribe(&plain).await?;
        line.ssubscribe(&sharded).await?;
        self.lines.insert(address, line);
        Ok(())
    }

    /// Fulfils wishes, the last one for each room.
    async fn execute(&mut self, wishes: impl Iterator<Item = SubscribeCommand>) {
        let (mut wanted, mut unwanted) = (HashSet::new(), HashSet::new());
        let mut waiting = Vec::new();
        for wish in wishes {
            match wish {
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
            .lines
            .values()
            .map(|line| (self.names(line, &unwanted), self.names(line, &wanted)))
            .collect();
        let lines = self.lines.iter_mut().zip(lists);
        let done = lines.map(|((address, line), (off, on))| async move {
            let done = async {
                line.unsubscribe(&off).await?;
                line.ssubscribe(&on).await
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
            let parcel = Interest::Partition(self.layout.partition(&room));
            let heard = self.lines.values().any(|line| line.has(parcel));
            if heard && wanted.contains(&room) {
                self.rooms.insert(room);
            }
            drop(waiter.send(if heard { Ok(()) } else { Err(away()) }));
        }
    }

    async fn ping(&mut self) {
        let pings = self
            .lines
            .iter_mut()
            .map(|(address, line)| async move { (address.clone(), line.ping().await) });
        for (address, pong) in join_all(pings).await {
            if let Err(error) = pong {
                tracing::debug!("subscriber connection failed: {error}");
                self.lose(&address);
            }
        }
    }

    /// Drops the lines to nodes that no longer have what is to be heard from them.
    fn leave_former_owners(&mut self) {
        let moved = |(address, line): (&ResolvedAddress, &SubscriberConnection)| {
            let owners = line
                .interests()
                .iter()
                .map(|parcel| parcel.home(&self.keys));
            let mut owners = owners.filter_map(|home| self.nodes.owner(&home));
            owners
                .any(|owner| owner != *address)
                .then(|| address.clone())
        };
        let moved: Vec<_> = self.lines.iter().filter_map(moved).collect();
        for address in moved {
            self.lose(&address);
        }
    }

    fn lose(&mut self, address: &ResolvedAddress) {
        if let Some(line) = self.lines.remove(address) {
            self.inbox.close(line.number());
            self.nodes.look_again();
        }
    }

    /// What is not heard, and could be: with who has it.
    fn unserved(&self) -> Vec<(Interest, ResolvedAddress)> {
        let heard = |parcel: &Interest| self.lines.values().any(|line| line.has(*parcel));
        let deaf = self.interests().filter(|parcel| !heard(parcel));
        deaf.filter_map(|parcel| Some((parcel, self.nodes.owner(&parcel.home(&self.keys))?)))
            .collect()
    }

    fn interests(&self) -> impl Iterator<Item = Interest> + use<> {
        let partitions = self.layout.all_partitions().map(Interest::Partition);
        let shards = self.layout.all_shards().map(Interest::Shard);
        partitions.chain(shards).chain([Interest::Nudges])
    }

    /// The channels of those rooms that a line hears.
    fn names(&self, line: &SubscriberConnection, rooms: &HashSet<RoomName>) -> Vec<String> {
        let placed = rooms.iter().map(|room| (self.layout.partition(room), room));
        placed
            .filter(|(p, _)| line.has(Interest::Partition(*p)))
            .map(|(p, room)| self.channels.live(p, room))
            .collect()
    }
}

impl Interest {
    /// A key in its slot.
    fn home(self, keys: &Keys) -> String {
        match self {
            Interest::Partition(p) => keys.topic(p),
            Interest::Shard(s) => keys.due(s),
            Interest::Nudges => keys.members(),
        }
    }
}

pub(in crate::redis) fn away() -> StoreError {
    StoreError::Unavailable("the connection that listens was lost".into())
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

/// Waits until one of the lines is lost.
async fn lost(lines: &BTreeMap<ResolvedAddress, SubscriberConnection>) -> ResolvedAddress {
    let closed = lines.iter().map(|(address, line)| {
        Box::pin(async move {
            line.closed().await;
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
