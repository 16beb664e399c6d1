use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Stdio},
};

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::{command, users};
use crate::{patience::eventually_blocking, ports::free_port, process::Process};

/// A redis-server on a port and in a folder of its own; killed, and its folder removed, when it is dropped.
///
/// A write that it has answered outlives SIGKILL; for a power cut it would have to wait for the disk.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    launch: Launch,
}

/// The way in which a server is started, the first time and again.
#[derive(Debug)]
pub struct Launch {
    host: String,
    port: u16,
    options: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server that keeps everything it acknowledged.
    pub fn start() -> Self {
        Self::launch().start()
    }

    /// The same with further options, the later of which win.
    pub fn start_with(options: &[&str]) -> Self {
        Self::launch().options(options).start()
    }

    /// The same with the ACL users that are shipped.
    pub fn start_for_users(options: &[&str]) -> Self {
        let users = users::options();
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        Self::launch().options(options).options(&users).start()
    }

    /// A server that is still to be started.
    pub fn launch() -> Launch {
        Launch {
            host: "127.0.0.1".into(),
            port: free_port(),
            options: Vec::new(),
            environment: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Where it is, `redis://…`.
    pub fn url(&self) -> String {
        self.launch.url()
    }

    /// Where it listens, `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.launch.host, self.launch.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.launch.port
    }

    /// Where it writes to.
    pub fn folder(&self) -> &Path {
        self.launch.folder()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.process = self.launch.spawn();
    }

    /// Sends its process a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Runs a command as an operator would.
    pub fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.run_as("", words)
    }

    /// The same, where it may be refused.
    pub fn try_run<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        command::run("", self.there(), words)
    }

    /// The same with a part of the URL that names a user and a password.
    pub fn run_as<T: FromRedisValue>(&self, who: &str, words: &[&str]) -> T {
        command::run(who, self.there(), words).unwrap()
    }

    /// Runs a command with redis-cli, and returns its text.
    pub fn cli(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port().to_string()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until it has read what it kept, which it can only tell to somebody whom it knows.
    pub fn wait_until_loaded(&self, who: &str) {
        eventually_blocking("redis-server has read what it kept", || {
            command::run::<()>(who, self.there(), &["EXISTS", "x"]).ok()
        });
    }

    fn there(&self) -> (&str, u16) {
        (&self.launch.host, self.launch.port)
    }
}

impl Launch {
    /// At another address of this machine: 127.0.0.N.
    pub fn host(mut self, n: u8) -> Self {
        self.host = format!("127.0.0.{n}");
        self
    }

    /// On this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With further options, the later of which win.
    pub fn options(mut self, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned());
        self.options.extend(options);
        self
    }

    /// With further variables of the environment.
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.environment
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Starts it, and waits until it answers.
    pub fn start(self) -> RedisServer {
        RedisServer {
            process: self.spawn(),
            launch: self,
        }
    }

    /// Where it will be, `redis://…`.
    pub fn url(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }

    /// Where it writes to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns whether it answers.
    pub fn is_ready(&self) -> bool {
        command::is_ready(&self.host, self.port)
    }

    /// The command that starts it, for who looks after the process himself.
    pub fn command(&self) -> Command {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", &self.host])
            .args(["--appendonly", "yes", "--appendfsync", "no"])
            .args(["--stream-node-max-bytes", "512"])
            .args(["--save", "", "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null());
        command
    }

    fn spawn(&self) -> Process {
        spawn(self.command(), &self.host, self.port)
    }
}

/// Starts a redis-server, or a sentinel, and waits until it answers.
pub(super) fn spawn(mut command: Command, host: &str, port: u16) -> Process {
    let mut process = Process::spawn(command.stdout(Stdio::null()));
    eventually_blocking("redis-server answers", || {
        if let Some(status) = process.exited() {
            panic!("redis-server 7 did not start: {status}");
        }
        command::is_ready(host, port).then_some(())
    });
    process
}
