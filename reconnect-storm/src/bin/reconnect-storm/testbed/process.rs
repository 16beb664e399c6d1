use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{Metrics, READY_WITHIN};
use crate::role;

/// A process of the testbed. Killed when it is dropped, and by the system when this program dies.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    /// Where clients connect, if they do.
    pub(crate) address: Option<String>,
    child: Child,
    log: PathBuf,
    admin: Option<String>,
    /// It was told to stop: its end is no surprise.
    is_stopping: bool,
}

impl Process {
    /// Starts a program; what it says to standard error goes into a file of the folder.
    pub(super) fn start(
        name: String,
        program: &Path,
        words: &[&str],
        folder: &Path,
    ) -> anyhow::Result<Process> {
        let log = folder.join(format!("{}.log", name.replace(' ', "-")));
        let mut command: Command = role::dying_with_parent(&program.to_string_lossy())?;
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("OUTLAST_") {
                command.env_remove(variable);
            }
        }
        role::share_cores(&mut command);
        let stderr = File::options().create(true).append(true).open(&log)?;
        let child = command
            .args(words)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process {
            name,
            address: None,
            child,
            log,
            admin: None,
            is_stopping: false,
        })
    }

    /// Starts an outlast process and waits until it serves (L4).
    pub(super) async fn start_ready(
        name: String,
        program: &Path,
        words: &[&str],
        folder: &Path,
        admin: Option<&str>,
    ) -> anyhow::Result<Process> {
        let mut process = Process::start(name, program, words, folder)?;
        process.admin = admin.map(str::to_owned);
        let stdout = process.child.stdout.take();
        let mut stdout = BufReader::new(stdout.context("standard output is piped")?);
        let mut line = String::new();
        let read = timeout(READY_WITHIN, stdout.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(read)) if read > 0) {
            bail!("{} does not serve: {}", process.name, process.last_words());
        }
        process.address = line
            .trim()
            .rsplit_once("http://")
            .map(|(_, address)| address.to_owned());
        // It is read to its end, so that nobody writes into a closed pipe.
        tokio::spawn(async move { stdout.read_to_end(&mut Vec::new()).await.ok() });
        Ok(process)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.is_stopping = true;
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<()> {
        self.is_stopping = true;
        let pid = self
            .pid()
            .and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        let pid = pid.with_context(|| format!("{} has ended", self.name))?;
        Ok(rustix::process::kill_process(
            pid,
            rustix::process::Signal::TERM,
        )?)
    }

    /// Waits until it has gone, and returns how long that took.
    pub(crate) async fn gone(&mut self, within: Duration) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let waited = timeout(within, self.child.wait()).await;
        waited.with_context(|| format!("{} does not go", self.name))??;
        Ok(begin.elapsed())
    }

    /// An error where it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) if !self.is_stopping => {
                bail!("{} has ended ({status}): {}", self.name, self.last_words())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its counts so far.
    pub(crate) async fn metrics(&mut self) -> anyhow::Result<Metrics> {
        let admin = self.admin.as_deref().context("it has no metrics")?;
        Metrics::fetch(admin).await
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}
