//! When to ping, and when a client counts as gone (F1). Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The heartbeat of one socket.
#[derive(Debug)]
pub(crate) struct Beat {
    every: Duration,
    sent: Instant,
    heard: Instant,
}

/// What the heartbeat asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// A ping: nothing was sent for a heartbeat.
    Ping,
    /// The end: nothing was heard for two.
    Silent,
}

impl Beat {
    pub(crate) fn new(every: Duration, now: Instant) -> Self {
        Beat {
            every,
            sent: now,
            heard: now,
        }
    }

    /// Something is on its way to the client.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// The client gave a sign of life, or could not have been heard.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What is due now.
    pub(crate) fn due(&self, now: Instant) -> Due {
        if now >= self.heard + self.every * 2 {
            Due::Silent
        } else if now >= self.sent + self.every {
            Due::Ping
        } else {
            Due::Nothing
        }
    }

    /// When to ask again.
    pub(crate) fn next(&self) -> Instant {
        (self.sent + self.every).min(self.heard + self.every * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_pings_after_a_heartbeat_of_silence_and_gives_up_after_two() {
        let start = Instant::now();
        let s = Duration::from_secs;
        let mut beat = Beat::new(s(25), start);
        assert_eq!(beat.due(start + s(24)), Due::Nothing);
        assert_eq!(beat.next(), start + s(25));
        assert_eq!(beat.due(start + s(25)), Due::Ping);
        beat.sent(start + s(25));
        assert_eq!(beat.due(start + s(49)), Due::Nothing);
        assert_eq!(beat.due(start + s(50)), Due::Silent);
        beat.heard(start + s(30));
        assert_eq!(beat.due(start + s(50)), Due::Ping);
        assert_eq!(beat.due(start + s(80)), Due::Silent);
    }
}
