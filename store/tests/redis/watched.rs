//! A master with a replica, and three sentinels that watch it.

use std::{collections::HashMap, fs, process::Command};

use outlast_store::redis::Access;
use tempfile::TempDir;

use crate::{
    server::{Port, Process, Server, run_at, spawn_with, wait},
    site::{LOOSELY_MS, Site},
    users,
};

/// Everything that Sentinel needs, killed when it is dropped.
pub(crate) struct Watched {
    /// The master at first, and its replica.
    servers: [Server; 2],
    sentinels: Vec<(Port, Process)>,
    /// Whether the sentinels ask who one is.
    asks: bool,
    _folder: TempDir,
}

const NAME: &str = "main";

/// Who may do what at sentinels that ask: nobody without a name; we, no more than docs/redis.md says; and
/// they themselves among each other.
const SENTINEL_USERS: &str = "\
user default off
user operator on >another-secret allchannels +@all
user outlast-sentinel on >another-secret resetchannels -@all +hello +ping \
     +sentinel|get-master-addr-by-name +sentinel|master
sentinel sentinel-user operator
sentinel sentinel-pass another-secret
";

impl Watched {
    pub(crate) fn start() -> Self {
        Self::start_asking(false)
    }

    /// Sentinels that have users of their own, and a master at which we are a user, too.
    pub(crate) fn start_with_users() -> Self {
        Self::start_asking(true)
    }

    fn start_asking(asks: bool) -> Self {
        let master = Server::start_for_users(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port().to_string();
        let replica = Server::start_for_users(&["--replicaof", "127.0.0.1", &port]);
        let folder = tempfile::tempdir().unwrap();
        let sentinels = (0..3).map(|number| {
            let config = folder.path().join(format!("sentinel-{number}.conf"));
            let listen = Port::hold();
            let text = format!(
                "port {}\nbind 127.0.0.1\ndir {}\n\
                 sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} {LOOSELY_MS}\n\
                 sentinel failover-timeout {NAME} 3000\n{}",
                listen.number(),
                folder.path().display(),
                if asks { SENTINEL_USERS } else { "" },
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new("redis-server");
            command.arg(&config).arg("--sentinel");
            let process = spawn_with(command, listen.number());
            (listen, process)
        });
        let watched = Watched {
            sentinels: sentinels.collect(),
            servers: [master, replica],
            asks,
            _folder: folder,
        };
        watched.wait_until_all_is_known();
        watched
    }

    /// Runs a command at one of the sentinels, as an operator would.
    pub(crate) fn tell_sentinel(&self, number: usize, words: &[&str]) {
        let (port, _) = &self.sentinels[number];
        run_at::<()>(self.operator(), port.number(), words);
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
        wait("the sentinels know everything", || {
            let know = self.sentinels.iter().all(|(port, _)| {
                let ask = ["SENTINEL", "MASTER", NAME];
                let state: HashMap<String, String> = run_at(self.operator(), port.number(), &ask);
                state["num-other-sentinels"] == "2" && state["num-slaves"] == "1"
            });
            let info: String = self.servers[1].run(&["INFO", "replication"]);
            know && info.contains("master_link_status:up")
        });
    }
}

impl Site for Watched {
    fn url(&self) -> String {
        let hosts = self.sentinels.iter();
        let hosts = hosts.map(|(port, _)| format!("127.0.0.1:{}", port.number()));
        let hosts: Vec<_> = hosts.collect();
        format!("redis-sentinel://{}/{NAME}", hosts.join(","))
    }

    fn access(&self) -> Access {
        if !self.asks {
            return Access::default();
        }
        Access {
            sentinel_user: Some("outlast-sentinel".into()),
            sentinel_password: Some("another-secret".into()),
            ..users::everything()
        }
    }

    fn masters(&self) -> Vec<&Server> {
        vec![&self.servers[0]]
    }

    fn replicas(&self) -> Vec<&Server> {
        vec![&self.servers[1]]
    }

    fn watch(&self, silence_ms: u64) {
        let silence_ms = silence_ms.to_string();
        let set = ["SENTINEL", "SET", NAME, "down-after-milliseconds"];
        for (port, _) in &self.sentinels {
            run_at::<()>(
                self.operator(),
                port.number(),
                &[&set[..], &[&silence_ms]].concat(),
            );
        }
    }

    fn owner(&mut self, _key: &str) -> (&mut Server, &Server) {
        let [master, replica] = &mut self.servers;
        (master, replica)
    }
}
