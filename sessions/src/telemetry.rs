//! What sessions count, through the `metrics` facade.

use metrics::{counter, describe_counter};

use crate::machine::Reason;

pub(crate) const OPENED: &str = "outlast_sessions_opened_total";
pub(crate) const RESUMED: &str = "outlast_sessions_resumed_total";
pub(crate) const EXPIRED: &str = "outlast_sessions_expired_total";
pub(crate) const ENDED: &str = "outlast_sessions_ended_total";
pub(crate) const DETACHED_TOLD: &str = "outlast_sessions_detached_told_total";
pub(crate) const GATEWAYS_DEAD: &str = "outlast_sessions_gateways_declared_dead_total";
pub(crate) const UNREADABLE: &str = "outlast_sessions_unreadable_total";

/// Says what each number means. Called whenever a part of this crate starts.
pub(crate) fn describe() {
    describe_counter!(OPENED, "Sessions opened here");
    describe_counter!(RESUMED, "Sessions resumed here");
    describe_counter!(EXPIRED, "Sessions that nobody came back to");
    describe_counter!(ENDED, "Sessions that were ended");
    describe_counter!(
        DETACHED_TOLD,
        "Sessions without a socket for longer than the grace, whose rooms were told"
    );
    describe_counter!(
        GATEWAYS_DEAD,
        "Gateways that were silent for too long and lost their sessions"
    );
    describe_counter!(
        UNREADABLE,
        "Records that this version cannot read; look into the log"
    );
    // From the start, so that an alert on an increase sees the first one.
    for alarm in [GATEWAYS_DEAD, UNREADABLE] {
        counter!(alarm).increment(0);
    }
}

/// A session is over, its rooms have been told and its record is gone (S6).
pub(crate) fn over(reason: Reason) {
    match reason {
        Reason::Expired => counter!(EXPIRED).increment(1),
        Reason::Ended => counter!(ENDED).increment(1),
    }
}
