//! The store of a fleet: Redis 7 or newer, shared by any number of processes.
//!
//! What has to be atomic is a script, in a file of its own in `lua`; the rest is plain commands. Scripts check
//! everything before they write anything (of each record or append, where they carry several), for Redis does not
//! roll back, and write last what a repetition goes by. They start with `#!lua`, so that at the memory limit they
//! are refused before they begin. Those that keep leases, members and sessions alive say `allow-oom` (W7). Time is
//! Redis's clock plus an offset, by which it goes on where that clock jumps (`clock.rs`).
//!
//! `ops` has the operations, `net` the connections, `pubsub` the announcements.
//!
//! # Keys
//! `ol` stands for the deployment's [`Prefix`]. All keys of one script share the hash tag in braces: `{p7}` a
//! partition, `{s3}` a session shard. So each lies in one slot of a Cluster. (What is gathered for a single
//! Redis may span several.)
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `ol:store` | hash | `format`, `partitions`, `shards`, an `id` drawn when the store was made, `ttl_ms` and `grace_ms` of its sessions, and its time (`clock.lua`) |
//! | `ol:members` | sorted set | `role id` of every process, by when it was last heard of |
//! | `ol:{p7}:topic` | stream | inputs on their way to the partition's rooms |
//! | `ol:{p7}:lease` | string | `epoch owner until ttl`: held until then, for so long at a time, in milliseconds |
//! | `ol:{p7}:epoch` | string | the newest epoch that was granted; stays when the lease expires |
//! | `ol:{p7}:cursor` | string | where the newest commit left the partition |
//! | `ol:{p7}:log:<room>` | stream, ids `<off>-<tag>` | the room's entries |
//! | `ol:{p7}:room:<room>` | hash | `end` (the log's last id), `wake_ms` and `gone_ms` if it does, `head`, `snapshot`, `snapshot_off`, and `seat:<sid>` for each seat |
//! | `ol:{p7}:parked:<room>` | list | inputs kept for a version that can read the room |
//! | `ol:{p7}:wakes` | sorted set | rooms that want to be woken, by when |
//! | `ol:{p7}:unread` | list | inputs that no worker so far could read |
//! | `ol:{p7}:notes` | hash | what the partition's holders leave for those after them |
//! | `ol:{p7}:barren` | string | how many grants in a row led to no commit before the newest, and where the cursor stood at that one; gone when it is given up |
//! | `ol:{s3}:lease`, `:epoch` | as above | who keeps the shard's sessions |
//! | `ol:{s3}:session:<sid>` | hash | `version`, `value`, `due`, `owner`, `group` |
//! | `ol:{s3}:due` | sorted set | sids, by when they are due |
//! | `ol:{s3}:owned` | sorted set, by name | `owner sid` of every record with an owner |
//! | `ol:{s3}:groups` | sorted set, by name | `length:group sid` of every record with a group |
//!
//! | channel | carries |
//! | --- | --- |
//! | `ol:{p7}:live:<room>`, sharded | announcements of the room's commits |
//! | `ol:{p7}:gw:<id>`, sharded | lists of replies to the sessions of one gateway |
//! | `ol:nudge:<id>`, `ol:nudge` | lists of nudges to one process, to everybody |
//!
//! # Connections
//! All in `net`. To each Redis (`nodes.rs`: one, the one that sentinels name, or every master of a Cluster) one for all
//! commands, pipelined (`link.rs`), where what many tasks ask at about the same time goes in one round trip
//! (`batcher.rs`); one for each listener (`pubsub/subscriber.rs`); and to one of them one for each topic that is being read
//! (`readers.rs`), since a command that waits holds up those after it. A command is never sent twice, unless
//! a node says that it did nothing and who would (`script.rs`).

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{Health, Layout, Store, StoreError};

mod clock;
mod error;
mod health;
mod keys;
mod net;
mod ops;
mod prefix;
mod pubsub;
mod replay;

use self::{
    clock::Clock,
    health::HealthCheck,
    keys::{Channels, Keys},
    net::{
        batcher::{Batcher, NodeBatchers},
        cluster::Cluster,
        dialer::Dialer,
        endpoint::Endpoint,
        link::{Link, LinkConfig},
        nodes::Nodes,
        readers::Readers,
        sentinels::Sentinels,
        url::{Site, StoreUrl},
    },
    ops::{
        records::{Reads, Writes},
        topic::Appends,
    },
    pubsub::announcements::Nudges,
};
pub use self::{
    net::{
        access::{Access, Certificate},
        resolver::Resolver,
    },
    prefix::{NotAPrefix, Prefix},
};

/// The settings of a Redis store.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Our identity at Redis, and the servers that we take for it.
    pub access: Access,
    /// The prefix of every key and channel.
    pub prefix: Prefix,
    /// The resolver of the servers' names; this machine's without.
    pub names: Option<Resolver>,
    /// The time after which the answer to a command is given up, in milliseconds.
    pub command_timeout_ms: u64,
    /// The interval at which an idle connection is tried, in milliseconds.
    pub probe_ms: u64,
    /// The wait at the start for a Redis that cannot be reached, in milliseconds; 3 s at least, so that
    /// both may be started together (L12).
    pub start_wait_ms: u64,
    /// The number of inputs that may lie in one partition's topic before appends are refused.
    pub topic_entries_max: usize,
    /// From which part of Redis's `maxmemory` on appends are refused, so that what was taken in can
    /// still be committed.
    pub intake_memory_percent: u64,
    /// The number of bytes of announcements that may lie unheard in this process before they are dropped.
    pub inbox_bytes_max: usize,
}

impl Default for RedisSettings {
    fn default() -> Self {
        RedisSettings {
            access: Access::default(),
            prefix: Prefix::default(),
            names: None,
            command_timeout_ms: 2_000,
            probe_ms: 500,
            start_wait_ms: 0,
            topic_entries_max: 100_000,
            intake_memory_percent: 90,
            inbox_bytes_max: 32 << 20,
        }
    }
}

/// A store in Redis. Dropping it closes its connections.
#[derive(Debug)]
pub struct Redis {
    layout: Layout,
    settings: RedisSettings,
    keys: Keys,
    channels: Channels,
    clock: Arc<Clock>,
    nodes: Nodes,
    readers: Readers,
    reads: NodeBatchers<Reads>,
    creates: NodeBatchers<Writes>,
    changes: NodeBatchers<Writes>,
    appends: NodeBatchers<Appends>,
    nudges: Arc<Batcher<Nudges>>,
    _tasks: JoinSet<()>,
}

impl Redis {
    /// Connects to a store, and creates it where there is none yet. `url` is one of
    /// - `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`,
    /// - `redis-sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/NAME[/DATABASE]`: the master that these sentinels
    ///   watch under this name, wherever it is;
    /// - `redis-cluster://[[USER]:PASSWORD@]HOST[:PORT],…`: the Cluster that these are nodes of;
    ///
    /// with `rediss` in place of `redis` for TLS.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where Redis cannot be reached or refuses us, and
    /// [`StoreError::Incompatible`] where the store was made with another format or layout, or Redis is
    /// older than 7.0. Both say what to do. The first comes within [`Settings::start_wait_ms`] and 1.3 s more, or
    /// within 5 s; at once, where Redis answers and does not want us. The other comes at once.
    pub async fn connect(
        url: &str,
        layout: Layout,
        settings: RedisSettings,
    ) -> Result<Arc<Self>, StoreError> {
        let url = StoreUrl::parse(url)?;
        let keys = Keys::of(&settings.prefix);
        let channels = Channels::of(&settings.prefix, url.database);
        let (nodes, tasks) = connect(&url, layout, &keys, &settings).await?;
        let clock = Arc::new(Clock::new(nodes.clone(), keys.store()));
        clock.start().await?;
        let reads = Reads {
            nodes: nodes.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
        };
        let (creates, changes) = (
            Writes::creating(nodes.clone(), keys.clone()),
            Writes::changing(nodes.clone(), keys.clone()),
        );
        let appends = Appends {
            nodes: nodes.clone(),
            entries_max: settings.topic_entries_max,
        };
        Ok(Arc::new(Redis {
            layout,
            settings,
            channels,
            clock,
            readers: Readers::default(),
            reads: NodeBatchers::new(reads, &nodes),
            creates: NodeBatchers::new(creates, &nodes),
            changes: NodeBatchers::new(changes, &nodes),
            appends: NodeBatchers::new(appends, &nodes),
            // No key is moved along with what is published: it goes by any node.
            nudges: Batcher::new(Nudges {
                nodes: nodes.clone(),
                home: keys.members(),
            }),
            keys,
            nodes,
            _tasks: tasks,
        }))
    }
}

/// Connects to whatever a URL names, and looks after the connections in tasks.
async fn connect(
    url: &StoreUrl,
    layout: Layout,
    keys: &Keys,
    settings: &RedisSettings,
) -> Result<(Nodes, JoinSet<()>), StoreError> {
    let (access, names) = (&settings.access, &settings.names);
    let config = LinkConfig {
        dialer: Arc::new(Dialer::to_servers(
            url,
            access,
            names.clone(),
            CONNECT_TIMEOUT,
        )?),
        checkup: HealthCheck {
            layout,
            keys: keys.clone(),
            clustered: matches!(url.site, Site::Cluster { .. }),
            intake_memory_percent: settings.intake_memory_percent,
        },
        command_timeout: Duration::from_millis(settings.command_timeout_ms),
        probe_every: Duration::from_millis(settings.probe_ms),
        start_wait: Duration::from_millis(settings.start_wait_ms),
    };
    let endpoint = match &url.site {
        Site::Single(address) => Endpoint::Fixed(address.clone()),
        Site::Sentinel { sentinels, name } => {
            let dialer = Dialer::to_sentinels(url, access, names.clone(), CONNECT_TIMEOUT)?;
            let sentinels =
                Sentinels::new(sentinels.clone(), name.clone(), dialer, CONNECT_TIMEOUT);
            Endpoint::Watched(sentinels.into())
        }
        Site::Cluster { seeds } => {
            let homes = keys.homes(layout);
            let (cluster, tasks) = Cluster::connect(seeds.clone(), config, homes).await?;
            return Ok((Nodes::Many(cluster), tasks));
        }
    };
    let (link, tasks) = Link::connect(endpoint, &config).await?;
    Ok((Nodes::One(link), tasks))
}

impl Store for Redis {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.nodes.health()
    }
}

/// The longest time that one attempt to connect may take, greetings included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the time that TIME tells, in milliseconds since the epoch.
fn clock_ms((seconds, microseconds): (u64, u64)) -> u64 {
    seconds * 1000 + microseconds / 1000
}

/// A script of ours answered something that it never answers.
fn unexpected(answer: &str) -> StoreError {
    StoreError::Unavailable(format!("a script's answer {answer:?}"))
}
