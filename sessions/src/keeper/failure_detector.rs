//! The gateways that have been silent for too long. Pure: the time is that of the store, and comes with each poll.

use std::collections::HashMap;

use outlast_store::{Node, NodeId, Role};

/// The time that a gateway may be silent before it counts as dead.
const SILENCE_MS: u64 = 1_500;

/// The interval of heartbeats of gateways. One that was heard of at some moment may have lived for so much longer.
const BEAT_MS: u64 = 400;

/// Polls further apart than this are not continuous: a gateway that was heard of in the one, and beat
/// on time, might look dead in the other.
const GAP_MS: u64 = SILENCE_MS - BEAT_MS - 100;

/// The time for which a gateway is remembered that was struck off, perhaps by another keeper.
const REMEMBERED_MS: u64 = 600_000;

/// A keeper's memory of when it heard of whom.
///
/// When the store is away, everybody looks silent. So silence counts only while this keeper has had
/// answers itself, all the time.
#[derive(Debug, Default)]
pub(super) struct FailureDetector {
    /// The last poll.
    now_ms: u64,
    /// The first of the polls without a gap; none before the first, and after one that failed.
    since_ms: Option<u64>,
    /// True if a poll has failed since the last one that did not.
    missed: bool,
    /// When the store came back last; 0 if it was never away.
    back_ms: u64,
    /// When gateways were last heard of, or first noticed.
    heard_ms: HashMap<NodeId, u64>,
}

impl FailureDetector {
    /// A poll succeeded.
    pub(super) fn heard(&mut self, now_ms: u64, members: &[Node]) {
        let gap = self.since_ms.is_some() && now_ms.abs_diff(self.now_ms) > GAP_MS;
        if self.missed || gap {
            self.back_ms = now_ms;
        }
        if self.missed || gap || self.since_ms.is_none() {
            self.since_ms = Some(now_ms);
        }
        self.now_ms = now_ms;
        self.missed = false;
        self.heard_ms.retain(|_, heard_ms| {
            // The time may have been set back.
            *heard_ms = (*heard_ms).min(now_ms);
            now_ms - *heard_ms < REMEMBERED_MS
        });
        for member in members.iter().filter(|member| member.role == Role::Gateway) {
            self.heard_ms.insert(member.id.clone(), member.heard_ms);
        }
    }

    /// The store's clock at the last poll.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// A poll failed.
    pub(super) fn missed(&mut self) {
        self.missed = true;
    }

    /// True if anybody's silence means anything now.
    pub(super) fn counts(&self) -> bool {
        let watched_since = self.since_ms.filter(|_| !self.missed);
        watched_since.is_some_and(|since_ms| self.now_ms.saturating_sub(since_ms) >= SILENCE_MS)
    }

    /// Since when a gateway's sockets have been gone, if it counts as dead. One that was never heard of
    /// is silent since it was first asked for.
    pub(super) fn dead_since(&mut self, gateway: &NodeId) -> Option<u64> {
        let heard_ms = *self.heard_ms.entry(gateway.clone()).or_insert(self.now_ms);
        let silent = self.now_ms.saturating_sub(heard_ms) >= SILENCE_MS;
        // Not before the beat that did not come, so that no session gets less than its grace; and not
        // while the store was away, when nobody could have come back.
        (self.counts() && silent).then(|| (heard_ms + BEAT_MS).max(self.back_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(heard_ms: u64) -> [Node; 1] {
        [Node {
            id: "gateway1".into(),
            role: Role::Gateway,
            heard_ms,
        }]
    }

    /// Polls every 200 ms from `from_ms` to `to_ms`, with the gateway last heard of at `heard_ms`.
    fn poll(silence: &mut FailureDetector, from_ms: u64, to_ms: u64, heard_ms: u64) -> Option<u64> {
        for now_ms in (from_ms..=to_ms).step_by(200) {
            silence.heard(now_ms, &member(heard_ms));
        }
        silence.dead_since(&"gateway1".into())
    }

    #[test]
    fn s7_a_silent_gateway_is_dead_since_the_beat_that_did_not_come() {
        let mut silence = FailureDetector::default();
        assert_eq!(poll(&mut silence, 10_000, 13_400, 12_000), None);
        assert_eq!(poll(&mut silence, 13_600, 13_600, 12_000), Some(12_400));
        assert_eq!(
            poll(&mut silence, 13_800, 13_800, 13_700),
            None,
            "it is back"
        );
    }

    #[test]
    fn s7_a_new_keeper_trusts_what_the_store_says_after_it_has_watched_for_a_while() {
        let mut silence = FailureDetector::default();
        assert_eq!(poll(&mut silence, 20_000, 21_400, 12_000), None);
        assert_eq!(poll(&mut silence, 21_600, 21_600, 12_000), Some(12_400));
    }

    #[test]
    fn s7_an_outage_of_the_store_is_nobodys_death() {
        let mut silence = FailureDetector::default();
        poll(&mut silence, 10_000, 12_000, 12_000);
        silence.missed();
        assert_eq!(silence.dead_since(&"gateway1".into()), None);
        // It is back after a minute, and the gateway beats again.
        assert_eq!(poll(&mut silence, 72_000, 73_400, 12_000), None);
        assert_eq!(poll(&mut silence, 73_600, 80_000, 79_900), None);
        // Another one, which it did not survive: its sessions are without a socket from the moment on
        // at which they could have come back.
        silence.missed();
        assert_eq!(poll(&mut silence, 90_000, 92_000, 79_900), Some(90_000));
    }

    #[test]
    fn s7_a_store_that_stalls_without_failing_is_an_outage_too() {
        let mut silence = FailureDetector::default();
        poll(&mut silence, 10_000, 12_000, 12_000);
        assert_eq!(poll(&mut silence, 15_000, 16_400, 12_000), None);
        assert_eq!(poll(&mut silence, 16_600, 16_600, 12_000), Some(15_000));
    }

    #[test]
    fn s7_an_owner_that_nobody_knows_is_silent_since_it_was_noticed() {
        let mut silence = FailureDetector::default();
        let stranger = "stranger".into();
        poll(&mut silence, 10_000, 20_000, 20_000);
        assert_eq!(silence.dead_since(&stranger), None);
        poll(&mut silence, 20_200, 21_400, 21_400);
        assert_eq!(silence.dead_since(&stranger), None);
        poll(&mut silence, 21_600, 21_600, 21_600);
        assert_eq!(silence.dead_since(&stranger), Some(20_400));
    }

    #[test]
    fn a_gateway_that_another_keeper_struck_off_is_remembered() {
        let mut silence = FailureDetector::default();
        poll(&mut silence, 10_000, 12_000, 12_000);
        for now_ms in (12_200..=13_600).step_by(200) {
            silence.heard(now_ms, &[]);
        }
        assert_eq!(silence.dead_since(&"gateway1".into()), Some(12_400));
    }
}
