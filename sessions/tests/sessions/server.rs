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
use tokio::net::TcpSocket;

use crate::world::{PATIENCE, until};

/// A real redis-server, on a port and in a folder of its own. Killed when it is dropped.
pub(crate) struct Server {
    port: u16,
    /// Keeps the port from everybody else.
    _hold: TcpSocket,
    process: Child,
    _folder: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hold = TcpSocket::new_v4().unwrap();
        hold.set_reuseaddr(true).unwrap();
        hold.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = hold.local_addr().unwrap().port();
        let process = Command::new("redis-server")
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
            .expect("these tests need redis-server 7 in the PATH");
        let server = Server {
            port,
            _hold: hold,
            process,
            _folder: folder,
        };
        until("redis-server answers", async || server.run("PING")).await;
        server
    }

    /// Connects with this much patience for each command.
    pub(crate) async fn connect_for(&self, patience: Duration) -> SharedStore {
        Server::connect_to(self.port, patience).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connects to whatever leads to it.
    pub(crate) async fn connect_to(port: u16, patience: Duration) -> SharedStore {
        let url = format!("redis://127.0.0.1:{port}");
        let command_timeout_ms = patience.as_millis() as u64;
        let settings = RedisSettings {
            command_timeout_ms,
            ..RedisSettings::default()
        };
        Redis::connect(&url, Layout::default(), settings)
            .await
            .unwrap()
    }

    /// Sends its process a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Runs a command as an operator would, if it answers.
    pub(crate) fn run(&self, command: &str) -> Option<String> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        connection
            .write_all(format!("{command}\r\n").as_bytes())
            .ok()?;
        let mut answer = [0; 64];
        let length = connection
            .read(&mut answer)
            .ok()
            .filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
