//! The rate limit on a client's actions (A5). Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket, and how much of it the client has ignored.
#[derive(Debug)]
pub(crate) struct Rate {
    per_s: f64,
    tokens: f64,
    filled_at: Instant,
    /// The run of refusals that has not ended yet.
    refusals: Option<Refusals>,
}

#[derive(Debug)]
struct Refusals {
    first: Instant,
    last: Instant,
    count: u32,
}

/// What a client is told that acts too fast.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooFast {
    /// To come back with it in so many milliseconds.
    Later { retry_ms: u64 },
    /// That this is enough: it goes on and on.
    Enough,
}

/// For how many seconds' worth of actions a client saves up.
const BURST_S: f64 = 2.0;
/// Pause after which a client that was refused is asked to come back: it then finds a few tokens, not one.
const RETRY: Duration = Duration::from_millis(200);
/// A run of refusals ends when none came for this long.
const CALM: Duration = Duration::from_secs(2);
/// A run is enough when it lasts longer than this, with half as many refusals as may pass …
const RUN: Duration = Duration::from_secs(5);
/// … or when it holds more of them than so many bursts.
const BURSTS_MAX: f64 = 10.0;

impl Rate {
    pub(crate) fn new(actions_per_s: u32, now: Instant) -> Self {
        let per_s = f64::from(actions_per_s.max(1));
        Rate {
            per_s,
            tokens: per_s * BURST_S,
            filled_at: now,
            refusals: None,
        }
    }

    /// An action wants to pass.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), TooFast> {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_s).min(self.burst());
        self.filled_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        self.ignored(now)?;
        Err(TooFast::Later {
            retry_ms: RETRY.as_millis() as u64,
        })
    }

    /// An action came that the client had no business to send: after one that was refused.
    pub(crate) fn ignored(&mut self, now: Instant) -> Result<(), TooFast> {
        let burst = self.burst();
        let run = match &mut self.refusals {
            Some(run) if now.saturating_duration_since(run.last) <= CALM => run,
            run => run.insert(Refusals {
                first: now,
                last: now,
                count: 0,
            }),
        };
        run.last = now;
        run.count += 1;
        let (count, lasted) = (f64::from(run.count), run.last - run.first);
        let steady = count > lasted.as_secs_f64() * self.per_s / 2.0;
        if count > burst * BURSTS_MAX || (lasted > RUN && steady) {
            return Err(TooFast::Enough);
        }
        Ok(())
    }

    /// Actions that pass, per second.
    pub(crate) fn per_s(&self) -> u32 {
        self.per_s as u32
    }

    fn burst(&self) -> f64 {
        self.per_s * BURST_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a5_a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(50, start);
        assert!((0..100).all(|_| rate.take(start).is_ok()));
        assert_eq!(rate.take(start), Err(TooFast::Later { retry_ms: 200 }));
        let passed = (0..100)
            .filter(|_| rate.take(start + ms(1000)).is_ok())
            .count();
        assert_eq!(passed, 50);
    }

    #[test]
    fn a5_a_client_that_waits_as_told_is_never_closed() {
        let mut now = Instant::now();
        let mut rate = Rate::new(50, now);
        let mut left = 3_000;
        while left > 0 {
            match rate.take(now) {
                Ok(()) => left -= 1,
                Err(TooFast::Later { retry_ms }) => now += ms(retry_ms),
                Err(TooFast::Enough) => panic!("closed with {left} left"),
            }
        }
    }

    #[test]
    fn a5_a_client_that_goes_on_is_closed() {
        let start = Instant::now();
        let flood = |gap: Duration| {
            let mut rate = Rate::new(50, start);
            (0..10_000u32).position(|i| rate.take(start + gap * i) == Err(TooFast::Enough))
        };
        assert_eq!(flood(ms(0)), Some(1100));
        // 100 a second: twice the rate, so half of what comes is refused.
        let position = flood(ms(10)).unwrap();
        assert!((600..1000).contains(&position), "{position}");
        assert_eq!(flood(ms(20)), None);
    }
}
