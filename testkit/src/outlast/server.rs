use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use super::{Starting, role};
use crate::{client::Client, patience::eventually_blocking, process::Process, redis::RedisServer};

/// A process of the real binary; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: String,
    log: Log,
}

/// The standard error of a process so far.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

/// The end of a process that ended by itself.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Exit {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Exit {
    /// The last line of standard error.
    pub fn last_line(&self) -> &str {
        self.stderr.trim_end().lines().last().unwrap_or_default()
    }
}

impl Server {
    /// `outlast all` in memory.
    pub fn alone(flags: &[&str]) -> Server {
        Server::all("memory:", flags)
    }

    /// `outlast all` on this store.
    pub fn all(store: &str, flags: &[&str]) -> Server {
        Server::spawn(role("all", store, flags))
    }

    /// A gateway on this Redis.
    pub fn gateway(redis: &RedisServer, flags: &[&str]) -> Server {
        Server::spawn(role("gateway", &redis.url(), flags))
    }

    /// A worker on this Redis.
    pub fn worker(redis: &RedisServer, flags: &[&str]) -> Server {
        Server::spawn(role("worker", &redis.url(), flags))
    }

    /// A keeper of sessions on this Redis.
    pub fn keeper(redis: &RedisServer, flags: &[&str]) -> Server {
        Server::spawn(role("sessions", &redis.url(), flags))
    }

    /// Starts the binary with these arguments and no others, and waits until it is ready.
    pub fn start(args: &[&str]) -> Server {
        Server::spawn(super::command(args))
    }

    /// The same with any command.
    pub fn spawn(command: Command) -> Server {
        Starting::spawn(command).ready()
    }

    /// Runs the binary until it ends by itself.
    pub fn run(args: &[&str]) -> Exit {
        Server::run_command(super::command(args))
    }

    /// The same with any command.
    pub fn run_command(mut command: Command) -> Exit {
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (stdout, stderr) = process.pipes();
        let read = |mut pipe: Box<dyn Read + Send>| {
            thread::spawn(move || {
                let mut text = String::new();
                pipe.read_to_string(&mut text).ok();
                text
            })
        };
        let (stdout, stderr) = (read(Box::new(stdout)), read(Box::new(stderr)));
        let status = eventually_blocking(&format!("{command:?} ends"), || process.exited());
        Exit {
            code: status.code(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }

    pub(super) fn new(process: Process, log: Log) -> Server {
        let address = String::new();
        Server {
            process,
            address,
            log,
        }
    }

    pub(super) fn at(mut self, address: &str) -> Server {
        self.address = address.to_owned();
        self
    }

    pub(super) fn runs(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Sends a signal, by its number or name.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Waits until it has ended by itself, and returns its exit code.
    pub fn wait(mut self) -> Option<i32> {
        eventually_blocking("the process ends", || self.process.exited()).code()
    }

    /// A socket to it, with nothing said yet.
    pub async fn connect(&self) -> Client {
        Client::connect(&self.address).await
    }

    /// A socket to it with a session of its own.
    pub async fn open(&self) -> Client {
        let mut client = self.connect().await;
        client.open().await;
        client
    }

    /// A member of a chat room: joined with n = 1.
    pub async fn member(&self, room: &str, name: &str) -> Client {
        let mut client = self.open().await;
        client.join(room, 1, name).await;
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
        if thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4_000);
            let tail = log.get(tail..).unwrap_or(&log);
            eprintln!("── log of {}\n{tail}", self.address);
        }
    }
}

impl Log {
    /// Collects what comes out of a pipe.
    pub fn of(pipe: impl Read + Send + 'static) -> Log {
        let log = Log::default();
        log.collect(pipe);
        log
    }

    /// Collects what comes out of another pipe, too.
    pub fn collect(&self, pipe: impl Read + Send + 'static) {
        let into = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                into.0.lock().unwrap().push_str(&(line + "\n"));
            }
        });
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}
