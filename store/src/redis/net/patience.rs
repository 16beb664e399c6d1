//! The wait for a Redis that is away when a process starts.

use std::time::Duration;

use tokio::time::Instant;

use crate::{StoreError, telemetry};

/// The time that it may be away in any case, so that both may be started together.
const WAIT_MIN: Duration = Duration::from_secs(3);

/// The longest time that the last attempt may take (L5).
const LAST_ATTEMPT: Duration = Duration::from_millis(1_300);

/// The interval at which it is said what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The wait for a Redis at the start of a process (L12).
#[derive(Debug)]
pub(in crate::redis) struct Patience {
    since: Instant,
    wait: Duration,
    /// True if anybody asked for more than [`WAIT_MIN`].
    asked: bool,
    said: Option<Instant>,
}

impl Patience {
    /// The wait that begins now, and lasts this long or [`WAIT_MIN`], whatever is longer.
    pub(in crate::redis) fn new(wait: Duration) -> Self {
        Patience {
            since: Instant::now(),
            wait: wait.max(WAIT_MIN),
            asked: wait > WAIT_MIN,
            said: None,
        }
    }

    /// When the last attempt is given up.
    pub(in crate::redis) fn end(&self) -> Instant {
        self.since + self.wait + LAST_ATTEMPT
    }

    /// True if there is another attempt after this one, which found nobody. Says so every now and then.
    pub(in crate::redis) fn goes_on(&mut self, why: &StoreError) -> bool {
        let waited = self.since.elapsed();
        if waited >= self.wait {
            return false;
        }
        if waited >= WAIT_MIN {
            metrics::counter!(telemetry::FAILED, "request" => "connect").increment(1);
        }
        if self.asked && self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let (waited_s, of_s) = (waited.as_secs(), self.wait.as_secs());
            tracing::warn!(%why, waited_s, of_s, "waiting for the store");
        }
        true
    }
}
