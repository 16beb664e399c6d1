//! Rooms that are stopped since holders died of them, and when each is tried again (W17). Pure; what it says is noted
//! in the store before it counts.

use std::collections::BTreeMap;

use outlast_protocol::{RoomName, Sid};
use outlast_store::NoteChange;
use serde::{Deserialize, Serialize};

/// The wait before a stopped room is tried again, in milliseconds: at first, four times as long each time …
const RETRY_MS: u64 = 60_000;

/// … and at most.
const RETRY_MAX_MS: u64 = 86_400_000;

/// The time, in milliseconds, after which it does not count any more that a room was tried again.
const REMEMBERED_MS: u64 = 2 * RETRY_MAX_MS;

const STOPPED: &str = "stopped:";
const RETRIED: &str = "retried:";

/// The reason for which a room is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    at_ms: u64,
    /// For people.
    pub(crate) reason: String,
    /// The operator's request that was tried last: one request is one trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Sid>,
}

/// The last time that a stopped room was tried again. It is kept for a while after the room runs, so that one that is
/// deadly now and then is tried ever more seldom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retry {
    pub(super) at_ms: u64,
    /// The number of times that it was tried by itself.
    pub(super) count: u32,
}

impl Retry {
    pub(super) fn wait_ms(self) -> u64 {
        let factor = 4_u64.saturating_pow(self.count);
        RETRY_MS.saturating_mul(factor).min(RETRY_MAX_MS)
    }
}

/// The stopped rooms of a partition.
#[derive(Default)]
pub(super) struct Quarantines {
    rooms: BTreeMap<RoomName, Quarantine>,
    retries: BTreeMap<RoomName, Retry>,
    /// Those that are being tried; in the store they count as stopped until the commit.
    on_trial: BTreeMap<RoomName, Quarantine>,
}

impl Quarantines {
    /// Takes a note in, if it is about such a room and this version can read it.
    pub(super) fn learn(&mut self, name: &str, text: &str) -> Option<()> {
        if let Some(room) = name.strip_prefix(STOPPED) {
            let quarantine = serde_json::from_str(text).ok()?;
            self.rooms.insert(room.parse().ok()?, quarantine);
        } else {
            let room = name.strip_prefix(RETRIED)?.parse().ok()?;
            self.retries.insert(room, serde_json::from_str(text).ok()?);
        }
        Some(())
    }

    /// The reason for which a room is not loaded, if it is not.
    pub(super) fn get(&self, room: &RoomName) -> Option<&Quarantine> {
        self.rooms.get(room)
    }

    /// The rooms that are not loaded.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    /// When a room is tried again, if it is stopped.
    pub(super) fn retry_ms(&self, room: &RoomName) -> Option<u64> {
        let quarantine = self.get(room)?;
        let retry = self.retries.get(room).copied().unwrap_or_default();
        Some(quarantine.at_ms.max(retry.at_ms) + retry.wait_ms())
    }

    /// From now on a room is not loaded. `asked` is the operator's request that was being tried, if one was.
    pub(super) fn stop(
        &mut self,
        room: &RoomName,
        reason: &str,
        asked: Option<Sid>,
        now_ms: u64,
    ) -> Vec<NoteChange> {
        let mut changes = self.forget(now_ms);
        let quarantine = Quarantine {
            at_ms: now_ms,
            reason: reason.to_owned(),
            asked,
        };
        changes.push((format!("{STOPPED}{room}"), Some(written(&quarantine))));
        self.on_trial.remove(room);
        self.rooms.insert(room.clone(), quarantine);
        changes
    }

    /// True if a stopped room may be tried: it is time, or an operator asks who has not asked the same before.
    pub(super) fn is_due(&self, room: &RoomName, asked: Option<Sid>, now_ms: u64) -> bool {
        let Some(quarantine) = self.get(room) else {
            return false;
        };
        let is_time = self.retry_ms(room).is_some_and(|at_ms| at_ms <= now_ms);
        asked.map_or(is_time, |_| quarantine.asked != asked)
    }

    /// Tries a stopped room again. Until the commit the store says that it is stopped, and that this has begun: who dies
    /// of it is the only one.
    pub(super) fn retry(
        &mut self,
        room: &RoomName,
        asked: Option<Sid>,
        now_ms: u64,
    ) -> Vec<NoteChange> {
        let Some(mut quarantine) = self.rooms.remove(room) else {
            return Vec::new();
        };
        tracing::info!(%room, reason = quarantine.reason, "trying a stopped room again");
        quarantine.asked = asked.or(quarantine.asked);
        let retry = self.retries.entry(room.clone()).or_default();
        retry.at_ms = now_ms;
        retry.count = retry.count.saturating_add(u32::from(asked.is_none()));
        let changes = vec![
            (format!("{STOPPED}{room}"), Some(written(&quarantine))),
            (format!("{RETRIED}{room}"), Some(written(retry))),
        ];
        self.on_trial.insert(room.clone(), quarantine);
        changes
    }

    /// True if a room is being tried again.
    pub(super) fn is_on_trial(&self, room: &RoomName) -> bool {
        self.on_trial.contains_key(room)
    }

    /// True if any is.
    pub(super) fn tries_any(&self) -> bool {
        !self.on_trial.is_empty()
    }

    /// A room that was being tried could not be loaded: nothing is known of it that was not before.
    pub(super) fn put_back(&mut self, room: &RoomName) {
        self.rooms.extend(self.on_trial.remove_entry(room));
    }

    /// All that was to be tried in them was: what is committed next shows that they run. Returns the notes to take away
    /// with it.
    pub(super) fn passed(&mut self) -> Vec<String> {
        let passed = std::mem::take(&mut self.on_trial).into_keys();
        let names = passed.map(|room| {
            tracing::info!(%room, "a stopped room runs again");
            format!("{STOPPED}{room}")
        });
        names.collect()
    }

    /// Forgets the trials of rooms that have run for long since.
    fn forget(&mut self, now_ms: u64) -> Vec<NoteChange> {
        let old = |room: &RoomName, retry: &Retry| {
            let runs = !self.rooms.contains_key(room) && !self.on_trial.contains_key(room);
            runs && retry.at_ms.saturating_add(REMEMBERED_MS) < now_ms
        };
        let old: Vec<RoomName> = self
            .retries
            .iter()
            .filter(|(room, retry)| old(room, retry))
            .map(|(room, _)| room.clone())
            .collect();
        self.retries.retain(|room, _| !old.contains(room));
        old.iter()
            .map(|room| (format!("{RETRIED}{room}"), None))
            .collect()
    }
}

/// The text of a note.
pub(super) fn written(note: &impl Serialize) -> String {
    serde_json::to_string(note).expect("numbers, texts and payloads can be written down")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w17_a_stopped_room_is_tried_ever_more_seldom() {
        let room: RoomName = "lab/one".parse().unwrap();
        let mut quarantines = Quarantines::default();
        let mut now_ms = 1_000;
        let minutes = [1, 4, 16, 64, 256, 1_024, 1_440, 1_440];
        for wait in minutes {
            quarantines.stop(&room, "it aborts", None, now_ms);
            let due = |at_ms| quarantines.is_due(&room, None, at_ms);
            assert!(!due(now_ms + wait * 60_000 - 1) && due(now_ms + wait * 60_000));
            now_ms += wait * 60_000;
            quarantines.retry(&room, None, now_ms);
            assert!(quarantines.is_on_trial(&room) && quarantines.get(&room).is_none());
            assert_eq!(quarantines.passed(), ["stopped:lab/one"]);
        }
        // It has run for long.
        now_ms += REMEMBERED_MS + 1;
        let changes = quarantines.stop(&room, "it aborts", None, now_ms);
        assert_eq!(changes[0], ("retried:lab/one".to_owned(), None));
        assert_eq!(quarantines.retry_ms(&room), Some(now_ms + RETRY_MS));
    }

    #[test]
    fn w17_a_note_of_a_version_that_knew_no_trials_is_read() {
        let room: RoomName = "lab/one".parse().unwrap();
        let mut quarantines = Quarantines::default();
        let text = r#"{"at_ms":7,"reason":"it aborts"}"#;
        assert!(quarantines.learn("stopped:lab/one", text).is_some());
        assert_eq!(quarantines.retry_ms(&room), Some(7 + RETRY_MS));
        assert!(quarantines.learn("retried:lab/one", "{").is_none());
        assert!(quarantines.learn("letter:1-1", "{}").is_none());
    }
}
