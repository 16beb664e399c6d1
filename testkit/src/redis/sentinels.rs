//! A master with a replica, and three sentinels that watch it.

use std::{collections::HashMap, fs, process::Command};

use redis::FromRedisValue;
use tempfile::TempDir;

use super::{
    command,
    server::{RedisServer, spawn},
    site::{LOOSELY_MS, Login, Site},
    users,
};
use crate::{patience::eventually_blocking, ports::free_port, process::Process};

/// Everything that Sentinel needs, killed when it is dropped.
#[derive(Debug)]
pub struct Sentinels {
    /// The master at first, and its replica.
    servers: [RedisServer; 2],
    /// Each with its port.
    sentinels: Vec<(u16, Process)>,
    /// The sentinels want a user.
    asks: bool,
    _folder: TempDir,
}

const NAME: &str = "main";

/// The rights at sentinels that ask: nobody without a name; we, no more than docs/redis.md says; and
/// they themselves among each other.
const SENTINEL_USERS: &str = "\
user default off
user operator on >another-secret allchannels +@all
user outlast-sentinel on >another-secret resetchannels -@all +hello +ping \
     +sentinel|get-master-addr-by-name +sentinel|master
sentinel sentinel-user operator
sentinel sentinel-pass another-secret
";

impl Sentinels {
    /// Sentinels that let everybody in.
    pub fn start() -> Self {
        Self::start_asking(false)
    }

    /// Sentinels that have users of their own, and a master at which we are a user, too.
    pub fn start_with_users() -> Self {
        Self::start_asking(true)
    }

    fn start_asking(asks: bool) -> Self {
        let master = RedisServer::start_for_users(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port().to_string();
        let replica = RedisServer::start_for_users(&["--replicaof", "127.0.0.1", &port]);
        let folder = tempfile::tempdir().unwrap();
        let sentinels = (0..3).map(|number| {
            let config = folder.path().join(format!("sentinel-{number}.conf"));
            let listen = free_port();
            let text = format!(
                "port {listen}\nbind 127.0.0.1\ndir {}\n\
                 sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} {LOOSELY_MS}\n\
                 sentinel failover-timeout {NAME} 3000\n{}",
                folder.path().display(),
                if asks { SENTINEL_USERS } else { "" },
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new("redis-server");
            command.arg(&config).arg("--sentinel");
            (listen, spawn(command, "127.0.0.1", listen))
        });
        let all = Sentinels {
            sentinels: sentinels.collect(),
            servers: [master, replica],
            asks,
            _folder: folder,
        };
        all.wait_until_all_is_known();
        all
    }

    /// Runs a command at one of the sentinels, as an operator would.
    pub fn tell_sentinel(&self, number: usize, words: &[&str]) {
        self.ask::<()>(self.sentinels[number].0, words);
    }

    fn ask<T: FromRedisValue>(&self, port: u16, words: &[&str]) -> T {
        command::run(self.operator(), ("127.0.0.1", port), words).unwrap()
    }

    /// The part of a URL that says who an operator is.
    fn operator(&self) -> &'static str {
        match self.asks {
            true => "operator:another-secret@",
            false => "",
        }
    }

    /// Until the sentinels know each other and the replica, and that one all of the master's data.
    fn wait_until_all_is_known(&self) {
        eventually_blocking("the sentinels know everything", || {
            let know = self.sentinels.iter().all(|(port, _)| {
                let state: HashMap<String, String> = self.ask(*port, &["SENTINEL", "MASTER", NAME]);
                state["num-other-sentinels"] == "2" && state["num-slaves"] == "1"
            });
            let info: String = self.servers[1].run(&["INFO", "replication"]);
            (know && info.contains("master_link_status:up")).then_some(())
        });
    }
}

impl Site for Sentinels {
    fn url(&self) -> String {
        let hosts = self.sentinels.iter();
        let hosts = hosts.map(|(port, _)| format!("127.0.0.1:{port}"));
        let hosts: Vec<_> = hosts.collect();
        format!("redis-sentinel://{}/{NAME}", hosts.join(","))
    }

    fn login(&self) -> Login {
        if !self.asks {
            return Login::default();
        }
        Login {
            user: Some("outlast"),
            password: Some(users::PASSWORD),
            sentinel_user: Some("outlast-sentinel"),
            sentinel_password: Some("another-secret"),
        }
    }

    fn masters(&self) -> Vec<&RedisServer> {
        vec![&self.servers[0]]
    }

    fn replicas(&self) -> Vec<&RedisServer> {
        vec![&self.servers[1]]
    }

    fn watch(&self, silence_ms: u64) {
        let silence_ms = silence_ms.to_string();
        let set = ["SENTINEL", "SET", NAME, "down-after-milliseconds"];
        for (port, _) in &self.sentinels {
            self.ask::<()>(*port, &[&set[..], &[&silence_ms]].concat());
        }
    }

    fn owner(&mut self, _key: &str) -> (&mut RedisServer, &RedisServer) {
        let [master, replica] = &mut self.servers;
        (master, replica)
    }
}
