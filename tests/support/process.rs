use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use super::{Client, PATIENCE, Redis};

/// A process of the real binary; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    log: Arc<Mutex<String>>,
}

/// How a process ended by itself.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Exit {
    /// The last line of standard error.
    pub(crate) fn last_line(&self) -> &str {
        self.stderr.trim_end().lines().last().unwrap_or_default()
    }
}

/// Nobody has to answer pings who did not ask for them, however long a test takes.
fn pings(flags: &[&str]) -> &'static [&'static str] {
    match flags.contains(&"--heartbeat-ms") {
        true => &[],
        false => &["--heartbeat-ms", "3600000"],
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outlast"));
    let ours = |name: &str| name.starts_with("OUTLAST_") || name.starts_with("OTEL_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

impl Server {
    /// `outlast all` in memory for anonymous clients, with further flags.
    pub(crate) fn alone(flags: &[&str]) -> Server {
        let base = [
            "all",
            "--store",
            "memory:",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "off",
        ];
        let pings = pings(flags);
        Server::start(&[&base[..], &["--allow-anonymous"], pings, flags].concat())
    }

    /// A gateway on this Redis.
    pub(crate) fn gateway(redis: &Redis, flags: &[&str]) -> Server {
        let base = [
            "gateway",
            "--store",
            &redis.url(),
            "--listen",
            "127.0.0.1:0",
        ];
        Server::start(
            &[
                &base[..],
                &["--admin-listen", "off", "--allow-anonymous"],
                pings(flags),
                flags,
            ]
            .concat(),
        )
    }

    /// A worker on this Redis.
    pub(crate) fn worker(redis: &Redis, flags: &[&str]) -> Server {
        Server::start(
            &[
                &["worker", "--store", &redis.url(), "--admin-listen", "off"],
                flags,
            ]
            .concat(),
        )
    }

    /// A keeper of sessions on this Redis.
    pub(crate) fn keeper(redis: &Redis, flags: &[&str]) -> Server {
        Server::start(
            &[
                &["sessions", "--store", &redis.url(), "--admin-listen", "off"],
                flags,
            ]
            .concat(),
        )
    }

    /// Starts the binary and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Server {
        Server::spawn(command(args))
    }

    pub(crate) fn spawn(command: Command) -> Server {
        Starting::spawn(command).ready()
    }

    /// Runs the binary until it ends by itself.
    pub(crate) fn run(args: &[&str]) -> Exit {
        Server::run_command(command(args))
    }

    pub(crate) fn run_command(mut command: Command) -> Exit {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stderr = child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).ok();
            text
        });
        let mut pipe = child.stdout.take().unwrap();
        let out = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).ok();
            text
        });
        let start = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                child.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Exit {
            code: status.code(),
            stdout: out.join().unwrap(),
            stderr: reader.join().unwrap(),
        }
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What its machine calls it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal, by its number or name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Waits until it has ended by itself, and answers its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it did not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A socket to it, with nothing said yet.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(&self.address).await
    }

    /// A socket to it with a session of its own.
    pub(crate) async fn open(&self) -> Client {
        let mut client = self.connect().await;
        client.open().await;
        client
    }

    /// A member of a chat room: joined with n = 1.
    pub(crate) async fn member(&self, room: &str, name: &str) -> Client {
        let mut client = self.open().await;
        client.join(room, 1, name).await;
        client
    }
}

/// A process of the real binary that may not be ready yet.
pub(crate) struct Starting {
    server: Server,
    said: mpsc::Receiver<String>,
}

impl Starting {
    /// Starts the binary.
    pub(crate) fn spawn(mut command: Command) -> Starting {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, into) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                into.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).ok();
            told.send(line).ok();
            stdout.read_to_string(&mut String::new()).ok();
        });
        let address = String::new();
        let server = Server {
            child,
            address,
            log,
        };
        Starting { server, said }
    }

    /// Whether it still runs and has not said that it is ready.
    pub(crate) fn is_waiting(&mut self) -> bool {
        let runs = self.server.child.try_wait().unwrap().is_none();
        runs && matches!(self.said.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// Waits until it is ready.
    pub(crate) fn ready(self) -> Server {
        let line = self.said.recv_timeout(PATIENCE).unwrap_or_default();
        let address = line.trim().rsplit_once("http://");
        let mut server = self.server;
        server.address = address.map_or("", |(_, address)| address).to_owned();
        assert!(
            line.contains(" ready"),
            "no ready line, but {line:?}\n{}",
            server.log()
        );
        server
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// Sends a signal, and answers the exit code.
    pub(crate) fn end(self, signal: &str) -> Option<i32> {
        self.server.signal(signal);
        self.server.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4_000);
            eprintln!(
                "── log of {}\n{}",
                self.address,
                log.get(tail..).unwrap_or(&log)
            );
        }
    }
}
