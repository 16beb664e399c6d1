use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use outlast_store::{
    Layout, SharedStore,
    redis::{Redis, RedisSettings},
};
use tempfile::TempDir;
use tokio::{
    net::TcpSocket,
    time::{Instant, sleep},
};

use crate::support::SOON;

/// A real redis-server, on a port and in a folder of its own, that writes to disk only when it is told
/// to. Killed when it is dropped.
pub struct Server {
    port: u16,
    /// Keeps the port from everybody else, also while no server is there.
    _hold: TcpSocket,
    process: Child,
    folder: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hold = TcpSocket::new_v4().unwrap();
        hold.set_reuseaddr(true).unwrap();
        hold.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = hold.local_addr().unwrap().port();
        let process = spawn(port, &folder);
        let server = Server {
            port,
            _hold: hold,
            process,
            folder,
        };
        server.answers().await;
        server
    }

    pub async fn connect(&self) -> SharedStore {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let settings = RedisSettings {
            // Long, so that a busy machine is not taken for a store that is away.
            command_timeout_ms: 4_000,
            ..RedisSettings::default()
        };
        Redis::connect(
            &url,
            Layout {
                partitions: 2,
                shards: 2,
            },
            settings,
        )
        .await
        .unwrap()
    }

    /// Kills it and starts it again: it comes back with what it was last told to save, or with nothing.
    pub async fn kill_and_start(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(self.port, &self.folder);
        self.answers().await;
    }

    /// Sends its process a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Runs a command as an operator would, if it answers.
    pub fn run(&self, command: &str) -> Option<String> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        connection
            .set_read_timeout(Some(Duration::from_secs(5)))
            .ok()?;
        connection
            .write_all(format!("{command}\r\n").as_bytes())
            .ok()?;
        let mut answer = [0; 4096];
        let length = connection
            .read(&mut answer)
            .ok()
            .filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    async fn answers(&self) {
        let deadline = Instant::now() + SOON;
        while self
            .run("PING")
            .is_none_or(|answer| !answer.starts_with("+PONG"))
        {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(port: u16, folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
        ])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("these tests need redis-server 7 in the PATH")
}
