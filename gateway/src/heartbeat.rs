//! When to ping, and when a client counts as gone (F1). Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The heartbeat of one socket.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    every: Duration,
    sent: Instant,
    heard: Instant,
    /// When it was first pinged since it was last heard.
    asked: Option<Instant>,
}

/// What the heartbeat asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// A ping: nothing was sent for a heartbeat, or nothing heard.
    Ping,
    /// The end: nothing was heard for two, and a ping was answered by nothing for one.
    Silent,
}

impl Heartbeat {
    pub(crate) fn new(every: Duration, now: Instant) -> Self {
        Heartbeat {
            every,
            sent: now,
            heard: now,
            asked: None,
        }
    }

    /// Something is on its way to the client.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// A ping is on its way to the client.
    pub(crate) fn pinged(&mut self, now: Instant) {
        self.sent(now);
        self.asked.get_or_insert(now);
    }

    /// The client gave a sign of life, or could not have been heard.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// What is due now.
    pub(crate) fn due(&self, now: Instant) -> Due {
        if self.gone_at().is_some_and(|at| now >= at) {
            Due::Silent
        } else if now >= self.ping_at() {
            Due::Ping
        } else {
            Due::Nothing
        }
    }

    /// When to ask again.
    pub(crate) fn next(&self) -> Instant {
        let ping_at = self.ping_at();
        self.gone_at().map_or(ping_at, |at| at.min(ping_at))
    }

    /// A client that only listens where much is said has nothing to answer but a ping.
    fn ping_at(&self) -> Instant {
        let quiet = self.sent + self.every;
        match self.asked {
            None => quiet.min(self.heard + self.every),
            Some(_) => quiet,
        }
    }

    /// A gateway that could not ask in time, since it stood still, gives the client its time all the same.
    fn gone_at(&self) -> Option<Instant> {
        let asked = self.asked?;
        Some((asked + self.every).max(self.heard + self.every * 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn f1_pings_after_a_heartbeat_of_silence_and_gives_up_after_two() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(S(25), start);
        assert_eq!(beat.due(start + S(24)), Due::Nothing);
        assert_eq!(beat.next(), start + S(25));
        assert_eq!(beat.due(start + S(25)), Due::Ping);
        beat.pinged(start + S(25));
        assert_eq!(beat.due(start + S(49)), Due::Nothing);
        assert_eq!(beat.next(), start + S(50));
        assert_eq!(beat.due(start + S(50)), Due::Silent);
        beat.heard(start + S(30));
        assert_eq!(beat.due(start + S(50)), Due::Ping);
        beat.pinged(start + S(55));
        assert_eq!(beat.due(start + S(79)), Due::Nothing);
        assert_eq!(beat.due(start + S(80)), Due::Silent);
    }

    #[test]
    fn f1_who_only_listens_to_a_busy_room_is_asked_too() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(S(25), start);
        let mut pings = 0;
        for second in 1..1_000 {
            let now = start + S(second);
            beat.sent(now);
            match beat.due(now) {
                Due::Nothing => {}
                Due::Ping => {
                    beat.pinged(now);
                    beat.heard(now);
                    pings += 1;
                }
                Due::Silent => panic!("it answers, and counts as gone after {second} s"),
            }
        }
        assert_eq!(pings, 39);
    }

    #[test]
    fn f1_who_was_not_asked_in_time_is_not_gone() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(S(25), start);
        // The gateway stood still.
        assert_eq!(beat.due(start + S(60)), Due::Ping);
        beat.pinged(start + S(60));
        assert_eq!(beat.due(start + S(84)), Due::Nothing);
        assert_eq!(beat.next(), start + S(85));
        assert_eq!(beat.due(start + S(85)), Due::Silent);
    }
}
