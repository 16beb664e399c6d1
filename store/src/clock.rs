//! Time as a store tells it (T1): it goes on as elapsed time does, whatever a clock that shows the time of day says
//! meanwhile. Pure, but for [`elapsed`] and [`time_of_day_ms`]: readings are arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::telemetry;

/// The difference from what elapsed time leads to expect, in milliseconds, beyond which a clock has jumped (T2).
pub(crate) const JUMP_MS: u64 = 1_000;

/// A difference to the time of day is worked off by one part in so many (T3).
pub(crate) const PACE: u64 = 50;

/// A smaller difference than this is left, in milliseconds.
const CLOSE_MS: u128 = 20;

/// Returns the time for which this machine has been up, while it slept included. It never goes back, and nobody sets it.
#[cfg(target_os = "linux")]
pub(crate) fn elapsed() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let up = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(up.tv_sec).unwrap_or(0),
        u32::try_from(up.tv_nsec).unwrap_or(0),
    )
}

/// Which start of this machine [`elapsed`] counts from; 0 where that cannot be told.
pub(crate) fn boot() -> u64 {
    static BOOT: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
        // A new one each time that Linux starts: https://man7.org/linux/man-pages/man4/random.4.html
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let id = uuid::Uuid::parse_str(id.trim()).unwrap_or_default();
        let (high, low) = id.as_u64_pair();
        high ^ low
    });
    *BOOT
}

/// The time since this was first asked. It never goes back, and nobody sets it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn elapsed() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed()
}

/// The system's clock, in milliseconds since the epoch; 0 before that.
pub(crate) fn time_of_day_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, whole_ms)
}

/// A clock that did not go on as time did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump {
    /// The time that it was to show, in milliseconds since the epoch.
    pub(crate) from_ms: u64,
    /// The time that it showed.
    pub(crate) to_ms: u64,
}

/// A clock that may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// This machine's time of day.
    System,
    /// Redis's.
    Store,
}

impl Jump {
    /// The jump, if it is one, of a clock that was to show the one and showed the other.
    pub(crate) fn of(from_ms: u64, to_ms: u64) -> Option<Self> {
        (from_ms.abs_diff(to_ms) > JUMP_MS).then_some(Jump { from_ms, to_ms })
    }

    /// Logs and counts it.
    pub(crate) fn report(self, which: Which) {
        let clock = match which {
            Which::System => "system",
            Which::Store => "store",
        };
        let Jump { from_ms, to_ms } = self;
        let by_ms = i128::from(to_ms) - i128::from(from_ms);
        tracing::warn!(clock, from_ms, to_ms, by_ms, "clock jumped; time goes on");
        metrics::counter!(telemetry::CLOCK_JUMPS, "clock" => clock).increment(1);
    }
}

/// Notices when a clock jumps that is read now and then.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    last: Option<(Duration, u64)>,
}

impl Witness {
    /// One who has seen the clock show this.
    pub(crate) fn since(elapsed: Duration, clock_ms: u64) -> Self {
        Witness {
            last: Some((elapsed, clock_ms)),
        }
    }

    /// The clock shows this.
    pub(crate) fn sees(&mut self, elapsed: Duration, clock_ms: u64) -> Option<Jump> {
        let (then, shown_ms) = self.last.replace((elapsed, clock_ms))?;
        let expected_ms = shown_ms + whole_ms(elapsed.saturating_sub(then));
        Jump::of(expected_ms, clock_ms)
    }
}

/// A time that goes on as elapsed time does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    /// The time since the epoch …
    at: Duration,
    /// … when this was elapsed.
    since: Duration,
    pace: Pace,
}

/// The speed of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Even,
    Slow,
    Fast,
}

impl Timeline {
    /// One that shows this time now.
    pub(crate) fn at(at_ms: u64, elapsed: Duration) -> Self {
        Timeline {
            at: Duration::from_millis(at_ms),
            since: elapsed,
            pace: Pace::Even,
        }
    }

    /// Returns the time that it shows, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self, elapsed: Duration) -> u64 {
        whole_ms(self.now(elapsed))
    }

    fn now(&self, elapsed: Duration) -> Duration {
        let passed = elapsed.saturating_sub(self.since);
        let part = passed / PACE as u32;
        self.at
            + match self.pace {
                Pace::Even => passed,
                Pace::Slow => passed - part,
                Pace::Fast => passed + part,
            }
    }

    /// Works the difference to the time of day off from now on, never by a step (T3).
    pub(crate) fn lean(&mut self, elapsed: Duration, clock_ms: u64) {
        let now = self.now(elapsed);
        let clock = Duration::from_millis(clock_ms);
        let pace = match now.abs_diff(clock).as_millis() {
            ..=CLOSE_MS => Pace::Even,
            _ if now > clock => Pace::Slow,
            _ => Pace::Fast,
        };
        *self = Timeline {
            at: now,
            since: elapsed,
            pace,
        };
    }
}

fn whole_ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const START_MS: u64 = 1_800_000_000_000;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn t2_a_clock_that_jumps_is_noticed_once_each_way() {
        for by_ms in [HOUR_MS as i64, -(HOUR_MS as i64), 1_500, -1_500] {
            let mut witness = Witness::default();
            let shows = |second: u64| {
                let wrong = (10..13).contains(&second);
                (START_MS + second * 1_000).saturating_add_signed(if wrong { by_ms } else { 0 })
            };
            let jumps = (0..20).filter_map(|second| witness.sees(s(second), shows(second)));
            let by = jumps.map(|jump| jump.to_ms as i64 - jump.from_ms as i64);
            assert_eq!(by.collect::<Vec<_>>(), [by_ms, -by_ms]);
        }
    }

    #[test]
    fn t2_a_clock_that_is_read_late_or_set_a_little_has_not_jumped() {
        let mut witness = Witness::default();
        for (second, ms) in [(0, 0), (60, 60_900), (61, 61_000), (7_261, 7_261_000)] {
            assert_eq!(witness.sees(s(second), START_MS + ms), None);
        }
    }

    #[test]
    fn t1_time_goes_on_while_the_clock_is_wrong() {
        for by_ms in [HOUR_MS as i64, -(HOUR_MS as i64)] {
            let mut time = Timeline::at(START_MS, s(100));
            for second in 1..=3 {
                let clock_ms = (START_MS + second * 1_000).saturating_add_signed(by_ms);
                time.lean(s(100 + second), clock_ms);
            }
            let off = time.now_ms(s(103)).abs_diff(START_MS + 3_000);
            assert!(off <= 60, "{off} ms off after 3 s");
        }
    }

    #[test]
    fn t3_a_difference_is_worked_off_and_never_by_a_step() {
        for ahead_ms in [60_000_i64, -60_000] {
            let mut time = Timeline::at(START_MS.saturating_add_signed(ahead_ms), s(0));
            let mut shown_ms = time.now_ms(s(0));
            let mut took = 0;
            for second in 1..=10_000 {
                let (elapsed, clock_ms) = (s(second), START_MS + second * 1_000);
                let now_ms = time.now_ms(elapsed);
                assert!((980..=1_020).contains(&(now_ms - shown_ms)));
                shown_ms = now_ms;
                time.lean(elapsed, clock_ms);
                if now_ms.abs_diff(clock_ms) <= 40 {
                    took = second;
                    break;
                }
            }
            assert!((2_900..=3_100).contains(&took), "it took {took} s");
        }
    }
}
