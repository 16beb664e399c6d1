//! The notes on the inputs and rooms that holders of the partition may have died of (W11, W12). Pure; what it says is
//! noted in the store before it counts.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::{Payload, RoomName, Sid};
use outlast_store::{Input, NoteChange, Request, TopicId};
use serde::{Deserialize, Serialize};

use super::{
    hand_over::HandOver,
    quarantine::{Quarantine, Quarantines, written},
};
use crate::suspect::{Suspect, TRIES_MAX, TRY};

/// The number of tasks that are tried together when nothing is known of them.
const GROUP_MAX: usize = 32;

/// The number of a room's inputs that are set aside, within so many milliseconds, before the room itself is stopped.
const STRIKES_MAX: usize = 3;
const STRIKES_WITHIN_MS: u64 = 600_000;

/// The number of inputs set aside that a partition keeps: the newest.
const LETTERS_MAX: usize = 32;

const LETTER: &str = "letter:";

/// An input that was set aside.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DeadLetter {
    room: RoomName,
    at_ms: u64,
    input: Input,
}

/// An operator's view of a room.
#[derive(Serialize)]
struct Inspection<'a> {
    stopped: Option<&'a str>,
    set_aside: Vec<&'a DeadLetter>,
}

/// The verdict on what is to be tried next, with what has to be noted before.
pub(super) enum Verdict {
    /// Nothing has to be noted.
    Free,
    /// This has to be noted first.
    Note(Vec<NoteChange>),
    /// It has been tried often enough.
    Condemned,
}

/// The contents of a partition's notes.
#[derive(Default)]
pub(crate) struct Trials {
    /// The number of times that each was tried and not heard of again.
    tries: BTreeMap<String, u32>,
    /// The names of what is being tried, and noted so.
    marked: BTreeSet<String>,
    /// Notes that say nothing any more.
    stale: BTreeSet<String>,
    /// Until when, at least, everything is noted before it is tried.
    careful_until_ms: Option<u64>,
    quarantines: Quarantines,
    letters: BTreeMap<TopicId, DeadLetter>,
    hand_over: HandOver,
}

impl Trials {
    /// Reads the notes. `careful_until_ms` where holders before this one may have died of something.
    pub(crate) fn read(notes: Vec<(String, String)>, careful_until_ms: Option<u64>) -> Self {
        let mut trials = Trials {
            careful_until_ms,
            ..Trials::default()
        };
        for (name, text) in notes {
            if !trials.learn(&name, &text) {
                tracing::warn!(
                    name,
                    "a note of a partition cannot be read by this version, and is left alone"
                );
            }
        }
        trials.drop_notes_of_stopped();
        if !trials.tries.is_empty() {
            trials.careful_until_ms.get_or_insert(0);
        }
        trials
    }

    /// Whoever died while it tried a stopped room again has told all there was to tell.
    fn drop_notes_of_stopped(&mut self) {
        let suspects = self.quarantines.rooms().flat_map(Suspect::of_room);
        for name in suspects.map(|suspect| suspect.note()) {
            if self.tries.remove(&name).is_some() {
                self.stale.insert(name);
            }
        }
    }

    /// Takes a note in, if this version can read it.
    fn learn(&mut self, name: &str, text: &str) -> bool {
        let known = if name.starts_with(TRY) {
            let tries = text.parse().ok();
            tries.map(|tries: u32| self.tries.extend([(name.to_owned(), tries)]))
        } else if let Some(id) = name.strip_prefix(LETTER) {
            let note = id.parse().ok().zip(serde_json::from_str(text).ok());
            note.map(|note: (TopicId, DeadLetter)| self.letters.extend([note]))
        } else {
            let stopped = self.quarantines.learn(name, text);
            stopped.or_else(|| self.hand_over.learn(name, text))
        };
        known.is_some()
    }

    /// True if everything is noted before it is tried.
    pub(crate) fn is_careful(&self) -> bool {
        self.careful_until_ms.is_some() || self.quarantines.tries_any()
    }

    /// All that waited is done.
    pub(super) fn is_clear(&mut self, now_ms: u64) {
        if self
            .careful_until_ms
            .is_some_and(|until_ms| until_ms <= now_ms)
        {
            self.careful_until_ms = None;
            let tries = std::mem::take(&mut self.tries);
            self.stale.extend(tries.into_keys());
        }
    }

    /// Returns the number of these, which come next, that are tried together, and what has to be noted before.
    pub(super) fn group<'a>(
        &mut self,
        next: impl Iterator<Item = Vec<Suspect>> + 'a,
    ) -> (usize, Vec<NoteChange>) {
        let mut notes = BTreeSet::new();
        let mut count = 0;
        for suspects in next.take(GROUP_MAX) {
            let names: Vec<String> = suspects.iter().map(Suspect::note).collect();
            if names.iter().any(|name| self.tries.contains_key(name)) {
                break;
            }
            notes.extend(names);
            count += 1;
        }
        match count {
            0 => (1, Vec::new()),
            count => (count, self.mark(notes)),
        }
    }

    /// Returns what has to be done before this is tried.
    pub(super) fn judge(&mut self, suspect: &Suspect) -> Verdict {
        if !self.is_careful() {
            return Verdict::Free;
        }
        let name = suspect.note();
        if self.marked.contains(&name) {
            return Verdict::Free;
        }
        if self.is_condemned(suspect) {
            return Verdict::Condemned;
        }
        self.passed();
        Verdict::Note(self.mark(BTreeSet::from([name])))
    }

    /// True if it has been tried often enough.
    pub(super) fn is_condemned(&self, suspect: &Suspect) -> bool {
        if self.tries.is_empty() {
            return false;
        }
        let tries = self.tries.get(&suspect.note());
        tries.is_some_and(|tries| *tries >= TRIES_MAX)
    }

    fn mark(&mut self, names: BTreeSet<String>) -> Vec<NoteChange> {
        let mut changes = Vec::new();
        for name in &names {
            let tries = self.tries.entry(name.clone()).or_default();
            *tries += 1;
            self.stale.remove(name);
            changes.push((name.clone(), Some(tries.to_string())));
        }
        let stale = self.stale_notes().into_iter();
        changes.extend(stale.map(|name| (name, None)));
        self.marked.extend(names);
        changes
    }

    /// All of a batch was tried, and did no harm.
    pub(super) fn finish(&mut self) {
        self.passed();
        self.stale.extend(self.quarantines.passed());
    }

    /// Takes note that what was tried did no harm.
    fn passed(&mut self) {
        for name in std::mem::take(&mut self.marked) {
            self.tries.remove(&name);
            self.stale.insert(name);
        }
    }

    /// Returns what has to be noted before the last commit; `None` if that is left to the next holder.
    pub(super) fn begin_hand_over(&mut self, now_ms: u64) -> Option<NoteChange> {
        match self.is_careful() {
            true => None,
            false => self.hand_over.begin(now_ms),
        }
    }

    /// No room code runs any more in the last commit.
    pub(super) fn end_hand_over(&mut self) {
        self.stale.extend(self.hand_over.end());
    }

    /// True if there are notes that say nothing any more.
    pub(super) fn has_stale_notes(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Notes to take away, since they say nothing any more: with the next commit, which shows that whoever it was lived
    /// on, or with the next notes.
    pub(super) fn stale_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.stale).into_iter().collect()
    }

    /// The reason for which a room is not loaded, if it is not.
    pub(crate) fn quarantine(&self, room: &RoomName) -> Option<&Quarantine> {
        self.quarantines.get(room)
    }

    /// The number of rooms that are not loaded.
    pub(crate) fn quarantined(&self) -> usize {
        self.quarantines.rooms().count()
    }

    /// When a room that is not loaded is tried again.
    pub(super) fn retry_ms(&self, room: &RoomName) -> Option<u64> {
        self.quarantines.retry_ms(room)
    }

    /// When each is.
    pub(super) fn retries(&self) -> impl Iterator<Item = (&RoomName, u64)> {
        let rooms = self.quarantines.rooms();
        rooms.filter_map(|room| Some((room, self.retry_ms(room)?)))
    }

    /// True if a room that is not loaded may be tried: it is time, or an operator asks who has not asked the same before.
    pub(super) fn is_due(&self, room: &RoomName, asked: Option<Sid>, now_ms: u64) -> bool {
        self.quarantines.is_due(room, asked, now_ms)
    }

    /// Tries such a room again, with care until the commit.
    pub(super) fn retry(
        &mut self,
        room: &RoomName,
        asked: Option<Sid>,
        now_ms: u64,
    ) -> Vec<NoteChange> {
        let mut changes = self.quarantines.retry(room, asked, now_ms);
        changes.extend(self.forget(room));
        changes
    }

    /// True if a room is being tried again.
    pub(super) fn is_on_trial(&self, room: &RoomName) -> bool {
        self.quarantines.is_on_trial(room)
    }

    /// A room could not be loaded: if it was being tried again, it was not after all.
    pub(super) fn put_back(&mut self, room: &RoomName) {
        self.quarantines.put_back(room);
    }

    /// From now on a room is not loaded. `asked` is the operator's request that was being tried, if one was.
    pub(super) fn stop(
        &mut self,
        room: &RoomName,
        reason: &str,
        asked: Option<Sid>,
        now_ms: u64,
    ) -> Vec<NoteChange> {
        let mut changes = self.quarantines.stop(room, reason, asked, now_ms);
        let retry_ms = self.retry_ms(room).map(|at_ms| at_ms - now_ms);
        tracing::error!(
            %room,
            reason,
            retry_ms,
            "a room is stopped: whoever ran it died or did not come back. Its actions are answered busy, and the others go \
             on. It is tried again by itself, or at once by POST /v1/rooms/KIND/NAME/reload"
        );
        metrics::counter!(crate::telemetry::QUARANTINED).increment(1);
        changes.extend(self.forget(room));
        changes
    }

    /// Forgets how often a room was tried.
    fn forget(&mut self, room: &RoomName) -> Vec<NoteChange> {
        let names = Suspect::of_room(room).map(|suspect| suspect.note());
        for name in &names {
            self.tries.remove(name);
            self.marked.remove(name);
        }
        names.map(|name| (name, None)).into()
    }

    /// True if an input was set aside.
    pub(super) fn is_set_aside(&self, id: TopicId) -> bool {
        self.letters.contains_key(&id)
    }

    /// Sets an input aside, and stops its room where that is no exception.
    pub(super) fn set_aside(&mut self, id: TopicId, input: &Input, now_ms: u64) -> Vec<NoteChange> {
        let room = &input.room;
        tracing::error!(
            %room,
            sid = %input.sid,
            %id,
            "an input is set aside: whoever gave it to its room died or did not come back. It is kept for operators, and its \
             sender is told room_error: GET /v1/rooms/KIND/NAME/set-aside"
        );
        metrics::counter!(crate::telemetry::SET_ASIDE).increment(1);
        let letter = DeadLetter {
            room: room.clone(),
            at_ms: now_ms,
            input: input.clone(),
        };
        let mut changes = vec![(format!("{LETTER}{id}"), Some(written(&letter)))];
        self.letters.insert(id, letter);
        if self.letters.len() > LETTERS_MAX
            && let Some((oldest, letter)) = self.letters.pop_first()
        {
            tracing::warn!(room = %letter.room, id = %oldest, "the oldest input that was set aside is dropped");
            changes.push((format!("{LETTER}{oldest}"), None));
        }
        let since_ms = now_ms.saturating_sub(STRIKES_WITHIN_MS);
        let strikes = self.letters.values();
        let strikes = strikes.filter(|letter| letter.room == *room && letter.at_ms > since_ms);
        // It is asked again, and again.
        let shows = matches!(
            input.request,
            Request::Attached { view: true } | Request::View | Request::Look
        );
        let reason = match (shows, strikes.count() >= STRIKES_MAX) {
            (true, _) => Some("whoever had it show itself died, or it did not come back"),
            (false, true) => Some("one input after another had to be set aside"),
            (false, false) => None,
        };
        if let (Some(reason), None) = (reason, self.quarantine(room)) {
            changes.extend(self.stop(room, reason, None, now_ms));
        }
        changes
    }

    /// Returns an operator's view of a room; `stopped` says why it stands still, if it does.
    pub(super) fn inspect(&self, room: &RoomName, stopped: Option<&str>) -> Payload {
        let quarantine = self.quarantine(room);
        let letters = self.letters.values();
        let inspection = Inspection {
            stopped: quarantine.map(|known| known.reason.as_str()).or(stopped),
            set_aside: letters.filter(|letter| letter.room == *room).collect(),
        };
        Payload::of(&inspection).unwrap_or_else(|_| Payload::null())
    }
}
