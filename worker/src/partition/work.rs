use std::collections::{BTreeSet, HashMap, VecDeque};

use outlast_protocol::{Payload, Pos, RoomName, Sid};
use outlast_store::{Answer, Entry, Input, Request, RoomCommit, TopicId};

use super::Effect;
use crate::host::Host;
use crate::{
    batch::{Batch, Requester},
    suspect::Suspect,
};

/// A batch in progress.
pub(super) struct Work {
    pub(super) batch: Batch,
    /// The commits of the rooms that are written down.
    pub(super) rooms: Vec<RoomCommit>,
    /// True if all tasks of this batch are done.
    pub(super) writes_down: bool,
    /// The last topic entry that was taken.
    pub(super) topic: TopicId,
    pub(super) unread: Vec<String>,
    /// The number of inputs kept unread that leave that place with this batch.
    pub(super) reread: usize,
    /// The rooms that something was done in.
    pub(super) touched: BTreeSet<RoomName>,
    pub(super) woken: BTreeSet<RoomName>,
    pub(super) wants_wakes: bool,
    pub(super) wants_unread: bool,
    /// True if what is due, and which rooms it all needs, has yet to be put down.
    pub(super) wants_plan: bool,
    /// True if it has yet to be noted what is tried.
    pub(super) wants_group: bool,
    /// The number of tasks that may yet be tried in this batch.
    pub(super) left: usize,
    pub(super) has_done_any: bool,
    /// The watchdog's clock when the batch began.
    pub(super) begun: u64,
    pub(super) to_load: Vec<RoomName>,
    /// The log that the next task needs.
    pub(super) log: Option<Vec<Entry>>,
    /// The room that was loaded last, for the next task.
    pub(super) loaded: Option<RoomName>,
}

impl Work {
    pub(super) fn new(topic: TopicId, now_ms: u64, entropy: u64) -> Self {
        Work {
            batch: Batch::new(now_ms, entropy),
            rooms: Vec::new(),
            writes_down: false,
            topic,
            unread: Vec::new(),
            reread: 0,
            touched: BTreeSet::new(),
            woken: BTreeSet::new(),
            wants_wakes: false,
            wants_unread: false,
            wants_plan: false,
            wants_group: false,
            left: usize::MAX,
            has_done_any: false,
            begun: 0,
            to_load: Vec::new(),
            log: None,
            loaded: None,
        }
    }

    /// Notes which rooms the tasks need that are not in memory.
    pub(super) fn plan_loads(&mut self, queue: &VecDeque<Task>, rooms: &HashMap<RoomName, Host>) {
        let needed: BTreeSet<_> = queue.iter().filter_map(Task::room).collect();
        let missing = needed.into_iter().filter(|room| !rooms.contains_key(*room));
        self.to_load = missing.cloned().collect();
    }

    /// Returns what has to be done before this task; `again` where it is time to load its room again, if it is stopped.
    pub(super) fn needs(
        &self,
        task: &Task,
        rooms: &HashMap<RoomName, Host>,
        again: bool,
    ) -> Option<Effect> {
        let name = task.room()?;
        let Some(host) = rooms.get(name).filter(|host| !host.is_spoilt()) else {
            return Some(Effect::Load(vec![name.clone()]));
        };
        let again = again || task.is_reload();
        if host.is_stopped() && again && self.loaded.as_ref() != Some(name) && host.can_revive() {
            return Some(Effect::Load(vec![name.clone()]));
        }
        let (Task::Take(_, input) | Task::Parked(input) | Task::Kept(input)) = task else {
            return None;
        };
        let look_up = self.log.is_none() && host.must_look_up(input);
        look_up.then(|| Effect::ReadLog(name.clone()))
    }

    /// Returns an operator, of whom no room hears.
    pub(super) fn inspected(&mut self, id: TopicId, input: Input, shown: Payload) {
        self.topic = id;
        let Input {
            room,
            sid,
            generation,
            gateway,
            ..
        } = input;
        let asker = Requester {
            sid,
            generation,
            gateway,
        };
        let answer = Answer::Seated {
            generation,
            member: None,
            n: 0,
            pos: Pos::START,
            joined: None,
            state: Some(shown),
        };
        self.batch.reply(&asker, &room, answer);
    }

    /// Does a task that needs nothing more. The room's code does not see one that is set aside.
    pub(super) fn take(&mut self, task: Task, aside: bool, rooms: &mut HashMap<RoomName, Host>) {
        self.touched.extend(task.room().cloned());
        self.loaded = None;
        match task {
            Task::Take(id, input) => {
                self.topic = id;
                self.give(input, aside, rooms);
            }
            Task::Parked(input) => self.give(input, aside, rooms),
            Task::Kept(input) => {
                let known = |host: &Host| host.takes_late(&input);
                if rooms.get(&input.room).is_some_and(known) {
                    self.give(input, aside, rooms);
                }
            }
            Task::Wake(room) => {
                if let Some(host) = rooms.get_mut(&room) {
                    host.wake(self.batch.now_ms, &mut self.batch);
                }
                self.woken.insert(room);
            }
            Task::Unread(id, raw) => {
                tracing::error!(%id, raw, "a topic entry cannot be read by this version, and is kept");
                metrics::counter!(crate::telemetry::UNREAD).increment(1);
                self.topic = id;
                self.unread.push(raw);
            }
        }
    }

    fn give(&mut self, input: Input, aside: bool, rooms: &mut HashMap<RoomName, Host>) {
        let now_ms = self.batch.now_ms;
        let log = self.log.take().unwrap_or_default();
        match rooms.get_mut(&input.room) {
            Some(host) if aside => host.set_aside(input, now_ms, &log, &mut self.batch),
            Some(host) => host.take(input, now_ms, &log, &mut self.batch),
            None => {}
        }
    }
}

/// Something to do in a batch.
pub(super) enum Task {
    /// Was parked, and comes before anything else in its room.
    Parked(Input),
    /// Was kept by a version that could not read it, and comes late.
    Kept(Input),
    /// Comes from the topic.
    Take(TopicId, Input),
    /// Comes from the topic, and cannot be read.
    Unread(TopicId, String),
    /// It is time.
    Wake(RoomName),
}

impl Task {
    /// True if it has to be done in this batch, whose commit drops it where it was kept.
    pub(super) fn is_bound_to_this_commit(&self) -> bool {
        match self {
            Task::Parked(_) | Task::Kept(_) => true,
            Task::Take(..) | Task::Unread(..) | Task::Wake(_) => false,
        }
    }

    /// True if nobody waits for it: a room is told that a session is there, and mostly knew.
    pub(super) fn is_patient(&self) -> bool {
        match self {
            Task::Take(_, input) => matches!(input.request, Request::Arrived),
            Task::Parked(_) | Task::Kept(_) | Task::Unread(..) | Task::Wake(_) => false,
        }
    }

    /// True if an operator asks that its room is loaded now.
    pub(super) fn is_reload(&self) -> bool {
        self.reload().is_some()
    }

    /// The operator's request that its room is loaded now, if it is one.
    pub(super) fn reload(&self) -> Option<Sid> {
        match self {
            Task::Take(_, input) => matches!(input.request, Request::Reload).then_some(input.sid),
            Task::Parked(_) | Task::Kept(_) | Task::Unread(..) | Task::Wake(_) => None,
        }
    }

    /// Returns the suspect where a holder died at this task in a room.
    pub(super) fn suspect(&self, room: &RoomName) -> Suspect {
        match self {
            Task::Take(id, _) => Suspect::Input(*id),
            Task::Parked(_) | Task::Kept(_) | Task::Unread(..) | Task::Wake(_) => {
                Suspect::Room(room.clone())
            }
        }
    }

    /// All that a holder may have died of that died at this task, or while its room was loaded or written down.
    pub(super) fn suspects(&self) -> Vec<Suspect> {
        let Some(room) = self.room() else {
            return Vec::new();
        };
        vec![
            Suspect::Room(room.clone()),
            Suspect::Written(room.clone()),
            self.suspect(room),
        ]
    }

    pub(super) fn room(&self) -> Option<&RoomName> {
        match self {
            // Of which no room hears.
            Task::Take(_, input) if matches!(input.request, Request::Inspect) => None,
            Task::Parked(input) | Task::Kept(input) | Task::Take(_, input) => Some(&input.room),
            Task::Unread(..) => None,
            Task::Wake(room) => Some(room),
        }
    }
}
