use outlast_protocol::RoomName;
use outlast_store::Request;

use super::{COMMIT_BYTES_MAX, Effect, Partition, poison::Verdict, work::Task};
use crate::{host::Host, suspect::Suspect};

/// The watchdog's ticks that a batch may take before it is committed as it is: what is slow holds up its
/// neighbours one task at a time.
const LATE_TICKS: u64 = 3;

/// Why a room is stopped that holders died of.
const DEADLY: &str = "whoever loaded or woke it died, or it did not come back";
const DEADLY_WRITTEN: &str = "whoever wrote its state down died, or it did not come back";

impl Partition {
    /// Does what is in the queue, until something has to be done first or the batch is full.
    pub(super) fn do_tasks(&mut self) -> Option<Effect> {
        while let Some(task) = self.next_task() {
            match self.prepare(&task) {
                Ready::Take => self.take(task, false),
                Ready::SetAside => self.take(task, true),
                Ready::Not(want) => {
                    self.queue.push_front(task);
                    return Some(want);
                }
                Ready::Later => {
                    self.queue.push_front(task);
                    return None;
                }
            }
        }
        None
    }

    /// The next task of this batch.
    fn next_task(&mut self) -> Option<Task> {
        let work = self.work.as_mut()?;
        loop {
            let full = work.batch.bytes > COMMIT_BYTES_MAX;
            let late = self.watch.ticks() >= work.begun + LATE_TICKS && work.has_done_any;
            let next = self.queue.front()?;
            if (full || late || work.left == 0) && !next.is_bound_to_this_commit() {
                return None;
            }
            match self.queue.pop_front()? {
                Task::Take(id, input) if matches!(input.request, Request::Inspect) => {
                    let host = self.rooms.get(&input.room);
                    let stopped = host.and_then(|host| host.stopped());
                    let shown = self.trials.inspect(&input.room, stopped);
                    work.inspected(id, input, shown);
                }
                task @ (Task::Parked(_)
                | Task::Kept(_)
                | Task::Take(..)
                | Task::Unread(..)
                | Task::Wake(_)) => return Some(task),
            }
        }
    }

    /// Returns what has to be done before a task, if anything has.
    fn prepare(&mut self, task: &Task) -> Ready {
        let (Some(work), Some(room)) = (&self.work, task.room()) else {
            return Ready::Take;
        };
        let now_ms = work.batch.now_ms;
        if self.retries(task, room, now_ms) {
            // Whoever dies of it takes nothing along that was done before, nor another trial.
            if work.has_done_any {
                return Ready::Later;
            }
            return Ready::Not(self.retry(task, room, now_ms));
        }
        let quarantined = self.trials.quarantine(room).is_some();
        if !quarantined && self.trials.is_condemned(&Suspect::Written(room.clone())) {
            return self.stop(task, room, DEADLY_WRITTEN, now_ms);
        }
        let again = self.trials.is_on_trial(room) || self.stops.is_due(room, now_ms);
        let wanted = work.needs(task, &self.rooms, again);
        let suspect = match &wanted {
            Some(Effect::Load(_)) if !quarantined => Suspect::Room(room.clone()),
            Some(_) => return wanted.map_or(Ready::Take, Ready::Not),
            None if !self.trials.is_careful() => return Ready::Take,
            None if self.rooms.get(room).is_some_and(Host::runs) => task.suspect(room),
            None => return Ready::Take,
        };
        match (self.trials.judge(&suspect), suspect, task) {
            (Verdict::Free, ..) => wanted.map_or(Ready::Take, Ready::Not),
            (Verdict::Note(notes), ..) => Ready::Not(Effect::Note(notes)),
            (Verdict::Condemned, Suspect::Input(id), Task::Take(_, input)) => {
                if self.trials.is_set_aside(id) {
                    return Ready::SetAside;
                }
                Ready::Not(Effect::Note(self.trials.set_aside(id, input, now_ms)))
            }
            (Verdict::Condemned, ..) => self.stop(task, room, DEADLY, now_ms),
        }
    }

    /// True if a task is the occasion to try a stopped room again.
    fn retries(&self, task: &Task, room: &RoomName, now_ms: u64) -> bool {
        let occasion = match task {
            Task::Wake(_) => true,
            Task::Take(..) => task.is_reload(),
            Task::Parked(_) | Task::Kept(_) | Task::Unread(..) => false,
        };
        occasion
            && self.trials.is_due(room, task.reload(), now_ms)
            && self.rooms.get(room).is_none_or(Host::can_revive)
    }

    fn retry(&mut self, task: &Task, room: &RoomName, now_ms: u64) -> Effect {
        if let Some(work) = &mut self.work {
            // What it is worth that stands still.
            work.loaded.take_if(|loaded| loaded == room);
        }
        Effect::Note(self.trials.retry(room, task.reload(), now_ms))
    }

    /// Stops a room that holders died of, before anything else is done in it.
    fn stop(&mut self, task: &Task, room: &RoomName, reason: &str, now_ms: u64) -> Ready {
        if let Some(host) = self.rooms.get_mut(room) {
            host.stop(reason);
            self.stops.quarantined(room, now_ms);
        }
        Ready::Not(Effect::Note(self.trials.stop(
            room,
            reason,
            task.reload(),
            now_ms,
        )))
    }

    /// Does a task that needs nothing more; or sets its input aside.
    fn take(&mut self, task: Task, aside: bool) {
        let Some(work) = &mut self.work else { return };
        let room = task.room().cloned();
        work.left = work.left.saturating_sub(1);
        work.has_done_any = true;
        let step = room
            .as_ref()
            .map(|room| self.watch.step(task.suspect(room), room));
        work.take(task, aside, &mut self.rooms);
        drop(step);
        // One input too many was set aside in it.
        if let (true, Some(room)) = (aside, room)
            && let Some(quarantine) = self.trials.quarantine(&room)
            && let Some(host) = self.rooms.get_mut(&room)
        {
            host.stop(&quarantine.reason);
            self.stops.quarantined(&room, work.batch.now_ms);
        }
    }
}

/// True if a task can be done.
enum Ready {
    /// It can.
    Take,
    /// It is not tried any more: it is answered as if the room had failed at it.
    SetAside,
    /// This has to be done first.
    Not(Effect),
    /// It begins the next batch.
    Later,
}
