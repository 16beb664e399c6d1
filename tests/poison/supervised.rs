use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use outlast_testkit::{http, outlast::Log};

use crate::rooms::FILE;

/// A process with poisonous rooms that is started again whenever it ends; killed when this is dropped.
pub(crate) struct Supervised {
    stop: Arc<AtomicBool>,
    deaths: Arc<AtomicUsize>,
    log: Log,
    thread: Option<JoinHandle<()>>,
}

impl Supervised {
    /// Starts it as `outlast` would be.
    pub(crate) fn start(outlast: Command, file: &Path) -> Supervised {
        let (stop, deaths, log) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Log)>::default();
        let mut command = Command::new(std::env::current_exe().unwrap());
        for (name, _) in outlast.get_envs() {
            command.env_remove(name);
        }
        command.args(outlast.get_args()).env(FILE, file);
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (stopped, died, logs) = (stop.clone(), deaths.clone(), log.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let mut child = command.spawn().expect("this program runs");
                logs.collect(child.stderr.take().unwrap());
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

    /// Returns the number of times that it has ended.
    pub(crate) fn deaths(&self) -> usize {
        self.deaths.load(SeqCst)
    }

    /// Returns its log.
    pub(crate) fn log(&self) -> String {
        self.log.text()
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
    let headers = [http::JSON, ("Idempotency-Key", key)];
    let answer = http::request(method, address, path, &headers, body)?;
    Some((answer.status, answer.body().to_owned()))
}
