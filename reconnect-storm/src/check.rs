//! Compares what clients saw with what the rooms' logs hold.

mod actions;
mod log;
mod verdict;
mod walk;

use std::collections::BTreeMap;

use outlast_protocol::{RoomName, SnapshotReason};
use serde_json::Value;

pub use self::{
    log::{Logged, LoggedBody, RoomLog},
    verdict::{Finding, Verdict, Wrong},
};
use crate::Record;

/// What is to be judged.
#[derive(Debug)]
pub struct Case<'a> {
    /// The records of all clients.
    pub clients: &'a [Record],
    /// The logs of all rooms that they were in, as the store holds them in the end.
    pub logs: &'a BTreeMap<RoomName, RoomLog>,
    /// How to tell an action in a log by its contents.
    pub marks: Marks,
    /// Whether every client had the time to catch up, so that what it has not seen is lost.
    pub complete: bool,
    /// Reasons for a snapshot that the run explains. `requested` and `shorter` are judged by what the
    /// client asked for, and need not stand here.
    pub excused: &'a [SnapshotReason],
    /// Whether the run explains lost sessions.
    pub sessions_may_go: bool,
}

/// How to tell an action in a log by its contents, apart from its number.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// What is unique in an act's data.
    pub of_act: fn(&Value) -> Option<String>,
    /// The same, in the data of the event that it causes.
    pub of_event: fn(&Value) -> Option<String>,
}

impl Marks {
    /// `{"say": text}` causes `{"said": text}` (B1).
    pub const CHAT: Marks = Marks {
        of_act: |data| Some(data.get("say")?.as_str()?.to_owned()),
        of_event: |data| Some(data.get("said")?.as_str()?.to_owned()),
    };
}

/// Judges a run. What a run has to show is a [`Verdict`] without findings.
///
/// - Each client saw, in each room, the entries of the log that are for it: from its join on, in order,
///   none twice, none missing but those that a snapshot covers, and with the log's own contents.
/// - Two clients never saw different things at one position.
/// - Each action with an outcome stands in the log once, where its outcome says; each without one
///   stands there at most once.
/// - Each snapshot has a reason that the run explains, and knows of every action that was settled.
pub fn check(case: &Case<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    log::check(case.logs, &mut verdict);
    for (client, record) in case.clients.iter().enumerate() {
        walk::check(case, client, record, &mut verdict);
    }
    walk::check_agreement(case, &mut verdict);
    actions::check(case, &mut verdict);
    verdict
}
