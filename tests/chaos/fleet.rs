use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use outlast_protocol::RoomName;
use outlast_store::{Layout, embedded::Embedded, redis};
use outlast_testkit::{
    RedisServer, Server, free_address,
    outlast::{KEEP_ALL, role},
};
use rand::{RngExt, rngs::StdRng};
use reconnect_storm::RoomLog;

use crate::support::logs;

/// Two gateways, two workers and two keepers on one Redis.
pub(crate) struct Fleet {
    redis: RedisServer,
    slots: Vec<Slot>,
    kills: BTreeMap<&'static str, usize>,
    old_logs: Vec<String>,
}

/// A process, or the place of one that was killed.
struct Slot {
    role: &'static str,
    store: String,
    flags: Vec<String>,
    server: Option<Server>,
    /// When it is started, or continued, again.
    back_at: Option<Instant>,
}

impl Fleet {
    pub(crate) fn start() -> Fleet {
        let redis = RedisServer::start();
        let mut slots = Vec::new();
        for role in [
            "gateway", "gateway", "worker", "worker", "sessions", "sessions",
        ] {
            let flags = match role {
                "gateway" => vec!["--listen".into(), free_address()],
                "worker" => KEEP_ALL.map(str::to_owned).into(),
                _ => vec![],
            };
            slots.push(Slot {
                role,
                store: redis.url(),
                flags,
                server: None,
                back_at: None,
            });
        }
        for slot in &mut slots {
            slot.start();
        }
        Fleet {
            redis,
            slots,
            kills: BTreeMap::new(),
            old_logs: Vec::new(),
        }
    }

    /// Where the gateways listen.
    pub(crate) fn gateways(&self) -> Vec<String> {
        let servers = self.slots.iter().filter(|slot| slot.role == "gateway");
        servers
            .filter_map(|slot| Some(slot.server.as_ref()?.address().to_owned()))
            .collect()
    }

    /// Kills a process that runs; it is started again after a while.
    pub(crate) fn kill_any(&mut self, away: Duration, rng: &mut StdRng) {
        let running: Vec<_> = self.running();
        if running.is_empty() {
            return;
        }
        let slot = &mut self.slots[running[rng.random_range(0..running.len())]];
        if let Some(server) = slot.server.take() {
            self.old_logs
                .push(format!("── {} (killed)\n{}", slot.role, server.log()));
            server.kill();
            slot.back_at = Some(Instant::now() + away);
            *self.kills.entry(slot.role).or_default() += 1;
        }
    }

    /// Stops a worker with SIGSTOP; it goes on after a while.
    pub(crate) fn stop_a_worker(&mut self, away: Duration, rng: &mut StdRng) {
        let mut workers = self.running();
        workers.retain(|slot| self.slots[*slot].role == "worker");
        if workers.is_empty() {
            return;
        }
        let slot = &mut self.slots[workers[rng.random_range(0..workers.len())]];
        if let Some(server) = &slot.server {
            server.signal("STOP");
            slot.back_at = Some(Instant::now() + away);
            *self.kills.entry("worker stopped").or_default() += 1;
        }
    }

    pub(crate) async fn restart_redis(&mut self, away: Duration) {
        self.redis.kill();
        tokio::time::sleep(away).await;
        self.redis.restart();
        *self.kills.entry("redis").or_default() += 1;
    }

    /// Starts, or continues, what has been away for long enough.
    pub(crate) async fn revive(&mut self) {
        let now = Instant::now();
        for slot in &mut self.slots {
            if slot.back_at.is_some_and(|at| at <= now) {
                slot.back();
            }
        }
    }

    pub(crate) async fn revive_all(&mut self) {
        for slot in &mut self.slots {
            if slot.back_at.is_some() {
                slot.back();
            }
        }
    }

    /// Returns the number of kills of each kind.
    pub(crate) fn accidents(&self) -> String {
        format!("killed: {:?}", self.kills)
    }

    /// Returns the logs of the processes, for a failure.
    pub(crate) fn logs_of_processes(&self) -> String {
        let running = self
            .slots
            .iter()
            .filter_map(|slot| Some(format!("── {}\n{}", slot.role, slot.server.as_ref()?.log())));
        self.old_logs
            .iter()
            .cloned()
            .chain(running)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The logs of rooms, from the store.
    pub(crate) async fn logs(&self, rooms: &[RoomName]) -> BTreeMap<RoomName, RoomLog> {
        let settings = redis::RedisSettings::default();
        let store = redis::Redis::connect(&self.redis.url(), Layout::default(), settings).await;
        logs(store.unwrap(), rooms).await
    }

    fn running(&self) -> Vec<usize> {
        let runs = |slot: &Slot| slot.server.is_some() && slot.back_at.is_none();
        (0..self.slots.len())
            .filter(|slot| runs(&self.slots[*slot]))
            .collect()
    }
}

impl Slot {
    fn start(&mut self) {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        self.server = Some(Server::spawn(role(self.role, &self.store, &flags)));
    }

    fn back(&mut self) {
        self.back_at = None;
        match &self.server {
            Some(server) => server.signal("CONT"),
            None => self.start(),
        }
    }
}

/// One process with its embedded store.
pub(crate) struct Alone {
    folder: tempfile::TempDir,
    listen: String,
    server: Option<Server>,
}

impl Alone {
    pub(crate) fn start() -> Alone {
        let folder = tempfile::tempdir().unwrap();
        let mut alone = Alone {
            folder,
            listen: free_address(),
            server: None,
        };
        alone.spawn();
        alone
    }

    pub(crate) fn gateways(&self) -> Vec<String> {
        self.server
            .iter()
            .map(|server| server.address().to_owned())
            .collect()
    }

    pub(crate) fn kill_and_start(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        self.spawn();
    }

    /// The logs of rooms, once the process is gone.
    pub(crate) async fn logs(mut self, rooms: &[RoomName]) -> BTreeMap<RoomName, RoomLog> {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        let store = Embedded::open(Path::new(&store_in(self.folder.path())), Layout::default());
        logs(store.unwrap(), rooms).await
    }

    fn spawn(&mut self) {
        let store = format!("embedded:{}", store_in(self.folder.path()));
        let flags = [&["--listen", &self.listen], &KEEP_ALL[..]].concat();
        self.server = Some(Server::all(&store, &flags));
    }
}

fn store_in(folder: &Path) -> String {
    folder.join("data").display().to_string()
}
