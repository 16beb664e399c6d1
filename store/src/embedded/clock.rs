use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Jump, Timeline, Which, Witness, boot, elapsed, time_of_day_ms};

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

/// The time as it was last written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SavedClock {
    /// The store's time.
    pub(super) store_ms: u64,
    /// The time of day at that moment; 0 where it is not known.
    pub(super) day_ms: u64,
    /// Which start of the machine that was in; 0 where it is not known.
    pub(super) boot: u64,
    /// The time for which the machine had been up.
    pub(super) up_ms: u64,
}

/// The clocks of a process that opens a store.
#[derive(Debug, Clone, Copy)]
struct MachineClock {
    elapsed: Duration,
    boot: u64,
    day_ms: u64,
}

impl MachineClock {
    fn now() -> Self {
        MachineClock {
            elapsed: elapsed(),
            boot: boot(),
            day_ms: time_of_day_ms(),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock(Mutex::new(Times::begin(
            SavedClock::default(),
            MachineClock::now(),
        )))
    }
}

impl Clock {
    /// Returns the time.
    pub(super) fn now_ms(&self) -> u64 {
        // Under the lock, so that of two readings the later one is not the smaller.
        let mut times = self.0.lock();
        times.now_ms(elapsed())
    }

    /// Returns the clock to be written down along with what happens now.
    pub(super) fn written(&self, now_ms: u64) -> SavedClock {
        SavedClock {
            store_ms: now_ms,
            day_ms: time_of_day_ms(),
            boot: boot(),
            up_ms: elapsed().as_millis() as u64,
        }
    }

    /// Goes on from where a store was left.
    pub(super) fn resume(&self, written: SavedClock) {
        let found = MachineClock::now();
        if found.day_ms < written.day_ms
            && let Some(jump) = Jump::of(written.day_ms, found.day_ms)
        {
            jump.report(Which::System);
        }
        *self.0.lock() = Times::begin(written, found);
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
    /// The times of a store that was left so. Since then as much time has passed as the machine has been up, or, where
    /// it was started anew, as the time of day has gone on, if it has not gone back (T4).
    fn begin(written: SavedClock, found: MachineClock) -> Self {
        let MachineClock {
            elapsed,
            boot,
            day_ms,
        } = found;
        let store_ms = written.store_ms;
        let same_boot = boot != 0 && written.boot == boot;
        let up_ms = (elapsed.as_millis() as u64).checked_sub(written.up_ms);
        let down_ms = match (up_ms.filter(|_| same_boot), written.day_ms) {
            (Some(down_ms), _) => down_ms,
            (None, 0) => day_ms.saturating_sub(store_ms),
            (None, then_ms) => day_ms.saturating_sub(then_ms),
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

    fn found(boot: u64, day_ms: u64) -> MachineClock {
        MachineClock {
            elapsed: UP,
            boot,
            day_ms,
        }
    }

    #[test]
    fn t4_while_the_machine_is_up_no_clock_that_anybody_sets_counts() {
        let written = SavedClock {
            store_ms: START_MS,
            day_ms: START_MS - HOUR_MS,
            boot: 7,
            up_ms: 490_000,
        };
        let opens = |boot, day_ms| Times::begin(written, found(boot, day_ms)).now_ms(UP);
        // It was wrong by an hour, and put right just before the process died.
        assert_eq!(opens(7, START_MS), START_MS + 10_000);
        assert_eq!(opens(7, START_MS - 2 * HOUR_MS), START_MS + 10_000);
        // After a new start of the machine there is nothing else to go by.
        assert_eq!(opens(8, START_MS - HOUR_MS + 60_000), START_MS + 60_000);
        assert_eq!(opens(0, START_MS - HOUR_MS + 60_000), START_MS + 60_000);
    }

    #[test]
    fn t4_a_store_goes_on_from_where_it_was_left() {
        let left = |store_ms, day_ms| SavedClock {
            store_ms,
            day_ms,
            ..SavedClock::default()
        };
        let opens = |written, day_ms| Times::begin(written, found(7, day_ms)).now_ms(UP);
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
        assert_eq!(opens(SavedClock::default(), START_MS), START_MS);
    }

    #[test]
    fn t1_a_store_left_ahead_of_the_clock_does_not_stand_still() {
        let written = SavedClock {
            store_ms: START_MS + HOUR_MS,
            ..SavedClock::default()
        };
        let mut times = Times::begin(written, found(7, START_MS));
        let opened_ms = times.now_ms(UP);
        for second in 1..=100 {
            let elapsed = UP + Duration::from_secs(second);
            let jump = times.compare(elapsed, START_MS + second * 1_000);
            assert_eq!(jump, None);
            assert!(times.now_ms(elapsed) >= opened_ms + second * 975);
        }
    }
}
