//! The rooms of one partition, as a pure machine: topic entries and the time go in, and what it wants
//! done comes out. It never does IO and never reads a clock.
//!
//! ```text
//! begin(entries, now, entropy)        the batch starts
//! advance() -> Want::Wakes            … wakes_read(wakes)
//!           -> Want::Unread           … unread_read(inputs)
//!           -> Want::Note(changes)     note them in the store before it goes on
//!           -> Want::Load(rooms)      … loaded(room, what)
//!           -> Want::ReadLog(room)    … log_read(entries)
//!           -> Want::Commit(commit)   the batch is done: commit it before the next begins
//!           -> Want::Nothing          the batch is done, and nothing came of it
//! ```
//! A commit that fails for good leaves the machine of no use: it is dropped, and another one is made from
//! what the store holds.

mod hand_over;
mod poison;
mod quarantine;
mod tasks;
mod timers;
mod unloadable;
mod walk;
mod work;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use outlast_protocol::RoomName;
use outlast_store::{self as store, Commit, Cursor, Entry, Input, NoteChange, TopicEntry, TopicId};

pub(crate) use self::{
    poison::Trials,
    walk::{Look, Silent},
};

use self::{
    poison::Verdict,
    timers::Timers,
    unloadable::Stops,
    walk::Walk,
    work::{Task, Work},
};
use crate::{
    Registry, WorkerSettings,
    host::{Host, Loaded, Snapshots},
    suspect::Suspect,
    watch::Watch,
};

/// The approximate size limit of one commit, in bytes; what is left waits for the next.
const COMMIT_BYTES_MAX: usize = 1 << 20;

/// The number of wakes that a partition asks the store for; it keeps up to twice as many in mind.
pub(crate) const WAKES_MAX: usize = 10_000;

/// The number of inputs kept unread that a partition asks the store for at a time.
pub(crate) const UNREAD_MAX: usize = 256;

/// The shortest time until a room can be woken again, in milliseconds, whatever it says …
const WAKE_AGAIN_MS: u64 = 10;

/// … and one that nobody is in, which is loaded for it each time.
const WAKE_EMPTY_AGAIN_MS: u64 = 1_000;

/// The time until a room is woken again that failed at it, in milliseconds.
const WAKE_AFTER_FAULT_MS: u64 = 1_000;

/// The time that what nobody waits for is held for company, in milliseconds, so that one commit serves many: a herd
/// that comes back is thousands …
const HELD_MS: u64 = 100;

/// … and how much of it.
const HELD_MAX: usize = 256;

/// One partition, under one lease.
pub(crate) struct Partition {
    id: store::PartitionId,
    epoch: u64,
    cursor: Cursor,
    registry: Registry,
    settings: Arc<WorkerSettings>,
    rooms: HashMap<RoomName, Host>,
    alarms: Timers,
    walk: Walk,
    stops: Stops,
    trials: Trials,
    watch: Arc<Watch>,
    queue: VecDeque<Task>,
    /// Until when the queue is held for company, if nobody waits for anything in it.
    held_until_ms: Option<u64>,
    /// True if there may be inputs that were kept unread and can be read now.
    wants_unread: bool,
    work: Option<Work>,
}

/// An effect that has to be carried out before the batch can go on.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask the store which rooms want to be woken next, [`WAKES_MAX`] of them.
    Wakes,
    /// Ask the store which inputs were kept unread, [`UNREAD_MAX`] of them.
    Unread,
    /// Note this in the store, before anything else is done.
    Note(Vec<NoteChange>),
    /// Load these rooms.
    Load(Vec<RoomName>),
    /// Read all there is of this room's log.
    ReadLog(RoomName),
    /// Commit this; the batch is done.
    Commit(Box<Commit>),
    /// The batch is done.
    Nothing,
}

impl Partition {
    /// A partition that stands at `cursor`. Its first batch asks who wants to be woken, and what was kept
    /// for a worker that can read it.
    pub(crate) fn new(
        id: store::PartitionId,
        epoch: u64,
        cursor: Cursor,
        registry: Registry,
        settings: Arc<WorkerSettings>,
        trials: Trials,
        watch: Arc<Watch>,
    ) -> Self {
        Partition {
            id,
            epoch,
            cursor,
            registry,
            settings,
            rooms: HashMap::new(),
            alarms: Timers::unknown(),
            walk: Walk::default(),
            stops: Stops::default(),
            trials,
            watch,
            queue: VecDeque::new(),
            held_until_ms: None,
            wants_unread: true,
            work: None,
        }
    }

    /// The topic entry to read after.
    pub(crate) fn read_after(&self) -> TopicId {
        let last = self.queue.iter().rev().find_map(|task| match task {
            Task::Take(id, _) | Task::Unread(id, _) => Some(*id),
            Task::Parked(_) | Task::Kept(_) | Task::Wake(_) => None,
        });
        last.unwrap_or(self.cursor.topic)
    }

    /// True if entries that were read still wait for a batch, and are not held for company.
    pub(crate) fn is_behind(&self) -> bool {
        !self.queue.is_empty() && self.held_until_ms.is_none()
    }

    /// When the next batch is due, whether or not anything comes in.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        let due_ms = [self.alarms.next_ms(), self.held_until_ms];
        due_ms.into_iter().flatten().min()
    }

    /// A few more members who have long been silent, if it is time to look for such (S10).
    pub(crate) fn look(&mut self, now_ms: u64) -> Option<Look> {
        let audit_ms = self.settings.audit_ms?;
        self.walk.next(&self.rooms, now_ms, audit_ms)
    }

    /// Returns the number of rooms in memory.
    pub(crate) fn rooms_in_memory(&self) -> usize {
        self.rooms.len()
    }

    /// Returns the number of stopped rooms.
    pub(crate) fn rooms_stopped(&self) -> usize {
        self.stops.count() + self.trials.quarantined()
    }

    /// Why a room is not to be loaded, if it is not.
    pub(crate) fn quarantined(&self, room: &RoomName) -> Option<&str> {
        let quarantine = self.trials.quarantine(room)?;
        Some(&quarantine.reason)
    }

    /// True if a holder before this one may have died of what comes next, so that everything is noted before it is tried.
    pub(crate) fn is_careful(&self) -> bool {
        self.trials.is_careful()
    }

    /// Starts a batch, unless nobody waits for anything in it yet. `entropy` is drawn anew for each.
    pub(crate) fn begin(&mut self, entries: Vec<TopicEntry>, now_ms: u64, entropy: u64) {
        let task = |entry: TopicEntry| match entry.input {
            Ok(input) => Task::Take(entry.id, input),
            Err(raw) => Task::Unread(entry.id, raw),
        };
        let new = self.queue.len();
        self.queue.extend(entries.into_iter().map(task));
        self.held_until_ms = self.hold(new, now_ms);
        if self.held_until_ms.is_some() {
            return;
        }
        self.work = Some(Work {
            wants_wakes: self.alarms.must_learn(now_ms),
            wants_unread: std::mem::take(&mut self.wants_unread),
            wants_plan: true,
            wants_group: self.trials.is_careful(),
            begun: self.watch.ticks(),
            ..Work::new(self.cursor.topic, now_ms, entropy)
        });
    }

    /// Until when the queue can be held for company; what stands in it from `new` on has just come.
    fn hold(&self, new: usize, now_ms: u64) -> Option<u64> {
        let until_ms = match self.held_until_ms {
            None if new > 0 => None,
            // The store's clock may be set back.
            until_ms => Some(until_ms.unwrap_or(u64::MAX).min(now_ms + HELD_MS)),
        };
        let due = |at_ms: u64| at_ms <= now_ms;
        let hurries = self.queue.range(new..).any(|task| !task.is_patient())
            || self.queue.is_empty()
            || self.queue.len() >= HELD_MAX
            || self.wants_unread
            || self.alarms.next_ms().is_some_and(due);
        until_ms.filter(|until_ms| !hurries && !due(*until_ms))
    }

    /// Goes on with the batch until something has to be done, or it is done itself.
    pub(crate) fn advance(&mut self) -> Effect {
        let Some(work) = &mut self.work else {
            return Effect::Nothing;
        };
        if std::mem::take(&mut work.wants_wakes) {
            return Effect::Wakes;
        }
        if std::mem::take(&mut work.wants_unread) {
            return Effect::Unread;
        }
        if std::mem::take(&mut work.wants_plan) {
            // With care, those that were due stay in the queue until they are done.
            let careful = self.trials.is_careful();
            if !careful || !self.queue.iter().any(|task| matches!(task, Task::Wake(_))) {
                let now_ms = work.batch.now_ms;
                let mut due = self.alarms.due(now_ms, self.settings.batch_max);
                // A trial begins a batch, and is the only one in it.
                let is_trial = |room: &RoomName| self.trials.is_due(room, None, now_ms);
                if let Some(trial) = due.iter().position(is_trial) {
                    self.queue.push_front(Task::Wake(due.remove(trial)));
                }
                self.queue.extend(due.into_iter().map(Task::Wake));
            }
            if !careful {
                work.plan_loads(&self.queue, &self.rooms);
            }
        }
        let to_load = std::mem::take(&mut work.to_load);
        if !to_load.is_empty() {
            return Effect::Load(to_load);
        }
        if std::mem::take(&mut work.wants_group) {
            let (count, notes) = self.trials.group(self.queue.iter().map(Task::suspects));
            work.left = count;
            if !notes.is_empty() {
                return Effect::Note(notes);
            }
        }
        let want = match work.writes_down {
            true => None,
            false => self.do_tasks(),
        };
        want.unwrap_or_else(|| self.finish())
    }

    /// The wakes that were wanted.
    pub(crate) fn wakes_read(&mut self, wakes: Vec<(RoomName, u64)>) {
        // The store knows nothing of these.
        for (room, at_ms) in self.trials.retries() {
            if self.alarms.get(room).is_none() {
                self.alarms.set(room, Some(at_ms));
            }
        }
        if let Some(work) = &self.work {
            self.alarms.learn(wakes, WAKES_MAX, work.batch.now_ms);
        }
    }

    /// The inputs that were wanted. Those that can be read now come first, and all of them leave the place
    /// where they were kept with this commit; what cannot be read either is put back, after the others.
    pub(crate) fn unread_read(&mut self, kept: Vec<Result<Input, String>>) {
        let Some(work) = &mut self.work else { return };
        let readable = kept.iter().filter(|kept| kept.is_ok()).count();
        if readable == 0 {
            return;
        }
        tracing::info!(
            partition = self.id.0,
            inputs = readable,
            "retrying inputs that no version could read so far"
        );
        // There may be more of them.
        self.wants_unread = kept.len() == UNREAD_MAX;
        work.reread = kept.len();
        for kept in kept.into_iter().rev() {
            match kept {
                Ok(input) => self.queue.push_front(Task::Kept(input)),
                Err(raw) => work.unread.insert(0, raw),
            }
        }
    }

    /// A room that was wanted, and when it came.
    pub(crate) fn loaded(&mut self, room: RoomName, loaded: Loaded, now_ms: u64) {
        let Some(work) = &mut self.work else { return };
        work.loaded = Some(room.clone());
        let _step = self.watch.step(Suspect::Room(room.clone()), &room);
        let kind = self.registry.kind_of(&room);
        let (why, parked) = match self.rooms.get_mut(&room) {
            Some(host) if host.is_stopped() => {
                let parked = host.revive(kind, loaded);
                (host.stopped(), parked)
            }
            Some(host) => {
                host.reload(kind, loaded);
                (host.stopped(), Vec::new())
            }
            None => {
                let wake_ms = self.alarms.get(&room);
                let (host, parked) = Host::load(room.clone(), kind, loaded, wake_ms);
                let host = self.rooms.entry(room.clone()).insert_entry(host);
                (host.into_mut().stopped(), parked)
            }
        };
        if why.is_some() {
            self.trials.put_back(&room);
        }
        match (self.trials.quarantine(&room), why) {
            (Some(_), Some(_)) => self.stops.quarantined(&room, now_ms),
            (_, None) if self.trials.is_on_trial(&room) => self.stops.forget(&room),
            (_, why) => self.stops.found(&room, why, now_ms),
        }
        for input in parked.into_iter().rev() {
            self.queue.push_front(Task::Parked(input));
        }
    }

    /// The log that was wanted.
    pub(crate) fn log_read(&mut self, entries: Vec<Entry>) {
        if let Some(work) = &mut self.work {
            work.log = Some(entries);
        }
    }

    /// Returns what has to be noted before [`Partition::hand_over`]; `None` if that is left to the next worker: nothing is
    /// to be written down, or a holder may die of it.
    pub(crate) fn begin_hand_over(&mut self, now_ms: u64) -> Option<NoteChange> {
        let any = self.rooms.values().any(Host::has_unwritten);
        any.then(|| self.trials.begin_hand_over(now_ms)).flatten()
    }

    /// Returns a last commit before another worker takes over: it writes down what that one would have to fold
    /// otherwise, as far as one commit goes.
    pub(crate) fn hand_over(&mut self, now_ms: u64, entropy: u64) -> Box<Commit> {
        let mut work = Work::new(self.cursor.topic, now_ms, entropy);
        for host in self.rooms.values_mut() {
            if work.batch.bytes > COMMIT_BYTES_MAX {
                break;
            }
            let _step = self
                .watch
                .step(Suspect::Written(host.name().clone()), host.name());
            let written = host.commit(&self.settings, Snapshots::Always, &mut work.batch);
            work.rooms.extend(written);
        }
        self.trials.end_hand_over();
        self.commit(work)
    }

    /// Ends the batch: each room that something was done in is written down.
    fn finish(&mut self) -> Effect {
        let Some(work) = &mut self.work else {
            return Effect::Nothing;
        };
        work.writes_down = true;
        while let Some(name) = self.work.as_ref().and_then(|work| work.touched.first()) {
            let runs = self.rooms.get(name).is_some_and(Host::runs);
            let suspect = Suspect::Written(name.clone());
            if runs && let Verdict::Note(notes) = self.trials.judge(&suspect) {
                return Effect::Note(notes);
            }
            self.write_down_next();
        }
        let Some(work) = self.work.take() else {
            return Effect::Nothing;
        };
        self.trials.finish();
        if !self.trials.is_careful() {
            self.queue.retain(|task| !matches!(task, Task::Wake(_)));
        }
        self.alarms.keep(2 * WAKES_MAX);
        if self.queue.is_empty() && work.topic != self.cursor.topic {
            self.trials.is_clear(work.batch.now_ms);
        }
        let idle = work.rooms.is_empty() && work.batch.replies.is_empty();
        let stands = work.topic == self.cursor.topic && work.reread == 0;
        if idle && stands && !self.trials.has_stale_notes() {
            return Effect::Nothing;
        }
        Effect::Commit(self.commit(work))
    }

    fn write_down_next(&mut self) {
        let Some(work) = &mut self.work else { return };
        let Some(name) = work.touched.pop_first() else {
            return;
        };
        let Some(host) = self.rooms.get_mut(&name) else {
            return;
        };
        let step = self.watch.step(Suspect::Written(name.clone()), &name);
        let written = host.commit(&self.settings, Snapshots::WhenDue, &mut work.batch);
        drop(step);
        work.rooms.extend(written);
        let again_ms = match work.woken.contains(&name) {
            _ if host.is_spoilt() => WAKE_AFTER_FAULT_MS,
            true if host.is_needed() => WAKE_AGAIN_MS,
            true => WAKE_EMPTY_AGAIN_MS,
            false => 0,
        };
        let soonest = work.batch.now_ms + again_ms;
        let alarm_ms = match host.is_stopped() {
            true => {
                let retry_ms = self.trials.retry_ms(&name);
                retry_ms.or_else(|| self.stops.again_ms(&name))
            }
            false => host.alarm_ms(),
        };
        self.alarms
            .set(&name, alarm_ms.map(|at_ms| at_ms.max(soonest)));
        if !host.is_needed() {
            self.rooms.remove(&name);
        }
    }

    fn commit(&mut self, work: Work) -> Box<Commit> {
        let from = self.cursor;
        self.cursor = Cursor {
            topic: work.topic,
            commits: from.commits + 1,
            tag: work.batch.tag,
        };
        Box::new(Commit {
            partition: self.id,
            epoch: self.epoch,
            from,
            to: self.cursor,
            rooms: work.rooms,
            replies: work.batch.replies,
            unread: work.unread,
            reread: work.reread,
            unnote: self.trials.stale_notes(),
        })
    }
}
