use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one occasion pass in a while. For lines of the log that any number of clients may give occasion for.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    passed: Mutex<Option<Instant>>,
}

impl Throttle {
    /// One that lets an occasion pass after this time, and the first at once.
    pub const fn every(every: Duration) -> Self {
        Throttle {
            every,
            passed: Mutex::new(None),
        }
    }

    /// True if this occasion passes.
    pub fn passes(&self) -> bool {
        let mut passed = self.passed.lock();
        let passes = passed.is_none_or(|before| before.elapsed() >= self.every);
        if passes {
            *passed = Some(Instant::now());
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_occasions_at_once_one_passes() {
        let throttle = Throttle::every(Duration::from_secs(600));
        assert_eq!((0..100).filter(|_| throttle.passes()).count(), 1);
        let always = Throttle::every(Duration::ZERO);
        assert_eq!((0..100).filter(|_| always.passes()).count(), 100);
    }
}
