//! Processes that do not outlive the bench, however it ends.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};

use crate::machine::{Cpu, rss_bytes};

/// Tells this program, started again, which part of the bench to play.
pub(crate) const PART_VARIABLE: &str = "OUTLAST_BENCH_PART";

/// The longest time that a process may take until it says that it serves.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running process. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Arc<Mutex<Child>>,
}

/// Every process that runs, and the folders that they write to: a signal skips all destructors.
static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());
static FOLDERS: Mutex<Vec<std::path::PathBuf>> = Mutex::new(Vec::new());

impl Process {
    /// Starts a process. What it says to standard error is shown.
    pub(crate) fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let child = Arc::new(Mutex::new(child));
        RUNNING.lock().push(child.clone());
        Ok(Process {
            name: name.to_owned(),
            child,
        })
    }

    /// Starts a process and waits for the first line that it prints, which says that it serves.
    pub(crate) fn start_ready(name: &str, command: &mut Command) -> anyhow::Result<(Self, String)> {
        let process = Self::start(name, command.stdout(Stdio::piped()))?;
        let stdout = process
            .child
            .lock()
            .stdout
            .take()
            .context("standard output is piped")?;
        let (said, first) = mpsc::channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            if stdout.read_line(&mut line).is_ok() {
                said.send(line).ok();
            }
            // It is read to its end, so that nobody writes into a closed pipe.
            std::io::copy(&mut stdout.take(u64::MAX), &mut std::io::sink()).ok();
        });
        match first.recv_timeout(READY_WITHIN) {
            Ok(line) if !line.is_empty() => Ok((process, line.trim().to_owned())),
            Ok(_) => bail!("{name} ended before it served"),
            Err(_) => bail!("{name} does not say that it serves"),
        }
    }

    /// Starts this program again, as another part of the bench, and answers its first line. It ends
    /// when its standard input does.
    pub(crate) fn start_part(part: &str, args: &[&str]) -> anyhow::Result<(Self, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(args)
            .env(PART_VARIABLE, part)
            .stdin(Stdio::piped());
        Self::start_ready(part, &mut command)
    }

    /// Returns the size of its memory that lies in RAM, in bytes.
    pub(crate) fn rss_bytes(&self) -> anyhow::Result<u64> {
        self.check()?;
        rss_bytes(self.child.lock().id())
    }

    /// Returns the processor time that it has used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        self.check()?;
        Cpu::of(self.child.lock().id())
    }

    /// An error where it has ended by itself.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.child.lock().try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended: {status}", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        RUNNING
            .lock()
            .retain(|other| !Arc::ptr_eq(other, &self.child));
        kill(&self.child);
    }
}

/// Removes a folder also when a signal ends everything.
pub(crate) fn remove_at_end(folder: &Path) {
    FOLDERS.lock().push(folder.to_owned());
}

/// From now on SIGINT and SIGTERM stop every process before they end this one.
pub(crate) fn stop_all_on_signal() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        RUNNING.lock().iter().for_each(kill);
        for folder in FOLDERS.lock().iter() {
            std::fs::remove_dir_all(folder).ok();
        }
        std::process::exit(130);
    });
    Ok(())
}

/// Waits until standard input ends: whoever started this process is gone.
pub(crate) fn until_orphaned() {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
}

fn kill(child: &Arc<Mutex<Child>>) {
    let mut child = child.lock();
    // It fails where the process has ended already, and that is what was wanted.
    child.kill().ok();
    child.wait().ok();
}
