//! When each socket moves while a gateway drains (D3). Pure: `now` is an argument, and so is chance.

use std::time::Duration;

use outlast_protocol::ServerFrame;
use tokio::time::Instant;

/// The time that a gateway takes to go. As many of its sockets as the other gateways take in their stride move at
/// once, since it may have no more than two seconds (D5); the others one after the other at equal distances. The
/// last part is there for the last of them to attach elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    start: Instant,
    /// The most that move in one second.
    per_s: u32,
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

/// Time for the last ones that move, unless the window is short.
const BEHIND: Duration = Duration::from_secs(5);

/// Over how much time those move who move at once: no less, so that a few do not come in one moment, and no more,
/// so that the last of them have time for it.
const AT_ONCE: (Duration, Duration) = (Duration::from_millis(750), Duration::from_millis(1_500));

/// Which part of the rate at which gateways let in those may take who move at once, and how many a second that is at
/// most: a rate that nobody has set says what a gateway bears in a storm.
const SHARE_OF_RATE: u32 = 3;
const AT_ONCE_PER_S_MAX: u32 = 1_000;

impl Window {
    /// `attach_rate` is how many sockets a second another gateway lets in (D1).
    pub(crate) fn new(start: Instant, length: Duration, attach_rate: u32) -> Self {
        let end = start + length;
        Window {
            per_s: (attach_rate / SHARE_OF_RATE).clamp(1, AT_ONCE_PER_S_MAX),
            start,
            last: end - BEHIND.min(length / 3),
            end,
        }
    }

    /// When what remains is closed.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// True if there is no time to move.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The moves of so many sockets, evenly spread: those that move at once, and then the others.
    pub(crate) fn moves(&self, sockets: usize) -> impl Iterator<Item = Moving> + use<> {
        let Window {
            start, last, end, ..
        } = *self;
        let span = last - start;
        let per_s = f64::from(self.per_s);
        let needed = Duration::from_secs_f64(sockets as f64 / per_s);
        let quick_span = needed.clamp(AT_ONCE.0, AT_ONCE.1).min(span);
        let quick = match needed <= quick_span {
            true => sockets,
            false => sockets.min((per_s * quick_span.as_secs_f64()) as usize),
        };
        let even = |span: Duration, number: usize, of: usize| {
            span.mul_f64(number as f64 / of.max(1) as f64)
        };
        (0..sockets).map(move |number| {
            let after = match number.checked_sub(quick) {
                None => even(quick_span, number, quick),
                Some(later) => quick_span + even(span - quick_span, later, sockets - quick),
            };
            let (at, by) = (start + after, end);
            Moving { at, by }
        })
    }

    /// The move of a socket that got its session when the others had been told already: at once, too. `chance`, from
    /// 0 to 1, says how soon.
    pub(crate) fn late(&self, now: Instant, chance: f64) -> Moving {
        let left = self.last.saturating_duration_since(now).min(AT_ONCE.0);
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
            attach_rate in 400_u32..40_000,
        ) {
            let start = Instant::now();
            let window = Window::new(start, Duration::from_millis(drain_ms), attach_rate);
            let moves: Vec<_> = window.moves(sockets).map(|moving| told(moving, start)).collect();
            prop_assert_eq!(moves.len(), sockets);
            let behind_ms = (drain_ms as f64 / 3.0).min(5_000.0);
            let span_ms = drain_ms as f64 - behind_ms;
            let per_ms = f64::from((attach_rate / 3).min(1_000)) / 1_000.0;
            let needed_ms = sockets as f64 / per_ms;
            let quick_ms = needed_ms.clamp(750.0, 1_500.0).min(span_ms);
            let quick = match needed_ms <= quick_ms {
                true => sockets,
                false => sockets.min((per_ms * quick_ms) as usize),
            };
            // One socket more or less may move at once.
            let off_max = |span_ms: f64, count: usize| 2.0 * span_ms / count.max(1) as f64 + 2.0;
            for (number, (after_ms, by_ms)) in moves.iter().enumerate() {
                let later_ms = span_ms - quick_ms;
                let (even, off_max) = match number.checked_sub(quick) {
                    None => (quick_ms * number as f64 / quick as f64, off_max(quick_ms, quick)),
                    Some(later) => (
                        quick_ms + later_ms * later as f64 / (sockets - quick) as f64,
                        off_max(later_ms, sockets - quick),
                    ),
                };
                prop_assert!((*after_ms as f64 - even).abs() <= off_max, "{after_ms} {even}");
                prop_assert_eq!(*by_ms, drain_ms);
                prop_assert!((by_ms - after_ms) as f64 >= behind_ms - 1.0);
            }
        }

        #[test]
        fn d5_no_more_move_at_once_than_others_take_in_their_stride(
            sockets in 1_usize..20_000,
            attach_rate in 400_u32..40_000,
        ) {
            let start = Instant::now();
            let window = Window::new(start, Duration::from_secs(30), attach_rate);
            let moves: Vec<_> = window.moves(sockets).map(|moving| told(moving, start).0).collect();
            let bearable = (attach_rate as usize / 3).min(1_000);
            let in_the_first = |ms: u64| moves.iter().filter(|after_ms| **after_ms < ms).count();
            prop_assert!(in_the_first(1_000) <= bearable + 2);
            let at_once = sockets.min(bearable * 3 / 2);
            prop_assert!(in_the_first(1_501) + 2 >= at_once, "{} of {at_once}", in_the_first(1_501));
            prop_assert!(moves.is_sorted());
        }

        #[test]
        fn d3_who_comes_late_moves_in_what_is_left(
            drain_ms in 1_000_u64..120_000,
            passed in 0.0_f64..1.0,
            chance in 0.0_f64..1.0,
        ) {
            let start = Instant::now();
            let length = Duration::from_millis(drain_ms);
            let window = Window::new(start, length, 4_000);
            let now = start + length.mul_f64(passed);
            let (after_ms, by_ms) = told(window.late(now, chance), now);
            prop_assert!(after_ms <= by_ms.min(750));
            prop_assert!(now + Duration::from_millis(by_ms) <= window.end());
        }
    }

    #[test]
    fn d3_times_count_from_when_they_are_told() {
        let start = Instant::now();
        let window = Window::new(start, Duration::from_secs(30), 3);
        let last = window.moves(4).nth(3).unwrap();
        assert_eq!(told(last, start), (17_166, 30_000));
        assert_eq!(told(last, start + Duration::from_secs(10)), (7_166, 20_000));
        assert_eq!(told(last, start + Duration::from_secs(40)), (0, 0));
    }
}
