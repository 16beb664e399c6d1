//! This program, started again to play a part of its own.

use std::{env, num::NonZero, os::unix::process::CommandExt, process::Stdio};

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

use crate::{bare, swarm};

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The server of the baseline.
    BareServer,
    /// Clients.
    Swarm,
    /// Becomes another program, which dies with whoever started it.
    Leash,
}

/// Tells which part; its value for [`Part::Leash`] is followed by the command, as arguments.
const VARIABLE: &str = "RECONNECT_STORM_PART";

impl Part {
    const ALL: [Part; 3] = [Part::BareServer, Part::Swarm, Part::Leash];

    fn name(self) -> &'static str {
        match self {
            Part::BareServer => "bare-server",
            Part::Swarm => "swarm",
            Part::Leash => "leash",
        }
    }

    /// The part that this process was started for; `None` for the whole.
    pub(crate) fn of_process() -> Option<Part> {
        let name = env::var(VARIABLE).ok()?;
        Part::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Plays it to its end.
    pub(crate) async fn play(self) -> anyhow::Result<()> {
        match self {
            Part::BareServer => bare::serve().await,
            Part::Swarm => swarm::serve_child().await,
            Part::Leash => become_another(),
        }
    }
}

/// This program as a part.
pub(crate) fn command(part: Part) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("where is this program?")?);
    command.env(VARIABLE, part.name());
    Ok(command)
}

/// Read by Tokio's runtime.
const THREADS: &str = "TOKIO_WORKER_THREADS";

/// How many threads a process of outlast has that is started here, unless the variable says otherwise: gateways are
/// two, and each takes its half of the cores, as a pod takes what it is given. The baseline's servers take all.
pub(crate) fn server_threads() -> String {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    env::var(THREADS).unwrap_or_else(|_| cores().div_ceil(2).to_string())
}

/// Has a process take no more than its part.
pub(crate) fn share_cores(command: &mut Command) {
    command.env(THREADS, server_threads());
}

/// A program that does not outlive this one, however this one ends. To be spawned from the main
/// thread: the system watches the thread, not the process.
pub(crate) fn leashed(program: &str) -> anyhow::Result<Command> {
    let mut command = command(Part::Leash)?;
    command
        .arg(std::process::id().to_string())
        .arg(program)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

fn become_another() -> anyhow::Result<()> {
    let mut words = env::args_os().skip(1);
    let parent = words.next().context("whose leash?")?;
    let program = words.next().context("a leash for what?")?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let still = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if still.is_none_or(|pid| parent != *pid) {
        bail!("whoever started this is gone");
    }
    let failed = std::process::Command::new(&program)
        .args(words)
        .env_remove(VARIABLE)
        .exec();
    Err(failed).with_context(|| format!("cannot run {}", program.display()))
}
