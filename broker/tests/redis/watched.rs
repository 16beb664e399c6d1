//! A master with a replica, and three sentinels that watch it.

use std::{collections::HashMap, fs, process::Command};

use tempfile::TempDir;

use crate::{
    server::{Process, Server, free_port, run_at, spawn_with, wait},
    site::Site,
};

/// Everything that Sentinel needs, killed when it is dropped.
pub(crate) struct Watched {
    /// The master at first, and its replica.
    servers: [Server; 2],
    sentinels: Vec<(u16, Process)>,
    _folder: TempDir,
}

const NAME: &str = "main";

impl Watched {
    pub(crate) fn start() -> Self {
        let master = Server::start_for_users(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port().to_string();
        let replica = Server::start_for_users(&["--replicaof", "127.0.0.1", &port]);
        let folder = tempfile::tempdir().unwrap();
        let sentinels = (0..3).map(|number| {
            let config = folder.path().join(format!("sentinel-{number}.conf"));
            let listen = free_port();
            let text = format!(
                "port {listen}\nbind 127.0.0.1\ndir {}\n\
                 sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} 600\n\
                 sentinel failover-timeout {NAME} 3000\n",
                folder.path().display()
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new("redis-server");
            command.arg(&config).arg("--sentinel");
            let process = spawn_with(command, listen).expect("the port is still free");
            (listen, process)
        });
        let watched = Watched {
            sentinels: sentinels.collect(),
            servers: [master, replica],
            _folder: folder,
        };
        watched.wait_until_all_is_known();
        watched
    }

    /// Until the sentinels know each other and the replica, and that one all of the master's data.
    fn wait_until_all_is_known(&self) {
        wait("the sentinels know everything", || {
            let know = self.sentinels.iter().all(|(port, _)| {
                let state: HashMap<String, String> = run_at(*port, &["SENTINEL", "MASTER", NAME]);
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
        let hosts: Vec<_> = hosts.map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis-sentinel://{}/{NAME}", hosts.join(","))
    }

    fn masters(&self) -> Vec<&Server> {
        vec![&self.servers[0]]
    }

    fn replicas(&self) -> Vec<&Server> {
        vec![&self.servers[1]]
    }

    fn owner(&mut self, _key: &str) -> (&mut Server, &Server) {
        let [master, replica] = &mut self.servers;
        (master, replica)
    }
}
