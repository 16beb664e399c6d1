use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The store's clock: the system's, in milliseconds since the epoch, kept from going back. What was
/// read last is written down with each durable batch, so that a restart does not go back either.
#[derive(Debug, Default)]
pub(super) struct Clock {
    newest_ms: AtomicU64,
    ahead_ms: AtomicU64,
}

impl Clock {
    /// What time it is.
    pub(super) fn now_ms(&self) -> u64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH);
        let system_ms = system.map_or(0, |since| since.as_millis() as u64);
        self.not_before(system_ms + self.ahead_ms.load(Relaxed))
    }

    /// From now on it is at least this late; answers the time.
    pub(super) fn not_before(&self, ms: u64) -> u64 {
        self.newest_ms.fetch_max(ms, Relaxed).max(ms)
    }

    /// Jumps ahead of the system's clock.
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "for tests"))]
    pub(super) fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(by.as_millis() as u64, Relaxed);
    }
}
