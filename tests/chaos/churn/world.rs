//! The processes of a round, with a proxy on each way between them, and a wall clock for each.

mod machine;
mod trouble;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use outlast_protocol::RoomName;
use outlast_store::{Layout, embedded::Embedded, redis};
use outlast_testkit::{RedisServer, WallClock, eventually, proxy::Proxy};
use reconnect_storm::RoomLog;

use self::machine::{Machine, Role};
pub(crate) use self::trouble::Mix;
use super::http;
use crate::support::logs;

/// Which store the processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    Embedded,
}

/// The time that a session outlives its socket.
pub(crate) const TTL: Duration = Duration::from_secs(30);

pub(crate) struct World {
    machines: Vec<Machine>,
    /// Clients come in here, and are passed on to the gateways in turns.
    pub(crate) front: Proxy,
    redis: Option<RedisServer>,
    redis_clock: WallClock,
    /// When Redis is started, or continued, again.
    redis_back: Option<(Instant, bool)>,
    redis_clock_back: Option<Instant>,
    embedded: Option<tempfile::TempDir>,
    folder: PathBuf,
    begun: Instant,
    /// The record of what was done to it, and when.
    diary: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
    /// The lines of processes that must not be.
    stopped: Vec<String>,
    /// Processes that ended by themselves.
    ended: Vec<String>,
}

impl World {
    /// Two gateways, two workers and two keepers on one Redis, or one process that is everything.
    pub(crate) async fn start(store: Store, folder: &Path, begun: Instant) -> World {
        let redis_clock = WallClock::new();
        let mut redis = None;
        let mut embedded = None;
        let (roles, url): (&[Role], String) = match store {
            Store::Redis => {
                let server = RedisServer::launch()
                    .options(&["--appendfsync", "always"])
                    .environment(redis_clock.environment())
                    .start();
                let address = server.address();
                redis = Some(server);
                (&Role::FLEET, address)
            }
            Store::Embedded => {
                let folder = embedded.insert(tempfile::tempdir().unwrap());
                (&[Role::All], data_in(folder.path()))
            }
        };
        let mut machines = Vec::new();
        for (number, role) in roles.iter().enumerate() {
            machines.push(Machine::new(*role, number, store, &url).await);
        }
        let gateways = machines.iter().filter_map(|machine| machine.listen.clone());
        let front = Proxy::start(&gateways.collect::<Vec<_>>()).await;
        let mut world = World {
            machines,
            front,
            redis,
            redis_clock,
            redis_back: None,
            redis_clock_back: None,
            embedded,
            folder: folder.to_owned(),
            begun,
            diary: Vec::new(),
            counts: BTreeMap::new(),
            stopped: Vec::new(),
            ended: Vec::new(),
        };
        for machine in &mut world.machines {
            machine.start(&world.folder);
        }
        world.until_ready().await;
        world
    }

    /// Waits until every process says that it serves.
    pub(crate) async fn until_ready(&self) {
        for machine in &self.machines {
            let ready = async || {
                let asked = http::request("GET", &machine.admin, "/readyz", None, "");
                asked.await.filter(|(status, _)| *status == 200)
            };
            eventually(&format!("{} is ready", machine.name()), ready).await;
        }
    }

    /// Where the HTTP API is.
    pub(crate) fn admins(&self) -> Vec<String> {
        let machines = self.machines.iter();
        machines.map(|machine| machine.admin.clone()).collect()
    }

    pub(crate) fn diary(&self) -> String {
        self.diary.join("\n")
    }

    pub(crate) fn counts(&self) -> String {
        format!("{:?}", self.counts)
    }

    /// Rooms that stood still, and processes that ended by themselves.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = &String> {
        self.stopped.iter().chain(&self.ended)
    }

    /// Looks whether a process says that one of its rooms stands still.
    pub(crate) async fn look_for_stopped_rooms(&mut self) {
        let running = self.machines.iter().filter(|machine| machine.runs());
        let asked = running.map(async |machine| {
            let asked = http::request("GET", &machine.admin, "/metrics", None, "");
            let asked = tokio::time::timeout(Duration::from_millis(500), asked).await;
            (machine.name(), asked.ok().flatten())
        });
        for (name, told) in futures_util::future::join_all(asked).await {
            let Some((200, text)) = told else {
                continue;
            };
            let stands = |line: &&str| {
                let (name, count) = line.rsplit_once(' ').unwrap_or_default();
                let counts = !name.starts_with('#') && !matches!(count, "0" | "0.0");
                name.contains("rooms_stopped") && counts
            };
            if let Some(line) = text.lines().find(stands) {
                let what = format!("{name} says {line}");
                if !self.stopped.contains(&what) {
                    self.stopped.push(what);
                }
            }
        }
    }

    /// The logs of rooms. An embedded store is read while its process is away for a moment.
    pub(crate) async fn logs(&mut self, rooms: &[RoomName]) -> BTreeMap<RoomName, RoomLog> {
        if let Some(server) = &self.redis {
            let settings = redis::RedisSettings::default();
            let store = redis::Redis::connect(&server.url(), Layout::default(), settings).await;
            return logs(store.unwrap(), rooms).await;
        }
        let folder = self.embedded.as_ref().unwrap().path().to_owned();
        for machine in &mut self.machines {
            machine.kill();
        }
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .args(["-r", &data_in(&folder), &data_in(copy.path())])
            .status()
            .unwrap();
        assert!(copied.success());
        for machine in &mut self.machines {
            machine.start(&self.folder);
        }
        let store = Embedded::open(Path::new(&data_in(copy.path())), Layout::default());
        logs(store.unwrap(), rooms).await
    }

    /// Records and entries of indexes, which there must be none of once nobody is there.
    pub(crate) fn strays(&self) -> Vec<String> {
        let Some(redis) = &self.redis else {
            return Vec::new();
        };
        let list = |text: String| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.map(str::to_owned).collect()
        };
        let mut strays = list(redis.cli(&["KEYS", "ol:*session:*"]));
        for index in ["due", "owned", "groups"] {
            for key in list(redis.cli(&["KEYS", &format!("ol:*:{index}")])) {
                let entries = list(redis.cli(&["ZRANGE", &key, "0", "20"]));
                strays.extend(
                    entries
                        .into_iter()
                        .map(|entry| format!("{key} has {entry}")),
                );
            }
        }
        strays
    }
}

fn data_in(folder: &Path) -> String {
    folder.join("data").display().to_string()
}
