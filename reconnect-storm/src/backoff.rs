use std::time::Duration;

use rand::{Rng, RngExt};

/// The wait of a client before it tries again (D2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// `random(0, min(cap, base·2^k))` before attempt `k`, counted from 0.
    Jitter {
        /// The bound of the first wait.
        base: Duration,
        /// The highest bound.
        cap: Duration,
    },
    /// At once, then after `min(cap, base·2^(k-1))`: the waits of a client without jitter.
    Prompt {
        /// The wait before the second attempt.
        base: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// The same wait each time: how a naive client makes a storm.
    Fixed(Duration),
}

impl Default for Backoff {
    /// The wait that D2 asks for.
    fn default() -> Self {
        Backoff::Jitter {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// Returns the wait before an attempt, counted from 0.
    pub fn delay(self, attempt: u32, rng: &mut impl Rng) -> Duration {
        match self {
            Backoff::Jitter { base, cap } => {
                bound(base, cap, attempt).mul_f64(rng.random_range(0.0..1.0))
            }
            Backoff::Prompt { base, cap } => attempt
                .checked_sub(1)
                .map_or(Duration::ZERO, |doublings| bound(base, cap, doublings)),
            Backoff::Fixed(delay) => delay,
        }
    }
}

fn bound(base: Duration, cap: Duration, doublings: u32) -> Duration {
    let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(cap)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn without_jitter_the_first_attempt_comes_at_once() {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut rng = StdRng::seed_from_u64(7);
        let mut wait = |attempt| Backoff::Prompt { base, cap }.delay(attempt, &mut rng);
        let waits = [0, 1, 2, 3, 40].map(|attempt| wait(attempt).as_millis());
        assert_eq!(waits, [0, 500, 1000, 2000, 30_000]);
    }

    #[test]
    fn d2_doubles_up_to_the_cap_and_draws_below_it() {
        let mut rng = StdRng::seed_from_u64(7);
        for (attempt, bound_ms) in [(0, 500), (1, 1000), (3, 4000), (6, 30_000), (40, 30_000)] {
            let bound = Duration::from_millis(bound_ms);
            let delays: Vec<_> = (0..200)
                .map(|_| Backoff::default().delay(attempt, &mut rng))
                .collect();
            assert!(
                delays.iter().all(|delay| *delay < bound),
                "attempt {attempt}"
            );
            assert!(
                delays.iter().any(|delay| *delay > bound / 2),
                "attempt {attempt}"
            );
            assert!(
                delays.iter().any(|delay| *delay < bound / 2),
                "attempt {attempt}"
            );
        }
    }
}
