use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The longest sleep without a look at the clock.
const NAP_MAX_MS: u64 = 1_000;

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

    /// Waits until the clock shows this time; for ever where there is none.
    pub(crate) async fn reaches(&self, at_ms: Option<u64>) {
        match at_ms {
            Some(at_ms) => loop {
                let left_ms = at_ms.saturating_sub(self.now_ms());
                if left_ms == 0 {
                    return;
                }
                // The clock may be set meanwhile.
                let nap_ms = left_ms.min(NAP_MAX_MS);
                tokio::time::sleep(Duration::from_millis(nap_ms)).await;
            },
            None => std::future::pending().await,
        }
    }
}
