use std::time::Instant;

use parking_lot::Mutex;

/// The store's clock, kept between the store's answers by this machine's own.
///
/// It is never ahead of the store's by more than the two clocks drift apart from one answer to the next.
#[derive(Debug)]
pub(crate) struct StoreClock {
    heard: Mutex<(u64, Instant)>,
}

impl StoreClock {
    pub(crate) fn new(now_ms: u64) -> Self {
        StoreClock {
            heard: Mutex::new((now_ms, Instant::now())),
        }
    }

    /// The store has just said what time it is.
    pub(crate) fn set(&self, now_ms: u64) {
        *self.heard.lock() = (now_ms, Instant::now());
    }

    /// What the store would say, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        let (now_ms, at) = *self.heard.lock();
        now_ms + at.elapsed().as_millis() as u64
    }
}
