//! The memory and processor time of processes, looked up four times a second.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::{task::AbortHandle, time::interval};

/// The name of the processes that the clients run in.
pub(crate) const CLIENTS: &str = "the clients";
const EVERY: Duration = Duration::from_millis(250);

/// Watches processes until it is dropped.
#[derive(Debug)]
pub(crate) struct Probe {
    watched: Arc<Mutex<Vec<ProcessUsage>>>,
    task: AbortHandle,
}

/// The usage of a process over time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProcessUsage {
    pub(crate) name: String,
    #[serde(skip)]
    pid: u32,
    pub(crate) readings: Vec<Reading>,
}

/// A process at a moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Reading {
    /// On the clock of the system, in microseconds.
    pub(crate) at_us: u64,
    pub(crate) rss_bytes: u64,
    /// Processor time since it began.
    pub(crate) cpu_s: f64,
}

impl Probe {
    pub(crate) fn start() -> Probe {
        let watched: Arc<Mutex<Vec<ProcessUsage>>> = Arc::default();
        let looked = watched.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            loop {
                ticks.tick().await;
                for process in looked.lock().iter_mut() {
                    process.readings.extend(Reading::of(process.pid));
                }
            }
        });
        Probe {
            watched,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn watch(&self, name: impl Into<String>, pid: u32) {
        self.watched.lock().push(ProcessUsage {
            name: name.into(),
            pid,
            readings: Reading::of(pid).into_iter().collect(),
        });
    }

    pub(crate) fn seen(&self) -> Vec<ProcessUsage> {
        let mut watched = self.watched.lock();
        for process in watched.iter_mut() {
            process.readings.extend(Reading::of(process.pid));
        }
        watched.clone()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ProcessUsage {
    /// One of this program's own, with clients.
    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with(CLIENTS)
    }

    pub(crate) fn is_gateway(&self) -> bool {
        self.name.starts_with("gateway")
    }

    /// Processor time between two moments.
    pub(crate) fn cpu_s(&self, from_us: u64, to_us: u64) -> f64 {
        let at = |us| self.at(us).or(self.readings.first());
        let [from, to] = [from_us, to_us].map(|us| at(us).map_or(0.0, |reading| reading.cpu_s));
        (to - from).max(0.0)
    }

    /// The memory at a moment.
    pub(crate) fn rss_bytes(&self, at_us: u64) -> Option<u64> {
        self.at(at_us).map(|reading| reading.rss_bytes)
    }

    fn at(&self, us: u64) -> Option<&Reading> {
        let mut readings = self.readings.iter().rev();
        readings.find(|reading| reading.at_us <= us)
    }

    /// The most memory between two moments.
    pub(crate) fn rss_bytes_max(&self, from_us: u64, to_us: u64) -> Option<u64> {
        let inside = |reading: &&Reading| (from_us..=to_us).contains(&reading.at_us);
        self.readings
            .iter()
            .filter(inside)
            .map(|reading| reading.rss_bytes)
            .max()
    }
}

impl Reading {
    /// `None` where the process has ended.
    fn of(pid: u32) -> Option<Reading> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before the bracket may hold spaces.
        let (_, rest) = stat.rsplit_once(") ")?;
        let ticks =
            |experiment: usize| rest.split_whitespace().nth(experiment)?.parse::<f64>().ok();
        // Linux counts in hundredths of a second wherever it tells programs.
        let cpu_s = (ticks(11)? + ticks(12)?) / 100.0;
        Some(Reading {
            at_us: now_us(),
            rss_bytes: kilobytes * 1024,
            cpu_s,
        })
    }
}

/// The clock of the system, in microseconds.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
