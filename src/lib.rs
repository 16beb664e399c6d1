//! The `outlast` program: gateway, worker and session keeper, in one process or in many.
//!
//! An application with rooms of its own is this library and a `main` of three lines:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     outlast::main(outlast::Registry::bundled())
//! }
//! ```
//!
//! The composition root: parse ([`cli`], [`config`]), build ([`store`], [`tokens`]), run and drain
//! ([`roles`]), and say what goes on ([`observe`]). Everything that matters happens in the crates that it puts together.

use std::process::ExitCode;

use anyhow::Context;

mod admin;
mod api;
mod cli;
mod config;
mod observe;
mod pages;
mod probe;
mod roles;
mod signals;
mod stats;
mod store;
mod tokens;
mod waiting;

use config::Asked;
use observe::Observer;

pub use observe::METRICS;
pub use outlast_worker::{At, Cx, Input, Member, Pos, Refusal, Registry, Room, testing};

/// The README's room is compiled, so that it stays true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So is the guide's.
#[cfg(doctest)]
#[doc = include_str!("../docs/writing-a-room.md")]
struct Guide;

/// Runs the program with these rooms: reads the command line, the environment and the configuration
/// file, serves until it is told to stop, and answers the exit code. Whatever goes wrong ends in a last
/// line `error: …` on standard error (L5).
pub fn main(registry: Registry) -> ExitCode {
    match start(registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(registry: Registry) -> anyhow::Result<()> {
    let config = match config::Config::from_process()? {
        Asked::Nothing => return Ok(()),
        Asked::Probe(probe) => return probe.run(),
        Asked::Serve(config) => *config,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads(&config) {
        runtime.worker_threads(threads);
    }
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let observer = Observer::start(&config, runtime.handle())?;
    raise_open_files();
    let served = runtime.block_on(roles::serve(config, registry));
    observer.finish();
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    served
}

/// The number of the runtime's threads where that is not its own choice: where rooms run, one more than a room's code
/// may take and not give back, so that the rest can be handed over (W11). An operator's choice goes first.
fn threads(config: &config::Config) -> Option<usize> {
    let free = config.role.has_worker() && std::env::var_os("TOKIO_WORKER_THREADS").is_none();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    free.then_some(cores.max(2))
}

/// Each socket is an open file, and shells hand out 1,024 of them.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open file limit raised"),
        Err(error) => tracing::warn!(%error, "raising the open file limit failed"),
    }
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .split('\n')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
}
