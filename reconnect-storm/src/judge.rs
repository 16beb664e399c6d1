//! One judge of what clients saw, for runs that are kept in records and for those that are too large to keep.
//!
//! A [`Judge`] takes what one client does and sees, event by event, and holds it against the [`Ledger`] of the
//! rooms' logs. The ledger either has the logs from the store or learns them from what all clients see.

mod client_judge;
mod findings;
mod ledger;
mod log;
mod seat;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use outlast_protocol::{Payload, RoomName, SnapshotReason};
use serde_json::Value;

pub use self::{
    client_judge::Judge,
    findings::{Finding, Verdict, Violation},
    ledger::Ledger,
    log::{Logged, LoggedBody, RoomLog},
};
use crate::Record;

/// A function that tells an act by its contents: the same for an act's data and for the data of the event that it
/// causes, and different for any two acts. `None` for data that has nothing unique.
pub type Fingerprint = fn(&Payload) -> Option<u64>;

/// The fingerprint of `{"say": text}` and of `{"said": text}` (B1).
pub fn chat_fingerprint(data: &Payload) -> Option<u64> {
    let data: Value = data.read().ok()?;
    let text = data.get("say").or(data.get("said"))?.as_str()?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    (!text.is_empty()).then(|| hasher.finish())
}

/// Things that a run explains, beyond what SPEC allows in any run.
#[derive(Debug, Clone, Default)]
pub struct Excuses {
    /// Reasons for a snapshot. With `diverged`, the store may lose acknowledged writes, so that one offset stands for
    /// two histories.
    pub snapshots: Vec<SnapshotReason>,
    /// Sessions may be gone (4001).
    pub sessions_may_go: bool,
    /// Rooms may take longer than a resume waits for them, and are then promised and shown as snapshots (R6).
    pub rooms_may_be_slow: bool,
}

/// A complete run to be judged.
#[derive(Debug)]
pub struct Case<'a> {
    /// The records of all clients, each of which had the time to catch up.
    pub clients: &'a [Record],
    /// The logs of all rooms that they were in, as the store holds them in the end; learned from the records for `None`.
    pub logs: Option<&'a BTreeMap<RoomName, RoomLog>>,
    /// Tells acts apart.
    pub fingerprint: Fingerprint,
    /// Things that the run explains.
    pub excuses: Excuses,
}

impl<'a> Case<'a> {
    /// A run of chat rooms that explains nothing.
    pub fn new(clients: &'a [Record], logs: &'a BTreeMap<RoomName, RoomLog>) -> Self {
        Case {
            clients,
            logs: Some(logs),
            fingerprint: chat_fingerprint,
            excuses: Excuses::default(),
        }
    }

    /// The same run, in which processes died or stood still: rooms may have been slow to say where a session stands.
    pub fn with_slow_rooms(mut self) -> Self {
        self.excuses.rooms_may_be_slow = true;
        self
    }
}

/// Judges a complete run. What a run has to show is a [`Verdict`] without findings.
///
/// - Each client saw, in each room, the entries of the log that are for it: from its join on, in order,
///   none twice, none missing but those that a snapshot covers, and with the log's own contents.
/// - Two clients never saw different things at one position.
/// - Each action with an outcome stands in the log once, where its outcome says; each without one
///   stands there at most once.
/// - Each snapshot has a reason that SPEC or the run explains, and knows of every action that was settled.
pub fn check(case: &Case<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut ledger = Ledger::new(case.fingerprint, case.excuses.clone());
    if let Some(logs) = case.logs {
        ledger.fill(logs, &mut verdict);
    }
    let ledger = Arc::new(ledger);
    let mut judges = Vec::new();
    for (client, record) in case.clients.iter().enumerate() {
        let mut judge = Judge::new(client, ledger.clone());
        for observation in &record.observations {
            judge.saw(&observation.what);
        }
        judges.push(judge);
    }
    for mut judge in judges {
        verdict.add(judge.finish());
    }
    verdict
}
