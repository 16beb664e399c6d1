//! The report of a run: a table, JSON, a page, a picture.

mod chart;
mod fact;
mod facts;
mod html;
mod table;

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::Context;
use reconnect_storm::Verdict;
use serde::Serialize;

pub(crate) use self::{
    fact::{Fact, thousands},
    facts::{curves, facts_of_cost, facts_of_latency, facts_of_return, memory, polite, warnings},
    table::table,
};
use crate::{options::Options, role};

/// One run of one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    /// The run in a sentence.
    pub(crate) what: String,
    pub(crate) clients: u32,
    pub(crate) rooms: u32,
    pub(crate) rate_per_s: f64,
    pub(crate) jitter: String,
    pub(crate) seed: u64,
    pub(crate) machine: Machine,
    pub(crate) facts: Vec<Fact>,
    pub(crate) verdict: Verdict,
    /// Faults of the run, beside the verdict.
    pub(crate) failures: Vec<String>,
    /// Reasons to doubt the figures.
    pub(crate) warnings: Vec<String>,
    pub(crate) curves: Vec<Point>,
    pub(crate) bare_curves: Vec<Point>,
    pub(crate) memory: Vec<Memory>,
    /// The gateways' counts from the storm's begin to its end.
    pub(crate) counters: BTreeMap<String, f64>,
}

impl Run {
    /// Nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.is_clean() && self.failures.is_empty()
    }
}

/// Where it ran.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    /// The number of threads that each process of outlast has that was started here.
    pub(crate) threads: Option<String>,
    /// The number of processes that wanted to run just before, on average of a minute.
    pub(crate) load: f64,
}

impl Machine {
    /// `serves`: outlast was started here, too.
    pub(crate) fn look(serves: bool) -> Machine {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load
            .split_whitespace()
            .next()
            .and_then(|load| load.parse().ok());
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: serves.then(role::server_threads),
            processor: model.map_or("unknown", |(_, name)| name).trim().to_owned(),
            load: load.unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores", self.processor, self.cores)?;
        if let Some(threads) = &self.threads {
            write!(f, ", threads of a process {threads}")?;
        }
        write!(f, ", load {:.1} before", self.load)
    }
}

/// The state at a moment of the storm.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Point {
    /// Since the storm began; before it, below 0.
    pub(crate) at_s: f64,
    pub(crate) out: u64,
    pub(crate) back: u64,
    pub(crate) caught_up: u64,
    pub(crate) moved: u64,
    pub(crate) attaches_per_s: f64,
    pub(crate) events_per_s: f64,
    /// Between those that were not cut.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// The memory of a process over time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) name: String,
    /// `(seconds since the storm began, bytes)`.
    pub(crate) readings: Vec<(f64, u64)>,
}

/// Writes the files that were asked for.
pub(crate) fn write(runs: &[Run], options: &Options, command: &str) -> anyhow::Result<()> {
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &options.json {
        write(path, serde_json::to_string(runs)? + "\n")?;
    }
    if let Some(path) = &options.html {
        write(path, html::page(runs, command))?;
    }
    if let (Some(path), Some(run)) = (&options.svg, runs.first()) {
        write(path, html::picture(run))?;
    }
    Ok(())
}
