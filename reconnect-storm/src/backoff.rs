use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// How long a client waits before it tries again (D2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// `random(0, min(cap, base·2^k))` before attempt `k`, counted from 0.
    Jitter {
        /// The bound of the first wait.
        base: Duration,
        /// The highest bound.
        cap: Duration,
    },
    /// The same wait each time: how a naive client makes a storm.
    Fixed(Duration),
}

impl Default for Backoff {
    /// What D2 asks for.
    fn default() -> Self {
        Backoff::Jitter {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    pub(crate) fn delay(self, attempt: u32, rng: &mut StdRng) -> Duration {
        match self {
            Backoff::Jitter { base, cap } => {
                let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
                let bound = base.saturating_mul(factor).min(cap);
                bound.mul_f64(rng.random_range(0.0..1.0))
            }
            Backoff::Fixed(delay) => delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

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
