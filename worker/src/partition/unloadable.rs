//! Rooms that could not be loaded, and when each is loaded again (W9). Pure.

use std::collections::HashMap;

use outlast_protocol::RoomName;

/// The time until a stopped room is loaded again, in milliseconds: at first, twice as long each time …
const AGAIN_MS: u64 = 1_000;

/// … and at the latest.
const AGAIN_MAX_MS: u64 = 60_000;

/// Rooms that stand still here, and when each is loaded again (W9).
#[derive(Default)]
pub(crate) struct Stops(HashMap<RoomName, Stop>);

#[derive(Debug, Clone, Copy)]
struct Stop {
    since_ms: u64,
    tries: u32,
    /// `None` where the partition's notes say so.
    again_ms: Option<u64>,
}

impl Stops {
    /// Returns the number of rooms that are loaded again by themselves.
    pub(crate) fn count(&self) -> usize {
        let again = self.0.values().filter(|stop| stop.again_ms.is_some());
        again.count()
    }

    /// When a room that stands still is loaded again.
    pub(crate) fn again_ms(&self, room: &RoomName) -> Option<u64> {
        self.0.get(room).and_then(|stop| stop.again_ms)
    }

    /// True if it is time to load it again.
    pub(crate) fn is_due(&self, room: &RoomName, now_ms: u64) -> bool {
        self.again_ms(room).is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// A room stands still that is not loaded as it was (W17).
    pub(crate) fn quarantined(&mut self, room: &RoomName, now_ms: u64) {
        let stop = Stop {
            since_ms: now_ms,
            tries: 0,
            again_ms: None,
        };
        self.0.insert(room.clone(), stop);
    }

    /// A room that stood still is tried again.
    pub(crate) fn forget(&mut self, room: &RoomName) {
        self.0.remove(room);
    }

    /// Notes how a room was found when it was loaded: why it stands still, if it does.
    pub(crate) fn found(&mut self, room: &RoomName, why: Option<&str>, now_ms: u64) {
        match (why, self.0.get_mut(room)) {
            (Some(reason), stop) => {
                let (tries, since_ms) =
                    stop.map_or((0, now_ms), |stop| (stop.tries, stop.since_ms));
                let retry_ms = (AGAIN_MS << tries.min(10)).min(AGAIN_MAX_MS);
                let stop = Stop {
                    since_ms,
                    tries: tries + 1,
                    again_ms: Some(now_ms + retry_ms),
                };
                if tries == 0 {
                    alarm(room, reason, retry_ms);
                } else {
                    tracing::warn!(%room, reason, tries, retry_ms, "a stopped room cannot be loaded yet");
                }
                self.0.insert(room.clone(), stop);
            }
            (None, Some(stop)) => {
                let stopped_ms = now_ms.saturating_sub(stop.since_ms);
                tracing::info!(%room, stopped_ms, "a stopped room runs again");
                self.0.remove(room);
            }
            (None, None) => {}
        }
    }
}

/// The alarm of W6: somebody has to look at this.
fn alarm(room: &RoomName, reason: &str, retry_ms: u64) {
    tracing::error!(
        %room,
        reason,
        retry_ms,
        "a room is stopped: it cannot be loaded from the store. Nothing of it is dropped, its actions are answered busy, \
         and it is loaded again by itself, or at once by POST /v1/rooms/KIND/NAME/reload. Where the reason names a \
         version or a kind, a worker that knows it has to take over"
    );
    metrics::counter!(crate::telemetry::STOPPED).increment(1);
}
