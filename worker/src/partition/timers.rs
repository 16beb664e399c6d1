use std::collections::{BTreeSet, HashMap};

use outlast_protocol::RoomName;

/// The wait before the store is asked again that knew of nothing new, in milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;

/// When which room is to be woken, as far as that is near: the rest is in the store.
#[derive(Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(u64, RoomName)>,
    by_room: HashMap<RoomName, u64>,
    /// From when on the store may know of others.
    horizon_ms: Option<u64>,
}

impl Timers {
    /// Nothing is known yet.
    pub(crate) fn unknown() -> Self {
        Timers {
            horizon_ms: Some(0),
            ..Timers::default()
        }
    }

    /// Sets a room's alarm, or clears it.
    pub(crate) fn set(&mut self, room: &RoomName, at_ms: Option<u64>) {
        let before = match at_ms {
            Some(at_ms) => self.by_room.insert(room.clone(), at_ms),
            None => self.by_room.remove(room),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, room.clone()));
        }
        if let Some(at_ms) = at_ms {
            self.by_time.insert((at_ms, room.clone()));
        }
    }

    /// Forgets the latest beyond so many; the store knows them.
    pub(crate) fn keep(&mut self, max: usize) {
        while self.by_time.len() > max {
            if let Some((at_ms, room)) = self.by_time.pop_last() {
                self.by_room.remove(&room);
                self.horizon_ms = Some(self.horizon_ms.map_or(at_ms, |known| known.min(at_ms)));
            }
        }
    }

    /// Takes in what the store knows, the earliest first; it was asked for `asked`, and knows of more
    /// where it has told so many.
    pub(crate) fn learn(&mut self, told: Vec<(RoomName, u64)>, asked: usize, now_ms: u64) {
        let last = told.last().map(|(_, at_ms)| *at_ms);
        self.horizon_ms = last.filter(|_| told.len() >= asked);
        let known = self.by_room.len();
        for (room, at_ms) in told {
            // What is set here is what was committed, or later, where a room is held to its pace.
            if !self.by_room.contains_key(&room) {
                self.set(&room, Some(at_ms));
            }
        }
        if self.by_room.len() == known {
            let later = |horizon_ms: u64| horizon_ms.max(now_ms + ASK_AGAIN_MS);
            self.horizon_ms = self.horizon_ms.map(later);
        }
    }

    /// True if it is time to ask the store: all that was known up to the horizon has been done.
    pub(crate) fn must_learn(&self, now_ms: u64) -> bool {
        let done = |horizon_ms| self.first_ms().is_none_or(|first_ms| first_ms > horizon_ms);
        self.horizon_ms
            .is_some_and(|horizon_ms| horizon_ms <= now_ms && done(horizon_ms))
    }

    /// When a room is to be woken.
    pub(crate) fn get(&self, room: &RoomName) -> Option<u64> {
        self.by_room.get(room).copied()
    }

    /// When there is something to do: the next room is to be woken, or the store to be asked.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let times = [self.first_ms(), self.horizon_ms];
        times.into_iter().flatten().min()
    }

    /// Up to `max` rooms whose time has come, the longest due first.
    pub(crate) fn due(&self, now_ms: u64, max: usize) -> Vec<RoomName> {
        let due = self
            .by_time
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms);
        due.take(max).map(|(_, room)| room.clone()).collect()
    }

    fn first_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }
}
