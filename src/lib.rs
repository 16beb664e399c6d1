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

use config::Startup;
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
        Startup::Nothing => return Ok(()),
        Startup::Probe(probe) => return probe.run(),
        Startup::Serve(config) => *config,
    };
    let threads = threads(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.count)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let observer = Observer::start(&config, runtime.handle())?;
    threads.warn();
    raise_open_files();
    let served = runtime.block_on(roles::serve(config, registry));
    observer.finish();
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    served
}

/// The runtime's threads.
#[derive(Debug, PartialEq, Eq)]
struct Threads {
    asked: Option<usize>,
    count: usize,
}

/// The number of the runtime's threads: an operator's choice, or one for each core. Where rooms run, one more than a
/// room's code may take and not give back, so that the rest can be handed over (W11).
fn threads(config: &config::Config) -> Threads {
    let asked = std::env::var(THREADS)
        .ok()
        .and_then(|text| text.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Threads::of(asked, cores, config.role.has_worker())
}

const THREADS: &str = "TOKIO_WORKER_THREADS";

impl Threads {
    fn of(asked: Option<usize>, cores: usize, has_rooms: bool) -> Threads {
        let fewest = if has_rooms { 2 } else { 1 };
        Threads {
            asked,
            count: asked.unwrap_or(cores).max(fewest),
        }
    }

    fn warn(&self) {
        if let Some(asked) = self.asked.filter(|asked| *asked < self.count) {
            tracing::warn!(
                asked,
                threads = self.count,
                "{THREADS} raised: with fewer threads a room that loops stops the whole process"
            );
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w11_where_rooms_run_a_thread_is_left_that_none_of_them_can_take() {
        let count = |asked, cores, has_rooms| Threads::of(asked, cores, has_rooms).count;
        assert_eq!(count(None, 1, true), 2);
        assert_eq!(count(Some(1), 8, true), 2);
        assert_eq!(count(Some(3), 8, true), 3);
        assert_eq!(count(None, 8, true), 8);
        assert_eq!(count(Some(1), 8, false), 1);
        assert_eq!(count(Some(0), 8, false), 1);
    }
}
