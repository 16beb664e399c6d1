use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Jump, Timeline, Which, Witness, elapsed, time_of_day_ms};

/// The store's time: it goes on as elapsed time does from where the store was opened, and the difference to the
/// time of day is worked off (T1, T3).
#[derive(Debug)]
pub(super) struct Clock(Mutex<Times>);

#[derive(Debug)]
struct Times {
    timeline: Timeline,
    witness: Witness,
    newest_ms: u64,
}

/// What was last written down of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written {
    /// The store's time.
    pub(super) store_ms: u64,
    /// The time of day at that moment; 0 where it is not known.
    pub(super) day_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        let (elapsed, day_ms) = (elapsed(), time_of_day_ms());
        Clock(Mutex::new(Times::begin(
            Written::default(),
            elapsed,
            day_ms,
        )))
    }
}

impl Clock {
    /// What time it is.
    pub(super) fn now_ms(&self) -> u64 {
        // Under the lock, so that of two readings the later one is not the smaller.
        let mut times = self.0.lock();
        times.now_ms(elapsed())
    }

    /// What is to be written down along with what happens now.
    pub(super) fn written(&self, now_ms: u64) -> Written {
        Written {
            store_ms: now_ms,
            day_ms: time_of_day_ms(),
        }
    }

    /// Goes on from where a store was left.
    pub(super) fn resume(&self, written: Written) {
        let (elapsed, day_ms) = (elapsed(), time_of_day_ms());
        if day_ms < written.day_ms
            && let Some(jump) = Jump::of(written.day_ms, day_ms)
        {
            jump.report(Which::System);
        }
        *self.0.lock() = Times::begin(written, elapsed, day_ms);
    }

    /// Compares with the time of day, which is to happen every second or so.
    pub(super) fn compare(&self) {
        let jump = self.0.lock().compare(elapsed(), time_of_day_ms());
        if let Some(jump) = jump {
            jump.report(Which::System);
        }
    }

    /// Jumps ahead, as if so much time had passed.
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "for tests"))]
    pub(super) fn advance(&self, by: Duration) {
        let mut times = self.0.lock();
        let elapsed = elapsed();
        let ahead_ms = times.now_ms(elapsed) + by.as_millis() as u64;
        times.timeline = Timeline::at(ahead_ms, elapsed);
    }
}

impl Times {
    /// The times of a store that was left so: since then the time of day has gone on, if it has not gone back.
    fn begin(written: Written, elapsed: Duration, day_ms: u64) -> Self {
        let Written {
            store_ms,
            day_ms: then_ms,
        } = written;
        let down_ms = match then_ms {
            0 => day_ms.saturating_sub(store_ms),
            then_ms => day_ms.saturating_sub(then_ms),
        };
        let now_ms = store_ms + down_ms;
        Times {
            timeline: Timeline::at(now_ms, elapsed),
            witness: Witness::since(elapsed, day_ms),
            newest_ms: now_ms,
        }
    }

    fn now_ms(&mut self, elapsed: Duration) -> u64 {
        self.newest_ms = self.newest_ms.max(self.timeline.now_ms(elapsed));
        self.newest_ms
    }

    fn compare(&mut self, elapsed: Duration, day_ms: u64) -> Option<Jump> {
        self.timeline.lean(elapsed, day_ms);
        self.witness.sees(elapsed, day_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const START_MS: u64 = 1_800_000_000_000;
    const UP: Duration = Duration::from_secs(500);

    #[test]
    fn t4_a_store_goes_on_from_where_it_was_left() {
        let left = |store_ms, day_ms| Written { store_ms, day_ms };
        let opens = |written, day_ms| Times::begin(written, UP, day_ms).now_ms(UP);
        // Ten minutes later.
        let later_ms = START_MS + 600_000;
        assert_eq!(opens(left(START_MS, START_MS), later_ms), later_ms);
        // The clock was wrong when it was left, and is right now: no hour has passed.
        let wrong = left(START_MS, START_MS + HOUR_MS);
        assert_eq!(opens(wrong, later_ms), START_MS);
        // It is still wrong.
        assert_eq!(opens(wrong, later_ms + HOUR_MS), later_ms);
        // Its own time was ahead of the clock.
        let ahead = left(START_MS + HOUR_MS, START_MS);
        assert_eq!(opens(ahead, later_ms), later_ms + HOUR_MS);
        // It was set back meanwhile.
        let before_ms = START_MS - HOUR_MS;
        assert_eq!(opens(left(START_MS, START_MS), before_ms), START_MS);
        // An older version wrote down only one of the two.
        assert_eq!(opens(left(START_MS, 0), later_ms), later_ms);
        assert_eq!(opens(left(START_MS, 0), before_ms), START_MS);
        assert_eq!(opens(Written::default(), START_MS), START_MS);
    }

    #[test]
    fn t1_a_store_left_ahead_of_the_clock_does_not_stand_still() {
        let written = Written {
            store_ms: START_MS + HOUR_MS,
            day_ms: 0,
        };
        let mut times = Times::begin(written, UP, START_MS);
        let opened_ms = times.now_ms(UP);
        for second in 1..=100 {
            let elapsed = UP + Duration::from_secs(second);
            let jump = times.compare(elapsed, START_MS + second * 1_000);
            assert_eq!(jump, None);
            assert!(times.now_ms(elapsed) >= opened_ms + second * 975);
        }
    }
}
