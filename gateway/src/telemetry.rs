//! What a gateway counts, through the `metrics` facade.

use metrics::counter;
use outlast_protocol::CloseCode;
use outlast_store::telemetry::Metric;

pub(crate) const SOCKETS: &str = "outlast_gateway_sockets";
pub(crate) const ATTACHES: &str = "outlast_gateway_attaches_total";
pub(crate) const ADMISSION_WAITING: &str = "outlast_gateway_admission_waiting";
pub(crate) const ADMISSION_WAIT: &str = "outlast_gateway_admission_wait_seconds";
pub(crate) const ADMISSION_REFUSED: &str = "outlast_gateway_admission_refused_total";
pub(crate) const CONNECTIONS_REFUSED: &str = "outlast_gateway_connections_refused_total";
pub(crate) const CLOSES: &str = "outlast_gateway_closes_total";
pub(crate) const REFUSED: &str = "outlast_gateway_actions_refused_total";
pub(crate) const ROOMS: &str = "outlast_gateway_rooms";
pub(crate) const LOG_READS: &str = "outlast_gateway_log_reads_total";
pub(crate) const LOG_READ_SHARERS: &str = "outlast_gateway_log_read_sharers";
pub(crate) const ENTRIES: &str = "outlast_gateway_entries_sent_total";
pub(crate) const REPLAYED: &str = "outlast_gateway_entries_replayed_total";
pub(crate) const CATCH_UPS: &str = "outlast_gateway_catch_ups_total";
pub(crate) const CATCHING_UP: &str = "outlast_gateway_catching_up";
pub(crate) const SNAPSHOTS: &str = "outlast_gateway_snapshots_total";
pub(crate) const SLOW_READERS: &str = "outlast_gateway_slow_readers_total";
pub(crate) const REPLIES_DROPPED: &str = "outlast_gateway_replies_dropped_total";
pub(crate) const DRAINING: &str = "outlast_gateway_draining";
pub(crate) const MOVED: &str = "outlast_gateway_moved_total";
pub(crate) const ANNOUNCEMENTS_MISSED: &str = "outlast_gateway_announcements_missed_total";

/// What a gateway counts.
pub const METRICS: &[Metric] = &[
    Metric::gauge(SOCKETS, &[], "Sockets with a session"),
    Metric::counter(
        ATTACHES,
        &["outcome"],
        "Sockets that asked for a session, by outcome: attached, gone, or the name of a close code",
    ),
    Metric::gauge(
        ADMISSION_WAITING,
        &["lane"],
        "Sockets waiting to attach, by lane: resume or open",
    ),
    Metric::histogram(
        ADMISSION_WAIT,
        &["lane"],
        "Time that sockets waited to attach",
    ),
    Metric::counter(
        ADMISSION_REFUSED,
        &["lane"],
        "Sockets turned away because the queue was full; each was told when to come back",
    ),
    Metric::counter(
        CONNECTIONS_REFUSED,
        &[],
        "Connections refused because too many had no session yet",
    ),
    Metric::counter(
        CLOSES,
        &["code"],
        "Attached sockets closed by the server, by the name of the close code",
    ),
    Metric::counter(
        REFUSED,
        &["code"],
        "Actions that were not taken, by the code of the error",
    ),
    Metric::gauge(ROOMS, &[], "Rooms that sockets here are in"),
    Metric::counter(
        LOG_READS,
        &["reason"],
        "Reads of room logs, by reason: tail (the first socket in a room), slice (a position before the window), refresh (announcements were missed)",
    ),
    Metric::histogram(
        LOG_READ_SHARERS,
        &[],
        "Sockets that shared one read of a log slice",
    ),
    Metric::counter(
        ENTRIES,
        &[],
        "Log entries sent to clients, live and replayed",
    ),
    Metric::counter(
        REPLAYED,
        &[],
        "Log entries sent to clients that were catching up",
    ),
    Metric::counter(
        CATCH_UPS,
        &["kind"],
        "Rooms of resumed sessions, by kind of catch-up: replay, snapshot or gone",
    ),
    Metric::gauge(
        CATCHING_UP,
        &[],
        "Rooms of sessions that are catching up: a replay or a snapshot is under way",
    ),
    Metric::counter(
        SNAPSHOTS,
        &["reason"],
        "Snapshots sent to clients that caught up, by reason: trimmed, diverged, requested or shorter",
    ),
    Metric::counter(
        SLOW_READERS,
        &[],
        "Live readers that need a read of the log: too slow for the window, or announcements were missed",
    ),
    Metric::counter(
        REPLIES_DROPPED,
        &[],
        "Replies of rooms dropped because the client does not read; the gateway asks for them again",
    ),
    Metric::gauge(
        DRAINING,
        &[],
        "1 while the gateway waits for its sockets to move",
    ),
    Metric::counter(
        MOVED,
        &["outcome"],
        "Sockets that were told to move and have gone, by outcome: moved, left, or closed at the end",
    ),
    Metric::counter(
        ANNOUNCEMENTS_MISSED,
        &[],
        "Times that announcements may have been missed",
    ),
];

/// Says what each number means. Called once, when a gateway starts.
pub(crate) fn describe() {
    METRICS.iter().for_each(Metric::describe);
    // From the start, so that an alert on an increase sees the first one.
    counter!(SNAPSHOTS, "reason" => "diverged").increment(0);
    counter!(CLOSES, "code" => CloseCode::TooManySessions.name()).increment(0);
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
