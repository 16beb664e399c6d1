//! A store that goes away, and comes back with what it had acknowledged.

use std::{
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use outlast_store::{
    Health, SharedStore, StoreError,
    redis::{Redis, RedisSettings},
};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::{
    client::{Client, PATIENCE},
    workers::{LAYOUT, Worker, until_even},
};

/// A redis-server in a folder of its own; killed when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    /// Keeps the port from everybody else, also while no server is there.
    _hold: TcpSocket,
    process: Child,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hold = TcpSocket::new_v4().unwrap();
        hold.set_reuseaddr(true).unwrap();
        hold.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = hold.local_addr().unwrap().port();
        Server {
            process: spawn(&folder, port),
            folder,
            port,
            _hold: hold,
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = spawn(&self.folder, self.port);
    }

    pub(crate) async fn connect(&self) -> SharedStore {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let start = Instant::now();
        // A busy machine is not taken for a store that is away.
        let settings = RedisSettings {
            command_timeout_ms: 20_000,
            ..RedisSettings::default()
        };
        loop {
            match Redis::connect(&url, LAYOUT, settings.clone()).await {
                Ok(store) => return store,
                Err(StoreError::Unavailable(_)) if start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(folder: &TempDir, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        // What it has answered outlives SIGKILL; for a power cut it would have to wait for the disk.
        .args(["--appendonly", "yes", "--appendfsync", "no"])
        .args(["--save", "", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("this test needs redis-server 7 in the PATH")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w7_a_worker_waits_for_a_store_that_is_away_and_goes_on() {
    let mut server = Server::start();
    let store = server.connect().await;
    let worker = Worker::start(&store, 1_000);
    let mut ada = Client::joined(&store, "chat/lobby").await;
    ada.say("before").await;
    for number in 1..=2 {
        server.kill();
        let mut health = store.health();
        health
            .wait_for(|health| *health == Health::Down)
            .await
            .unwrap();
        server.start_again();
        // The same act is sent until one of its appends is answered; it counts once.
        ada.post(&format!("after {number}")).await;
        let texts = until_logged(&ada, &store, number + 2).await;
        assert_eq!(
            texts,
            (1..=number + 2).collect::<Vec<_>>(),
            "each act once, in order"
        );
    }
    until_even(&store, 1).await;
    worker.stop().await;
}

/// Waits until the log holds so many entries; answers their positions.
async fn until_logged(client: &Client, store: &SharedStore, entries: u64) -> Vec<u64> {
    let start = Instant::now();
    loop {
        if let Ok(log) = store.read_log(&client.room, 1, 100).await
            && log.last.off >= entries
        {
            return log.entries.iter().map(|entry| entry.pos.off).collect();
        }
        assert!(start.elapsed() < PATIENCE, "nothing comes of it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
