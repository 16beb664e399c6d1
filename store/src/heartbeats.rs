//! The living processes, as one observer sees them. Pure.

use std::collections::HashMap;

use crate::{Node, NodeId};

/// An observer's memory of when members were last heard of (T6).
///
/// A heartbeat bears the time at which it was sent, as its sender knew it. That is believed as far as it agrees with what
/// the observer saw: nobody was heard of later than now, and who is heard of anew lives, whatever its heartbeat says.
#[derive(Debug, Default)]
pub struct Heartbeats {
    /// When it last looked.
    looked_ms: u64,
    heard: HashMap<NodeId, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    /// The stamp of the heartbeat.
    stamp_ms: u64,
    /// When it was, as far as the observer can tell.
    at_ms: u64,
}

impl Heartbeats {
    /// Looks at everybody at this time. Returns the same members, with when they were heard of by the observer's own
    /// reckoning.
    pub fn look(&mut self, now_ms: u64, members: &[Node]) -> Vec<Node> {
        // The time may have been set back.
        let looked_ms = self.looked_ms.min(now_ms);
        let heard = members.iter().map(|member| {
            let stamp_ms = member.heard_ms;
            let at_ms = match self.heard.get(&member.id) {
                None => stamp_ms.min(now_ms),
                Some(before) if before.stamp_ms == stamp_ms => before.at_ms.min(now_ms),
                Some(_) => stamp_ms.clamp(looked_ms, now_ms),
            };
            (member.id.clone(), Heard { stamp_ms, at_ms })
        });
        self.heard = heard.collect();
        self.looked_ms = now_ms;
        let seen = |member: &Node| Node {
            heard_ms: self.heard.get(&member.id).map_or(0, |heard| heard.at_ms),
            ..member.clone()
        };
        members.iter().map(seen).collect()
    }

    /// Returns the stamp of a member's newest heartbeat, as of the last look.
    pub fn stamp_ms(&self, id: &NodeId) -> Option<u64> {
        self.heard.get(id).map(|heard| heard.stamp_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    const HOUR_MS: u64 = 3_600_000;

    fn member(heard_ms: u64) -> [Node; 1] {
        [Node {
            id: "worker1".into(),
            role: Role::Worker,
            heard_ms,
        }]
    }

    fn heard_ms(heartbeats: &mut Heartbeats, now_ms: u64, stamp_ms: u64) -> u64 {
        heartbeats.look(now_ms, &member(stamp_ms))[0].heard_ms
    }

    #[test]
    fn t6_a_heartbeat_counts_for_what_it_says() {
        let mut heartbeats = Heartbeats::default();
        // Also one from before the observer came.
        for (now_ms, stamp_ms) in [(50_000, 20_000), (50_200, 50_100), (50_400, 50_100)] {
            assert_eq!(heard_ms(&mut heartbeats, now_ms, stamp_ms), stamp_ms);
            assert_eq!(heartbeats.stamp_ms(&"worker1".into()), Some(stamp_ms));
        }
    }

    #[test]
    fn t6_a_heartbeat_from_the_future_counts_from_when_it_was_seen() {
        let mut heartbeats = Heartbeats::default();
        let stamp_ms = 50_000 + HOUR_MS;
        for now_ms in (50_000..60_000).step_by(200) {
            assert_eq!(heard_ms(&mut heartbeats, now_ms, stamp_ms), 50_000);
        }
        assert_eq!(heard_ms(&mut heartbeats, 60_000, stamp_ms + 400), 60_000);
        assert_eq!(heartbeats.stamp_ms(&"worker1".into()), Some(stamp_ms + 400));
    }

    #[test]
    fn t6_who_is_heard_of_lives_though_its_heartbeats_are_an_hour_late() {
        let mut heartbeats = Heartbeats::default();
        heard_ms(&mut heartbeats, 10 * HOUR_MS, 9 * HOUR_MS);
        for look in 1..20 {
            let now_ms = 10 * HOUR_MS + look * 400;
            let heard_ms = heard_ms(&mut heartbeats, now_ms, now_ms - HOUR_MS);
            assert!(now_ms - heard_ms <= 400);
        }
    }

    #[test]
    fn t6_nobody_lives_longer_because_the_time_was_set_back() {
        let mut heartbeats = Heartbeats::default();
        heard_ms(&mut heartbeats, 10 * HOUR_MS, 10 * HOUR_MS);
        for now_ms in (9 * HOUR_MS..9 * HOUR_MS + 5_000).step_by(200) {
            assert_eq!(heard_ms(&mut heartbeats, now_ms, 10 * HOUR_MS), 9 * HOUR_MS);
        }
    }
}
