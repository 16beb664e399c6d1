//! When each socket moves while a gateway drains (D3). Pure: `now` is an argument, and so is chance.

use std::time::Duration;

use outlast_protocol::ServerFrame;
use tokio::time::Instant;

/// The time that a gateway takes to go. Its sockets move in the first part of it, one after the other at
/// equal distances; the last part is there for the last of them to attach elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    start: Instant,
    /// When the last one moves, at the latest.
    last: Instant,
    end: Instant,
}

/// When one socket moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moving {
    at: Instant,
    by: Instant,
}

/// How long the last ones that move have for it, unless the window is short.
const BEHIND: Duration = Duration::from_secs(5);

impl Window {
    pub(crate) fn new(start: Instant, length: Duration) -> Self {
        let end = start + length;
        Window {
            start,
            last: end - BEHIND.min(length / 3),
            end,
        }
    }

    /// When what remains is closed.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// Whether there is no time to move.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The moves of so many sockets, evenly spread.
    pub(crate) fn moves(&self, sockets: usize) -> impl Iterator<Item = Moving> + use<> {
        let Window { start, last, end } = *self;
        let span = last - start;
        (0..sockets).map(move |number| Moving {
            at: start + span.mul_f64(number as f64 / sockets as f64),
            by: end,
        })
    }

    /// The move of a socket that got its session when the others had been told already. `chance`, from 0
    /// to 1, says where in what is left.
    pub(crate) fn late(&self, now: Instant, chance: f64) -> Moving {
        let left = self.last.saturating_duration_since(now);
        Moving {
            at: now + left.mul_f64(chance),
            by: self.end,
        }
    }
}

impl Moving {
    /// What the client is told, as it is now: both times count from when it hears of them.
    pub(crate) fn frame(&self, now: Instant) -> ServerFrame {
        let ms = |at: Instant| at.saturating_duration_since(now).as_millis() as u64;
        ServerFrame::Move {
            after_ms: ms(self.at),
            by_ms: ms(self.by),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(moving: Moving, now: Instant) -> (u64, u64) {
        let ServerFrame::Move { after_ms, by_ms } = moving.frame(now) else {
            panic!("no move")
        };
        (after_ms, by_ms)
    }

    proptest! {
        #[test]
        fn d3_moves_are_evenly_spread_and_leave_time_behind_the_last(
            sockets in 1_usize..20_000,
            drain_ms in 1_000_u64..120_000,
        ) {
            let start = Instant::now();
            let window = Window::new(start, Duration::from_millis(drain_ms));
            let moves: Vec<_> = window.moves(sockets).map(|moving| told(moving, start)).collect();
            prop_assert_eq!(moves.len(), sockets);
            let behind = (drain_ms as f64 / 3.0).min(5_000.0);
            let spacing = (drain_ms as f64 - behind) / sockets as f64;
            for (number, (after_ms, by_ms)) in moves.iter().enumerate() {
                let even = spacing * number as f64;
                prop_assert!((*after_ms as f64 - even).abs() <= 1.0, "{after_ms} {even}");
                prop_assert_eq!(*by_ms, drain_ms);
                prop_assert!((by_ms - after_ms) as f64 >= behind - 1.0);
            }
        }

        #[test]
        fn d3_who_comes_late_moves_in_what_is_left(
            drain_ms in 1_000_u64..120_000,
            passed in 0.0_f64..1.0,
            chance in 0.0_f64..1.0,
        ) {
            let start = Instant::now();
            let length = Duration::from_millis(drain_ms);
            let window = Window::new(start, length);
            let now = start + length.mul_f64(passed);
            let (after_ms, by_ms) = told(window.late(now, chance), now);
            prop_assert!(after_ms <= by_ms);
            prop_assert!(now + Duration::from_millis(by_ms) <= window.end());
        }
    }

    #[test]
    fn d3_times_count_from_when_they_are_told() {
        let start = Instant::now();
        let window = Window::new(start, Duration::from_secs(30));
        let second = window.moves(2).nth(1).unwrap();
        assert_eq!(told(second, start), (12_500, 30_000));
        assert_eq!(
            told(second, start + Duration::from_secs(10)),
            (2_500, 20_000)
        );
        assert_eq!(told(second, start + Duration::from_secs(40)), (0, 0));
    }
}
