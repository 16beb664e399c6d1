use serde::{Deserialize, Serialize};

/// The host's record of a room besides its log and its seats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoomMeta {
    /// The version of this record.
    v: u32,
    /// The number of member numbers that were given out.
    members: u32,
    /// The room's clock, in milliseconds since the epoch.
    now_ms: u64,
    /// The store's time when the room's clock was moved last, where that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store_ms: Option<u64>,
}

/// A head that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("its head cannot be read: {0:?}")]
pub(crate) struct UnreadableMeta(String);

/// A clock that is ahead goes slower by one part in so many.
const PACE: u64 = 50;

impl RoomMeta {
    const VERSION: u32 = 1;

    pub(crate) fn new() -> Self {
        RoomMeta {
            v: Self::VERSION,
            members: 0,
            now_ms: 0,
            store_ms: None,
        }
    }

    pub(crate) fn read(text: &str) -> Result<Self, UnreadableMeta> {
        let head = serde_json::from_str::<RoomMeta>(text).ok();
        head.filter(|head| head.v == Self::VERSION)
            .ok_or_else(|| UnreadableMeta(text.into()))
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("three numbers can be written down")
    }

    /// The next member number: 1, 2, 3 …, never given out again.
    pub(crate) fn next_member(&mut self) -> u32 {
        self.members += 1;
        self.members
    }

    /// Moves the room's clock; it never goes back, whoever runs the room. One that is ahead of the store's time goes
    /// on, too, a little slower, so that nothing stands still until that has caught up (W16).
    pub(crate) fn advance(&mut self, now_ms: u64) {
        let store_ms = self.store_ms();
        let passed_ms = now_ms.saturating_sub(store_ms);
        // By the store's time, so that many short steps come to as much as a long one.
        let left_out_ms = (now_ms / PACE).saturating_sub(store_ms / PACE);
        self.now_ms = now_ms.max(self.now_ms + passed_ms - left_out_ms);
        self.store_ms = (self.now_ms != now_ms).then_some(now_ms);
    }

    /// The store's time when the room's clock was moved last.
    pub(crate) fn store_ms(&self) -> u64 {
        self.store_ms.unwrap_or(self.now_ms)
    }

    /// Returns the store's time when the room's clock shows this.
    pub(crate) fn to_store(&self, at_ms: u64) -> u64 {
        match self.store_ms {
            None => at_ms,
            Some(store_ms) => {
                let left_ms = at_ms.saturating_sub(self.now_ms);
                let slower_ms = left_ms + left_ms.div_ceil(PACE - 1);
                at_ms.min(store_ms.saturating_add(slower_ms))
            }
        }
    }

    /// The room's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn w16_a_rooms_clock_that_is_ahead_goes_on_and_is_caught_up_with() {
        let mut head = RoomMeta::new();
        head.advance(1_000 + HOUR_MS);
        let (mut before_ms, mut store_ms) = (head.now_ms(), 1_000);
        head.advance(store_ms);
        assert_eq!(head.now_ms(), before_ms);
        for minute in 1.. {
            store_ms += 60_000;
            // As another worker would find it.
            head = RoomMeta::read(&head.write()).unwrap();
            head.advance(store_ms);
            if head.now_ms() == store_ms {
                assert!((49 * 60..=51 * 60).contains(&minute), "{minute}");
                break;
            }
            let passed_ms = head.now_ms() - before_ms;
            assert!((58_000..=60_000).contains(&passed_ms), "{passed_ms}");
            before_ms = head.now_ms();
        }
        assert_eq!(RoomMeta::read(&head.write()).unwrap(), head);
        assert!(!head.write().contains("store_ms"));
    }

    #[test]
    fn w16_a_rooms_clock_that_is_ahead_goes_on_in_steps_of_any_length() {
        for step_ms in [1, 2, 7, 49, 50, 51, 1_000] {
            let mut head = RoomMeta::new();
            head.advance(1_000 + HOUR_MS);
            let (start_ms, mut store_ms) = (head.now_ms(), 1_000);
            head.advance(store_ms);
            for _ in 0..1_000 {
                let before_ms = head.now_ms();
                store_ms += step_ms;
                head.advance(store_ms);
                assert!((head.now_ms() - before_ms).abs_diff(step_ms) <= step_ms.div_ceil(PACE));
            }
            let passed_ms = head.now_ms() - start_ms;
            assert_eq!(passed_ms, step_ms * 980, "{step_ms} ms each");
        }
    }

    #[test]
    fn w16_a_wake_is_kept_in_the_stores_time_and_never_early_on_the_rooms_clock() {
        for ahead_ms in [0, 1, 777, HOUR_MS] {
            for in_ms in [0, 1, 49, 50, 51, 100, 999, 10_000, 5 * HOUR_MS] {
                let mut head = RoomMeta::new();
                head.advance(10_000 + ahead_ms);
                head.advance(10_000);
                let at_ms = head.now_ms() + in_ms;
                let wake_ms = head.to_store(at_ms);
                assert!(wake_ms <= 10_000 + in_ms + in_ms / 49 + 1);
                head.advance(wake_ms);
                assert!(head.now_ms() >= at_ms, "{ahead_ms} {in_ms}");
            }
        }
    }
}
