//! What is counted. Every name begins with `outlast_sessions_`.

use metrics::counter;

use crate::machine::Reason;

/// A session was opened (S1).
pub(crate) fn opened() {
    counter!("outlast_sessions_opened_total").increment(1);
}

/// A session was resumed (S3).
pub(crate) fn resumed() {
    counter!("outlast_sessions_resumed_total").increment(1);
}

/// A session is over, its rooms have been told and its record is gone (S6).
pub(crate) fn over(reason: Reason) {
    match reason {
        Reason::Expired => counter!("outlast_sessions_expired_total").increment(1),
        Reason::Ended => counter!("outlast_sessions_ended_total").increment(1),
    }
}

/// The rooms of a session have been told that it is away (S7).
pub(crate) fn detached_told() {
    counter!("outlast_sessions_detached_told_total").increment(1);
}

/// A gateway was silent for too long; its sessions have been detached.
pub(crate) fn gateway_dead() {
    counter!("outlast_sessions_gateways_dead_total").increment(1);
}
