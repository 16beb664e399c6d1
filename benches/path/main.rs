//! The cost of the path: latency, memory and throughput of real processes on a real Redis, beside the
//! cheapest thing that goes the same way, and the cost of a game. All on one machine, over loopback.
//!
//! ```text
//! cargo bench --bench path -- [--only latency,memory,throughput,game] [--rounds N] [--per-round N]
//!                             [--sessions N] [--seconds N] [--json FILE] [--svg FILE]
//! ```
//! Needs `redis-server` 7 in the PATH.

mod chain;
mod chart;
mod client;
mod crowd;
mod echo;
mod fleet;
mod game;
mod latency;
mod machine;
mod memory;
mod options;
mod process;
mod redis;
mod report;
mod stats;
mod throughput;

use std::process::ExitCode;

use anyhow::Context;

use self::{
    options::{Options, Part},
    process::Process,
    report::Report,
};

fn main() -> ExitCode {
    let done = match std::env::var(process::PART_VARIABLE).as_deref() {
        Ok(echo::PART) => echo::serve(),
        Ok(chain::Chain::PART) => chain::Chain::serve(),
        Ok(chain::Floor::PART) => chain::Floor::serve(),
        _ => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = Options::from_process()?;
    process::stop_all_on_signal()?;
    rlimit::increase_nofile_limit(machine::FILES_MAX).context("cannot raise the limit of files")?;

    let mut report = Report::new()?;
    if options.wants(Part::Latency) {
        report.latency = Some(latency::measure(&options)?);
    }
    if options.wants(Part::Memory) {
        report.memory = Some(memory::measure(&options)?);
    }
    if options.wants(Part::Throughput) {
        report.throughput = Some(throughput::measure(&options)?);
    }
    if options.wants(Part::Game) {
        report.game = game::measure(&options)?;
    }
    print!("{}", report.table());
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let (Some(file), Some(latency)) = (&options.svg, &report.latency) {
        let svg = chart::draw(latency, &report.machine);
        std::fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
