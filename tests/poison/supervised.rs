use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::rooms::FILE;

/// A process with poisonous rooms that is started again whenever it ends; killed when this is dropped.
pub(crate) struct Supervised {
    stop: Arc<AtomicBool>,
    deaths: Arc<AtomicUsize>,
    log: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervised {
    pub(crate) fn start(args: &[&str], file: &Path) -> Supervised {
        let (stop, deaths, log) =
            <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<Mutex<String>>)>::default();
        let mut command = Command::new(std::env::current_exe().unwrap());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OUTLAST_")) {
            command.env_remove(name);
        }
        command.args(args).env(FILE, file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (stopped, died, logs) = (stop.clone(), deaths.clone(), log.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let mut child = command.spawn().expect("this program runs");
                let (stderr, into) = (child.stderr.take().unwrap(), logs.clone());
                std::thread::spawn(move || {
                    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                        into.lock().unwrap().push_str(&(line + "\n"));
                    }
                });
                while child.try_wait().unwrap().is_none() {
                    if stopped.load(SeqCst) {
                        child.kill().ok();
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                died.fetch_add(1, SeqCst);
            }
        });
        Supervised {
            stop,
            deaths,
            log,
            thread: Some(thread),
        }
    }

    /// How often it has ended.
    pub(crate) fn deaths(&self) -> usize {
        self.deaths.load(SeqCst)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        if std::thread::panicking() {
            eprintln!("── log\n{}", self.log());
        }
    }
}

/// Asks over HTTP; none where nobody answers.
pub(crate) fn http(
    address: &str,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}
