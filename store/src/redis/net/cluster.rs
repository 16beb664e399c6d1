//! The nodes of a Redis Cluster, and which of them has which slot.
//!
//! Each node has a [`Link`] of its own, so that one that is lost takes nothing from the others. The table of
//! slots is asked for again whenever a node says that it is wrong, whenever a node is lost, and every now
//! and then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout_at},
};

use super::{
    dialer::{DialError, Dialer, backoff},
    endpoint::Endpoint,
    link::{Link, LinkConfig},
    patience::Patience,
    slot_map::SlotMap,
    slots::slot,
    url::Address,
};
use crate::redis::health::evicting;
use crate::{Health, StoreError};

/// The interval at which the table is asked for while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// And while something is amiss.
const LOOK_EVERY_IN_DOUBT: Duration = Duration::from_millis(200);

/// The time after one look at which the next one may follow.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The number of looks at the start before the pauses grow: the nodes' links come about one after the other.
const LOOKS_BEFORE_BACKOFF: u32 = 8;

/// The number of nodes that are asked for the table.
const ASKED_MAX: usize = 5;

/// The nodes of a Cluster.
#[derive(Debug)]
pub(in crate::redis) struct Cluster {
    seeds: Vec<Address>,
    manner: LinkConfig,
    /// The slots that the store uses.
    homes: BTreeSet<u16>,
    state: RwLock<State>,
    doubt: Notify,
    health: watch::Sender<Health>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    table: SlotMap,
    nodes: BTreeMap<Address, Node>,
}

#[derive(Debug)]
struct Node {
    link: Arc<Link>,
    /// Ends with the node.
    _tasks: JoinSet<()>,
}

impl Cluster {
    /// Connects to a Cluster that has to be there: to every node that has a slot of one of these keys.
    pub(in crate::redis) async fn connect(
        seeds: Vec<Address>,
        manner: LinkConfig,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<(Arc<Self>, JoinSet<()>), StoreError> {
        let cluster = Arc::new(Cluster {
            seeds,
            manner,
            homes: keys.into_iter().map(|key| slot(&key)).collect(),
            state: RwLock::default(),
            doubt: Notify::new(),
            health: watch::Sender::new(Health::Down),
            changes: watch::Sender::new(0),
        });
        cluster.first().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(cluster.clone().look_after());
        Ok((cluster, tasks))
    }

    /// The link to the node that has a key's slot.
    pub(in crate::redis) fn link(&self, key: &str) -> Result<Arc<Link>, StoreError> {
        let state = self.state.read();
        let node = state
            .table
            .owner(slot(key))
            .and_then(|owner| state.nodes.get(owner));
        let missing = || StoreError::Unavailable("no node of the Cluster has the slot".into());
        Ok(node.ok_or_else(missing)?.link.clone())
    }

    /// The link to a node, whatever it has.
    pub(in crate::redis) fn link_to(&self, address: Address) -> Arc<Link> {
        let mut state = self.state.write();
        let node = state
            .nodes
            .entry(address.clone())
            .or_insert_with(|| Node::start(address, &self.manner));
        node.link.clone()
    }

    /// The table seems to be wrong.
    pub(in crate::redis) fn look_again(&self) {
        self.doubt.notify_one();
    }

    /// Counts what happens to the nodes and to their slots.
    pub(in crate::redis) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Up while any node is that has a slot of ours, and none of them throws away what it holds: what lies on the
    /// others fails by itself.
    pub(in crate::redis) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(in crate::redis) fn dialer(&self) -> Arc<Dialer> {
        self.manner.dialer.clone()
    }

    pub(in crate::redis) fn command_timeout(&self) -> Duration {
        self.manner.command_timeout
    }

    pub(in crate::redis) fn probe_every(&self) -> Duration {
        self.manner.probe_every
    }

    /// Looks for the nodes until all are there that have a slot of ours.
    async fn first(&self) -> Result<(), StoreError> {
        let mut patience = Patience::new(self.manner.start_wait);
        for attempt in 0.. {
            let looked = timeout_at(patience.end(), self.look())
                .await
                .unwrap_or_else(|_| {
                    let message = "the Cluster takes connections and does not answer";
                    Err(DialError::Away(StoreError::Unavailable(message.into())))
                });
            let missing = match looked {
                Err(DialError::Refused(error)) => return Err(error),
                Err(DialError::Away(error)) => Some(error),
                Ok(()) => self.evicts().or_else(|| self.missing()),
            };
            match missing {
                None => {
                    self.judge();
                    return Ok(());
                }
                Some(error @ StoreError::Incompatible(_)) => return Err(error),
                Some(error) if patience.goes_on(&error) => {
                    sleep(LOOK_PAUSE + backoff(attempt / LOOKS_BEFORE_BACKOFF)).await;
                }
                Some(error) => return Err(error),
            }
        }
        unreachable!("there are more attempts than anybody waits for")
    }

    async fn look_after(self: Arc<Self>) {
        loop {
            let pause = match self.missing() {
                None => LOOK_EVERY,
                Some(_) => LOOK_EVERY_IN_DOUBT,
            };
            tokio::select! {
                () = self.doubt.notified() => {}
                () = self.any_link_changes() => {}
                () = sleep(pause) => {}
            }
            if let Err(DialError::Away(error) | DialError::Refused(error)) = self.look().await {
                tracing::debug!("reading the Cluster's slots failed: {error}");
            }
            self.judge();
            sleep(LOOK_PAUSE).await;
        }
    }

    async fn any_link_changes(&self) {
        let changes: Vec<_> = self.links().iter().map(|link| link.changes()).collect();
        let changed = changes.into_iter().map(|mut change| {
            Box::pin(async move {
                // It ends only with its link, which is a change as well.
                let _ = change.changed().await;
            })
        });
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(changed).await;
    }

    /// Says how things stand.
    fn judge(&self) {
        let health = match (self.health_of_homes(), self.evicts()) {
            (Health::Up | Health::Full, Some(_)) => Health::Refusing,
            (health, _) => health,
        };
        self.health.send_if_modified(|before| {
            let changed = *before != health;
            *before = health;
            changed
        });
        self.changes.send_modify(|count| *count += 1);
    }

    /// Why a slot of ours cannot be reached, if one cannot.
    fn missing(&self) -> Option<StoreError> {
        let state = self.state.read();
        self.homes.iter().find_map(|home| {
            let Some(owner) = state.table.owner(*home) else {
                let message = format!("no node of the Cluster has slot {home}");
                return Some(StoreError::Unavailable(message));
            };
            state.nodes.get(owner)?.link.connection().err()
        })
    }

    /// Why the Cluster is not fit, if a node with a slot of ours throws away what it holds.
    fn evicts(&self) -> Option<StoreError> {
        let policy = self.home_links().iter().find_map(|link| link.evicts())?;
        Some(evicting(&policy))
    }

    /// Returns the health of the nodes that have a slot of ours, the best if any answers.
    fn health_of_homes(&self) -> Health {
        let links = self.home_links();
        let all = links.iter().map(|link| *link.health().borrow());
        all.fold(Health::Down, |best, health| match (best, health) {
            (Health::Up, _) | (_, Health::Up) => Health::Up,
            (Health::Full, _) | (_, Health::Full) => Health::Full,
            (Health::Refusing, _) | (_, Health::Refusing) => Health::Refusing,
            (Health::Down, Health::Down) => Health::Down,
        })
    }

    fn home_links(&self) -> Vec<Arc<Link>> {
        let state = self.state.read();
        let owners = self.homes.iter();
        let owners: BTreeSet<_> = owners.filter_map(|home| state.table.owner(*home)).collect();
        let nodes = owners
            .into_iter()
            .filter_map(|owner| state.nodes.get(owner));
        nodes.map(|node| node.link.clone()).collect()
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let state = self.state.read();
        state.nodes.values().map(|node| node.link.clone()).collect()
    }

    /// Asks for the table, and connects to whom it names.
    async fn look(&self) -> Result<(), DialError> {
        let connections = self
            .links()
            .into_iter()
            .filter_map(|link| link.connection().ok());
        let asked: Vec<_> = connections.take(ASKED_MAX).collect();
        let views = join_all(
            asked
                .into_iter()
                .map(|(connection, at)| SlotMap::ask(connection, at.address)),
        );
        let newest = views.await.into_iter().flatten().max_by_key(SlotMap::rank);
        let table = match newest {
            Some(table) => table,
            None => self.ask_anybody().await?,
        };
        self.adopt(table);
        Ok(())
    }

    /// Asks those who were named at the start, and those who were nodes.
    async fn ask_anybody(&self) -> Result<SlotMap, DialError> {
        let known: Vec<_> = self.state.read().nodes.keys().cloned().collect();
        let mut why = None;
        for address in self.seeds.iter().chain(&known) {
            let dialed = self
                .manner
                .dialer
                .dial(address, Some(self.command_timeout()))
                .await;
            let asked = match dialed {
                Ok(wire) => SlotMap::ask(wire.connection, address.clone())
                    .await
                    .map_err(|error| refusal_or_silence(address, error)),
                Err(error) => Err(error),
            };
            match asked {
                Ok(table) => return Ok(table),
                Err(error @ DialError::Refused(_)) => return Err(error),
                Err(error) => why = Some(error),
            }
        }
        Err(why
            .unwrap_or_else(|| DialError::Away(StoreError::Unavailable("no node is known".into()))))
    }

    fn adopt(&self, table: SlotMap) {
        let mut state = self.state.write();
        for owner in table.owners() {
            if !state.nodes.contains_key(owner) {
                let node = Node::start(owner.clone(), &self.manner);
                state.nodes.insert(owner.clone(), node);
            }
        }
        let owners: BTreeSet<_> = table.owners().cloned().collect();
        state.nodes.retain(|address, node| {
            let stays = owners.contains(address);
            if !stays {
                let message = format!("{address} has no slot any more");
                node.link.mark_down(StoreError::Unavailable(message));
            }
            stays
        });
        state.table = table;
    }
}

impl Node {
    fn start(address: Address, manner: &LinkConfig) -> Self {
        let (link, tasks) = Link::start(Endpoint::Fixed(address), manner);
        Node {
            link,
            _tasks: tasks,
        }
    }
}

fn refusal_or_silence(address: &Address, error: redis::RedisError) -> DialError {
    if error.to_string().contains("cluster support disabled") {
        return DialError::Refused(StoreError::Incompatible(format!(
            "Redis at {address} is no node of a Cluster: give --store redis://{address}"
        )));
    }
    let message = format!("Redis at {address} does not tell the Cluster's slots: {error}");
    match crate::redis::error::is_refusal(&error) {
        true => DialError::Refused(StoreError::Unavailable(message)),
        false => DialError::Away(StoreError::Unavailable(message)),
    }
}

/// A connection is asked for the table.
impl SlotMap {
    async fn ask(mut connection: MultiplexedConnection, at: Address) -> redis::RedisResult<Self> {
        let info: redis::InfoDict = redis::cmd("CLUSTER")
            .arg("INFO")
            .query_async(&mut connection)
            .await?;
        let slots: redis::Value = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await?;
        Ok(SlotMap::read(
            &slots,
            &at,
            info.get("cluster_current_epoch").unwrap_or(0),
        ))
    }
}
