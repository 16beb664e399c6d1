//! A real redis-server on a port and in a folder of its own.

use std::{
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use outlast_store::{
    Layout, StoreError,
    redis::{Redis, RedisSettings},
};
use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::users;

/// Killed, and its folder removed, when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: Port,
    options: Vec<String>,
    process: Process,
}

/// A port that nobody else gets, also while no server is there: it is bound to a socket that does not listen,
/// and a server may share it.
pub(crate) struct Port(TcpSocket);

/// A server at another address of this machine, with nothing in it.
pub(crate) struct Elsewhere {
    _process: Process,
    _folder: TempDir,
}

/// A process that does not outlive the test.
pub(crate) struct Process(Child);

impl Server {
    /// Starts a server that keeps everything it acknowledged.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
        let port = Port::hold();
        let process = spawn(&folder, port.number(), &options);
        Server {
            folder,
            port,
            options,
            process,
        }
    }

    /// Starts another server, at 127.0.0.N.
    pub(crate) fn start_at(last: u8, port: u16, options: &[&str]) -> Elsewhere {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
        let process = spawn_at(last, &folder, port, &options);
        Elsewhere {
            _process: process,
            _folder: folder,
        }
    }

    /// The same, with the ACL users that are shipped.
    pub(crate) fn start_for_users(options: &[&str]) -> Self {
        let users = users::options();
        let users = users.iter().map(String::as_str);
        let options: Vec<_> = options.iter().copied().chain(users).collect();
        Self::start_with(&options)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) async fn connect(&self, layout: Layout) -> Result<Arc<Redis>, StoreError> {
        Redis::connect(&self.url(), layout, patient()).await
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.folder, self.port(), &self.options);
    }

    /// Sends its process a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Runs a command as an operator would.
    pub(crate) fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.run_as("", words)
    }

    /// The same, where it may be refused.
    pub(crate) fn try_run<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        try_run(&self.url(), words)
    }

    /// The same with a part of the URL that names a user and a password.
    pub(crate) fn run_as<T: FromRedisValue>(&self, who: &str, words: &[&str]) -> T {
        try_run(&format!("redis://{who}127.0.0.1:{}", self.port()), words).unwrap()
    }

    /// Waits until it has read what it kept, which it can only tell to somebody whom it knows.
    pub(crate) fn has_loaded(&self, who: &str) {
        let url = format!("redis://{who}127.0.0.1:{}", self.port());
        wait("it has read what it kept", || {
            try_run::<()>(&url, &["EXISTS", "x"]).is_ok()
        });
    }
}

/// Runs a command at any port of this machine; `who` is the part of a URL that names a user and a password.
pub(crate) fn run_at<T: FromRedisValue>(who: &str, port: u16, words: &[&str]) -> T {
    try_run(&format!("redis://{who}127.0.0.1:{port}"), words).unwrap()
}

fn try_run<T: FromRedisValue>(url: &str, words: &[&str]) -> RedisResult<T> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let (name, args) = words.split_first().unwrap();
    redis::cmd(name).arg(args).query(&mut connection)
}

/// A busy machine is not taken for a store that is away.
pub(crate) fn patient() -> RedisSettings {
    RedisSettings {
        command_timeout_ms: 20_000,
        ..RedisSettings::default()
    }
}

impl Process {
    fn kill(&mut self) {
        // It fails where the process has ended already, and that is what was wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Port {
    pub(crate) fn hold() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Port(socket)
    }

    pub(crate) fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

/// What it has answered outlives SIGKILL; for a power cut it would have to wait for the disk.
fn spawn(folder: &TempDir, port: u16, options: &[String]) -> Process {
    spawn_at(1, folder, port, options)
}

fn spawn_at(last: u8, folder: &TempDir, port: u16, options: &[String]) -> Process {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            &format!("127.0.0.{last}"),
        ])
        .args(["--appendonly", "yes", "--appendfsync", "no"])
        .args(["--save", "", "--dir"])
        .arg(folder.path())
        .args(options);
    spawn_with_at(last, command, port)
}

/// Starts what will listen on a port.
pub(crate) fn spawn_with(command: Command, port: u16) -> Process {
    spawn_with_at(1, command, port)
}

fn spawn_with_at(last: u8, mut command: Command, port: u16) -> Process {
    let process = command
        .stdout(Stdio::null())
        .spawn()
        .expect("these tests need redis-server 7 in the PATH");
    let mut process = Process(process);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = process.0.try_wait().unwrap() {
            panic!("redis-server did not start: {status}");
        }
        if answers(last, port) {
            return process;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("redis-server did not start in time");
}

/// How long anything may take, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so.
pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "it did not come true that {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether it has loaded its data; who wants a password is there, too.
fn answers(last: u8, port: u16) -> bool {
    let client = redis::Client::open(format!("redis://127.0.0.{last}:{port}")).unwrap();
    let ping = client
        .get_connection()
        .and_then(|mut connection| redis::cmd("PING").exec(&mut connection));
    match ping {
        Ok(()) => true,
        Err(error) => error.code() == Some("NOAUTH"),
    }
}
