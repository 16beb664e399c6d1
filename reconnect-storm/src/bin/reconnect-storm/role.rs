//! This program, started again in another role.

use std::{env, num::NonZero, os::unix::process::CommandExt, process::Stdio};

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

/// The roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The server of the baseline.
    BareServer,
    /// Clients.
    Clients,
    /// Becomes another program, which dies with whoever started it.
    DieWithParent,
}

/// Names the role; its value for [`Role::DieWithParent`] is followed by the command, as arguments.
const VARIABLE: &str = "RECONNECT_STORM_ROLE";

impl Role {
    const ALL: [Role; 3] = [Role::BareServer, Role::Clients, Role::DieWithParent];

    fn name(self) -> &'static str {
        match self {
            Role::BareServer => "bare-server",
            Role::Clients => "clients",
            Role::DieWithParent => "die-with-parent",
        }
    }

    /// The role that this process was started for; `None` for the tool itself.
    pub(crate) fn of_this_process() -> Option<Role> {
        let name = env::var(VARIABLE).ok()?;
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// This program in another role.
pub(crate) fn command(role: Role) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("where is this program?")?);
    command.env(VARIABLE, role.name());
    Ok(command)
}

/// Read by Tokio's runtime.
const THREADS: &str = "TOKIO_WORKER_THREADS";

/// The number of threads of a process of outlast that is started here, unless the variable says otherwise: gateways are
/// two, and each takes its half of the cores, as a pod takes what it is given. The baseline's servers take all.
pub(crate) fn server_threads() -> String {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    env::var(THREADS).unwrap_or_else(|_| cores().div_ceil(2).to_string())
}

/// Has a process take no more than its share.
pub(crate) fn share_cores(command: &mut Command) {
    command.env(THREADS, server_threads());
}

/// A program that does not outlive this one, however this one ends. To be spawned from the main
/// thread: the system watches the thread, not the process.
pub(crate) fn dying_with_parent(program: &str) -> anyhow::Result<Command> {
    let mut command = command(Role::DieWithParent)?;
    command
        .arg(std::process::id().to_string())
        .arg(program)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

pub(crate) fn become_another() -> anyhow::Result<()> {
    let mut words = env::args_os().skip(1);
    let parent = words.next().context("which process started this?")?;
    let program = words.next().context("which program is to be run?")?;
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
