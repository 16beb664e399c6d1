//! What a gateway counts, through the `metrics` facade.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use outlast_protocol::CloseCode;

pub(crate) const SOCKETS: &str = "outlast_gateway_sockets";
pub(crate) const ATTACHES: &str = "outlast_gateway_attaches_total";
pub(crate) const ADMISSION_WAITING: &str = "outlast_gateway_admission_waiting";
pub(crate) const ADMISSION_WAIT: &str = "outlast_gateway_admission_wait_seconds";
pub(crate) const ADMISSION_REFUSED: &str = "outlast_gateway_admission_refused_total";
pub(crate) const CONNECTIONS_REFUSED: &str = "outlast_gateway_connections_refused_total";
pub(crate) const BYES: &str = "outlast_gateway_byes_total";
pub(crate) const REFUSED: &str = "outlast_gateway_actions_refused_total";
pub(crate) const ROOMS: &str = "outlast_gateway_rooms";
pub(crate) const LOG_READS: &str = "outlast_gateway_log_reads_total";
pub(crate) const LOG_READ_SHARERS: &str = "outlast_gateway_log_read_sharers";
pub(crate) const ENTRIES: &str = "outlast_gateway_entries_sent_total";
pub(crate) const CATCH_UPS: &str = "outlast_gateway_catch_ups_total";
pub(crate) const CATCHING_UP: &str = "outlast_gateway_catching_up";
pub(crate) const SNAPSHOTS: &str = "outlast_gateway_snapshots_total";
pub(crate) const REPLIES_DROPPED: &str = "outlast_gateway_replies_dropped_total";
pub(crate) const DRAINING: &str = "outlast_gateway_draining";
pub(crate) const MOVED: &str = "outlast_gateway_moved_total";
pub(crate) const MISSED: &str = "outlast_gateway_missed_total";

/// Says what each number means. Called once, when a gateway starts.
pub(crate) fn describe() {
    describe_gauge!(SOCKETS, "Sockets with a session");
    describe_counter!(ATTACHES, "Sockets that asked for a session, by outcome");
    describe_gauge!(
        ADMISSION_WAITING,
        "Sockets that wait for their turn to attach, by lane: resume or open"
    );
    describe_histogram!(
        ADMISSION_WAIT,
        Unit::Seconds,
        "How long sockets waited for their turn to attach, by lane"
    );
    describe_counter!(
        ADMISSION_REFUSED,
        "Sockets that were told to come back for their turn, by lane"
    );
    describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections that were turned away because too many had no session yet"
    );
    describe_counter!(BYES, "Sockets closed by the server, by code");
    describe_counter!(REFUSED, "Actions that were not taken, by code");
    describe_gauge!(ROOMS, "Rooms that sockets here are in");
    describe_counter!(LOG_READS, "Reads of rooms' logs");
    describe_histogram!(LOG_READ_SHARERS, "Sockets that one read of a log served");
    describe_counter!(ENTRIES, "Log entries sent to clients, live and in replays");
    describe_counter!(
        CATCH_UPS,
        "Rooms of sessions that came back, by how they catch up"
    );
    describe_gauge!(
        CATCHING_UP,
        "Rooms of sessions that are not where the log ends: a replay or a snapshot is under way"
    );
    describe_counter!(SNAPSHOTS, "Snapshots that clients needed, by reason");
    describe_counter!(
        REPLIES_DROPPED,
        "Replies of rooms to clients that do not read; they are asked for again"
    );
    describe_gauge!(
        DRAINING,
        "1 while the gateway waits for its sockets to move"
    );
    describe_counter!(
        MOVED,
        "Sockets that were asked to move and have gone, by how: moved, left, or closed at the end"
    );
    describe_counter!(MISSED, "How often announcements may have been missed");
    // From the start, so that an alert on an increase sees the first one.
    counter!(SNAPSHOTS, "reason" => "diverged").increment(0);
    counter!(BYES, "code" => CloseCode::TooManySessions.name()).increment(0);
    counter!(REFUSED, "code" => "busy").increment(0);
}

/// A room of a session that catches up, counted for as long as this lives.
pub(crate) struct CatchingUp;

impl CatchingUp {
    pub(crate) fn begin() -> Self {
        metrics::gauge!(CATCHING_UP).increment(1.0);
        CatchingUp
    }
}

impl Drop for CatchingUp {
    fn drop(&mut self) {
        metrics::gauge!(CATCHING_UP).decrement(1.0);
    }
}
