//! The time until a room is asked again: longer each time. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Waits for a room's word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// When it was last asked.
    at: Instant,
    /// The number of retries since anything was heard.
    tries: u32,
}

/// The number of times that the time doubles.
const DOUBLINGS: u32 = 3;

impl Patience {
    /// It is asked now.
    pub(crate) fn new(now: Instant) -> Self {
        Patience { at: now, tries: 0 }
    }

    /// When it was last asked.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// When to ask again, where the first time takes so long.
    pub(crate) fn ends(&self, first: Duration) -> Instant {
        self.at + first * (1 << self.tries.min(DOUBLINGS))
    }

    /// It is asked again.
    pub(crate) fn again(&mut self, now: Instant) {
        self.at = now;
        self.tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_a_room_that_is_silent_is_asked_less_and_less() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let ends = patience.ends(Duration::from_secs(1));
            waits.push((ends - patience.at()).as_secs());
            patience.again(ends);
        }
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
    }
}
