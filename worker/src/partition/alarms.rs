use std::collections::{BTreeSet, HashMap};

use outlast_protocol::RoomName;

/// When which room is to be woken.
#[derive(Default)]
pub(crate) struct Alarms {
    by_time: BTreeSet<(u64, RoomName)>,
    by_room: HashMap<RoomName, u64>,
}

impl Alarms {
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

    /// When a room is to be woken.
    pub(crate) fn get(&self, room: &RoomName) -> Option<u64> {
        self.by_room.get(room).copied()
    }

    /// When the next room is to be woken.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Up to `max` rooms whose time has come, the longest due first.
    pub(crate) fn due(&self, now_ms: u64, max: usize) -> Vec<RoomName> {
        let due = self
            .by_time
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms);
        due.take(max).map(|(_, room)| room.clone()).collect()
    }
}
