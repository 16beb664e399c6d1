//! The metrics of sessions, through the `metrics` facade.

use metrics::counter;
use outlast_store::telemetry::Metric;

use crate::machine::Reason;

pub(crate) const DETACHED: &str = "outlast_sessions_detached";
pub(crate) const OPENED: &str = "outlast_sessions_opened_total";
pub(crate) const RESUMED: &str = "outlast_sessions_resumed_total";
pub(crate) const EXPIRED: &str = "outlast_sessions_expired_total";
pub(crate) const ENDED: &str = "outlast_sessions_ended_total";
pub(crate) const DETACHED_TOLD: &str = "outlast_sessions_detached_told_total";
pub(crate) const GATEWAYS_DEAD: &str = "outlast_sessions_gateways_declared_dead_total";
pub(crate) const FOUND: &str = "outlast_sessions_audit_found_total";
pub(crate) const UNREADABLE: &str = "outlast_sessions_unreadable_total";

/// The metrics of sessions.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        DETACHED,
        &[],
        "Sessions without a socket, in the shards that are kept here",
    ),
    Metric::counter(OPENED, &[], "Sessions opened here"),
    Metric::counter(RESUMED, &[], "Sessions resumed here"),
    Metric::counter(EXPIRED, &[], "Sessions that expired without a client"),
    Metric::counter(ENDED, &[], "Sessions that were ended"),
    Metric::counter(
        DETACHED_TOLD,
        &[],
        "Sessions reported to their rooms as away: without a socket for longer than the grace",
    ),
    Metric::counter(
        GATEWAYS_DEAD,
        &[],
        "Gateways declared dead after silence; their sessions were detached",
    ),
    Metric::counter(
        FOUND,
        &["what"],
        "Inconsistencies that audits repaired, by what: socketless (a record that named a gateway without a socket for it), entry (an index entry without its record), unlisted (a record without its index entry)",
    ),
    Metric::counter(
        UNREADABLE,
        &[],
        "Session records that this version cannot read; see the log",
    ),
];

/// Says what each number means. Called whenever a part of this crate starts.
pub(crate) fn describe() {
    METRICS.iter().for_each(Metric::describe);
    // From the start, so that an alert on an increase sees the first one.
    for what in ["socketless", "entry", "unlisted"] {
        found(what, 0);
    }
}

/// An audit has found something amiss (S9, S11).
pub(crate) fn found(what: &'static str, count: u64) {
    counter!(FOUND, "what" => what).increment(count);
}

/// A session is over, its rooms have been told and its record is gone (S6).
pub(crate) fn over(reason: Reason) {
    match reason {
        Reason::Expired => counter!(EXPIRED).increment(1),
        Reason::Ended => counter!(ENDED).increment(1),
    }
}
