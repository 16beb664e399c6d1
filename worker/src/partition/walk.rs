use std::collections::HashMap;

use outlast_protocol::{RoomName, Sid};

use crate::host::Host;

/// The number of rooms that are looked at in one step.
const ROOMS_AT_ONCE: usize = 16;

/// A member who has been silent for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) room: RoomName,
    pub(crate) sid: Sid,
    /// The newest generation that the room knows of.
    pub(crate) generation: u64,
    /// True if the room has been told that the session is away.
    pub(crate) away: bool,
}

/// A part of a walk through the rooms in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// Which walk: 1, 2, 3 …
    pub(crate) walk: u64,
    pub(crate) members: Vec<Silent>,
}

/// A slow walk through the rooms in memory, again and again, for members who have long been silent (S10).
#[derive(Debug, Default)]
pub(super) struct Walk {
    number: u64,
    began_ms: Option<u64>,
    /// The rooms that are still to come.
    rooms: Vec<RoomName>,
}

impl Walk {
    /// The next few; `None` while it is not yet time for another walk.
    pub(super) fn next(
        &mut self,
        rooms: &HashMap<RoomName, Host>,
        now_ms: u64,
        audit_ms: u64,
    ) -> Option<Look> {
        if self.rooms.is_empty() {
            // The store's clock may be set back.
            if self
                .began_ms
                .is_some_and(|began_ms| began_ms.abs_diff(now_ms) < audit_ms)
            {
                return None;
            }
            self.began_ms = Some(now_ms);
            self.number += 1;
            self.rooms = rooms.keys().cloned().collect();
        }
        let left = self.rooms.len().saturating_sub(ROOMS_AT_ONCE);
        let some = self.rooms.split_off(left);
        let hosts = some.iter().filter_map(|room| rooms.get(room));
        Some(Look {
            walk: self.number,
            members: hosts
                .flat_map(|host| host.silent(now_ms, audit_ms))
                .collect(),
        })
    }
}
