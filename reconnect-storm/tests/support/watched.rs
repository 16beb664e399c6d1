//! What watchers make of records: the same as the checker that has them whole.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use outlast_protocol::Payload;
use reconnect_storm::{Ledger, Record, Tally, Watcher};
use serde_json::Value;

pub(crate) fn watched(records: &[Record]) -> Tally {
    let ledger = Arc::new(Ledger::new(mark_of, false));
    let mut watchers = Vec::new();
    for (client, record) in records.iter().enumerate() {
        let mut watcher = Watcher::new(format!("client {client}"), ledger.clone());
        for sighting in &record.sightings {
            watcher.saw(&sighting.what);
        }
        watchers.push(watcher);
    }
    let mut all = Tally::default();
    for watcher in watchers {
        let mut found = watcher.finish();
        // What a run leaves open is no finding of the checker's.
        if found.actions_open > 0 {
            let open = |example: &String| example.contains("have no outcome");
            let count = found
                .examples
                .iter()
                .filter(|example| open(example))
                .count();
            found.examples.retain(|example| !open(example));
            if let Some(lost) = found.findings.get_mut(&reconnect_storm::Wrong::Lost) {
                *lost -= count as u64;
            }
            found.findings.retain(|_, count| *count > 0);
        }
        all.add(found);
    }
    all
}

fn mark_of(data: &Payload) -> Option<u64> {
    let data: Value = data.read().ok()?;
    let text = data.get("say").or(data.get("said"))?.as_str()?;
    if text.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Some(hasher.finish())
}
