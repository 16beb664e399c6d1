//! What a run has shown, and how it is told: a table, JSON, a page, a picture.

mod chart;
mod html;
mod story;
mod table;

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::Context;
use reconnect_storm::Verdict;
use serde::Serialize;

pub(crate) use self::{
    html::page,
    story::{curves, facts_of_cost, facts_of_latency, facts_of_return, memory, polite, warnings},
    table::table,
};
use crate::{options::Options, part};

/// One run of one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    /// What was done, in a sentence.
    pub(crate) what: String,
    pub(crate) clients: u32,
    pub(crate) rooms: u32,
    pub(crate) rate_per_s: f64,
    pub(crate) jitter: &'static str,
    pub(crate) seed: u64,
    pub(crate) machine: Machine,
    pub(crate) facts: Vec<Fact>,
    pub(crate) verdict: Verdict,
    /// What was not as it has to be, beside the verdict.
    pub(crate) failures: Vec<String>,
    /// What makes the figures doubtful.
    pub(crate) warnings: Vec<String>,
    pub(crate) curves: Vec<Point>,
    pub(crate) bare_curves: Vec<Point>,
    pub(crate) memory: Vec<Memory>,
    /// What the gateways counted from the storm's begin to its end.
    pub(crate) counters: BTreeMap<String, f64>,
}

impl Run {
    /// Whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.is_clean() && self.failures.is_empty()
    }
}

/// Where it ran.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    /// How many threads each process of outlast has that was started here.
    pub(crate) threads: Option<String>,
    /// How many processes wanted to run just before, on average of a minute.
    pub(crate) load: f64,
}

impl Machine {
    /// `serves`: whether outlast was started here, too.
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
            threads: serves.then(part::server_threads),
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

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    /// For programs.
    pub(crate) key: &'static str,
    /// For people.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    /// What it is beside something else.
    pub(crate) note: String,
    /// One of the few that a reader wants first.
    pub(crate) is_headline: bool,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    Seconds,
    Milliseconds,
    Bytes,
    PerSecond,
    Times,
    Ratio,
    Percent,
}

impl Fact {
    pub(crate) fn new(key: &'static str, name: impl Into<String>, value: f64, unit: Unit) -> Fact {
        Fact {
            key,
            name: name.into(),
            value,
            unit,
            note: String::new(),
            is_headline: false,
        }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Fact {
        Fact {
            note: note.into(),
            ..self
        }
    }

    pub(crate) fn headline(self) -> Fact {
        Fact {
            is_headline: true,
            ..self
        }
    }

    /// The figure as people read it.
    pub(crate) fn text(&self) -> String {
        let value = self.value;
        match self.unit {
            Unit::Count => thousands(value),
            Unit::Seconds if value < 10.0 => format!("{value:.2} s"),
            Unit::Seconds => format!("{value:.1} s"),
            Unit::Milliseconds if value < 10.0 => format!("{value:.1} ms"),
            Unit::Milliseconds => format!("{} ms", thousands(value)),
            Unit::Bytes if value < 1024.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
            Unit::Bytes => format!("{:.0} MiB", value / 1024.0 / 1024.0),
            Unit::PerSecond => format!("{}/s", thousands(value)),
            Unit::Ratio => format!("{value:.3}"),
            Unit::Times => format!("{value:.2} ×"),
            Unit::Percent => format!("{value:.0} %"),
        }
    }
}

/// `12345` as `12,345`.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        format!("-{text}")
    } else {
        text
    }
}

/// How things stood at a moment of the storm.
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
        write(path, page(runs, command))?;
    }
    if let (Some(path), Some(run)) = (&options.svg, runs.first()) {
        write(path, html::picture(run))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let text = |value, unit| Fact::new("", "", value, unit).text();
        assert_eq!(text(1_234_567.0, Unit::Count), "1,234,567");
        assert_eq!(text(999.0, Unit::Count), "999");
        assert_eq!(text(0.416, Unit::Seconds), "0.42 s");
        assert_eq!(text(12.345, Unit::Seconds), "12.3 s");
        assert_eq!(text(3.21, Unit::Milliseconds), "3.2 ms");
        assert_eq!(text(1536.0, Unit::Bytes), "1.5 KiB");
        assert_eq!(text(0.0123, Unit::Ratio), "0.012");
        assert_eq!(thousands(-1_234.0), "-1,234");
    }
}
