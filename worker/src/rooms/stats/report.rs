use serde::{Deserialize, Serialize};

use crate::Refusal;

/// The longest text in a report, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// The report of one process. What counts up is what it has counted in the last `over_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The process; another one after each start.
    pub id: String,
    /// The machine, as it calls itself.
    pub host: String,
    /// The process, as its machine calls it.
    pub pid: u32,
    /// The version that it runs.
    pub version: String,
    /// For how long it has been running, in milliseconds.
    pub up_ms: u64,
    /// The number of partitions that the store has.
    pub partitions: u32,
    /// The time that counts are of, in milliseconds; none in a first report, whose counts are 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_ms: Option<u64>,
    /// Where it is a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<OfGateway>,
    /// Where it is a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<OfWorker>,
    /// Where it is a keeper of sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<OfKeeper>,
}

/// The report of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfGateway {
    /// Sockets with a session.
    pub sockets: u64,
    /// Sockets that wait for their turn to attach.
    pub waiting: u64,
    /// Count of sockets that were attached.
    pub admitted: u64,
    /// Count of sockets that were told to come back later.
    pub busy: u64,
    /// Rooms of sessions that are not where the log ends.
    pub catching_up: u64,
    /// Count of rooms of sessions that came back.
    pub catch_ups: u64,
    /// Count of log entries sent to clients.
    pub delivered: u64,
    /// True if it waits for its sockets to move.
    pub draining: bool,
}

/// The report of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfWorker {
    /// Partitions that it holds.
    pub partitions: u32,
    /// Rooms in memory.
    pub rooms: u64,
    /// Count of inputs taken.
    pub actions: u64,
    /// Count of log entries written.
    pub events: u64,
    /// Count of commits.
    pub commits: u64,
    /// Half of the commits of the last minute or two took no longer than this, in microseconds.
    pub commit_p50_us: u64,
    /// Of a hundred commits ninety-nine did.
    pub commit_p99_us: u64,
}

/// The report of a keeper of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfKeeper {
    /// Sessions without a socket, in its shards.
    pub detached: u64,
    /// Count of sessions that nobody came back to.
    pub expired: u64,
}

impl Report {
    /// Refuses one that is larger than a report can be.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let texts = [&self.id, &self.host, &self.version];
        if self.id.is_empty() || texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            let message = format!("the texts of a report have at most {TEXT_BYTES_MAX} bytes");
            return Err(Refusal::new("bad_report", message));
        }
        Ok(())
    }
}
