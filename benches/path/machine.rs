//! The system's figures of itself and its processes.

use std::{fs, iter::Sum, ops::Sub};

use anyhow::Context;
use serde::Serialize;

/// The number of files that this process may have open at most.
pub(crate) const FILES_MAX: u64 = 20_000;

/// The machine that the figures come from.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) redis: String,
}

impl Machine {
    pub(crate) fn look() -> anyhow::Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").context("this bench needs Linux")?;
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let version = std::process::Command::new("redis-server")
            .arg("--version")
            .output()
            .context("this bench needs redis-server 7 in the PATH")?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let number = version
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="));
        Ok(Machine {
            cores: std::thread::available_parallelism()?.get(),
            processor: model.map_or("unknown", |(_, name)| name).trim().to_owned(),
            redis: number.unwrap_or("unknown").to_owned(),
        })
    }
}

/// Returns the number of processes that wanted to run, averaged over the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// Returns the size of a process's memory that lies in RAM.
pub(crate) fn rss_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// Processor time, in seconds, to the hundredth.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        // Linux counts in hundredths of a second wherever it tells programs.
        const TICKS_PER_S: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name before the bracket may hold spaces.
        let (_, rest) = stat.rsplit_once(") ").context("no process status")?;
        let field = |index: usize| -> anyhow::Result<f64> {
            let word = rest
                .split_whitespace()
                .nth(index)
                .context("a short process status")?;
            Ok(word.parse::<f64>()? / TICKS_PER_S)
        };
        Ok(Cpu {
            user_s: field(11)?,
            system_s: field(12)?,
        })
    }

    pub(crate) fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, before: Cpu) -> Cpu {
        Cpu {
            user_s: self.user_s - before.user_s,
            system_s: self.system_s - before.system_s,
        }
    }
}

impl Sum for Cpu {
    fn sum<I: Iterator<Item = Cpu>>(all: I) -> Cpu {
        all.fold(
            Cpu {
                user_s: 0.0,
                system_s: 0.0,
            },
            |a, b| Cpu {
                user_s: a.user_s + b.user_s,
                system_s: a.system_s + b.system_s,
            },
        )
    }
}
