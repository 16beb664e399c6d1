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
pub(crate) const BYES: &str = "outlast_gateway_byes_total";
pub(crate) const REFUSED: &str = "outlast_gateway_actions_refused_total";
pub(crate) const ROOMS: &str = "outlast_gateway_rooms";
pub(crate) const LOG_READS: &str = "outlast_gateway_log_reads_total";
pub(crate) const LOG_READ_SHARERS: &str = "outlast_gateway_log_read_sharers";
pub(crate) const ENTRIES: &str = "outlast_gateway_entries_sent_total";
pub(crate) const REPLAYED: &str = "outlast_gateway_entries_replayed_total";
pub(crate) const CATCH_UPS: &str = "outlast_gateway_catch_ups_total";
pub(crate) const CATCHING_UP: &str = "outlast_gateway_catching_up";
pub(crate) const SNAPSHOTS: &str = "outlast_gateway_snapshots_total";
pub(crate) const FELL_BEHIND: &str = "outlast_gateway_fell_behind_total";
pub(crate) const REPLIES_DROPPED: &str = "outlast_gateway_replies_dropped_total";
pub(crate) const DRAINING: &str = "outlast_gateway_draining";
pub(crate) const MOVED: &str = "outlast_gateway_moved_total";
pub(crate) const MISSED: &str = "outlast_gateway_missed_total";

/// What a gateway counts.
pub const METRICS: &[Metric] = &[
    Metric::gauge(SOCKETS, &[], "Sockets with a session"),
    Metric::counter(
        ATTACHES,
        &["outcome"],
        "Sockets that asked for a session, by what became of them: attached, gone, or the name of a close code",
    ),
    Metric::gauge(
        ADMISSION_WAITING,
        &["lane"],
        "Sockets that wait for their turn to attach, by lane: resume or open",
    ),
    Metric::histogram(
        ADMISSION_WAIT,
        &["lane"],
        "How long sockets waited for their turn to attach",
    ),
    Metric::counter(
        ADMISSION_REFUSED,
        &["lane"],
        "Sockets that found no place in the queue and were told when to come back",
    ),
    Metric::counter(
        CONNECTIONS_REFUSED,
        &[],
        "Connections turned away because too many had no session yet",
    ),
    Metric::counter(
        BYES,
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
        &["why"],
        "Reads of room logs, by why: tail (the first socket in a room), stretch (who is behind the window), refresh (announcements were missed)",
    ),
    Metric::histogram(
        LOG_READ_SHARERS,
        &[],
        "Sockets that waited for one read of a stretch",
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
        &["how"],
        "Rooms of sessions that came back, by how they catch up: replay, snapshot or gone",
    ),
    Metric::gauge(
        CATCHING_UP,
        &[],
        "Rooms of sessions that are not where the log ends: a replay or a snapshot is under way",
    ),
    Metric::counter(
        SNAPSHOTS,
        &["reason"],
        "Snapshots that clients needed, by reason: trimmed, diverged, requested or shorter",
    ),
    Metric::counter(
        FELL_BEHIND,
        &[],
        "Live readers for whom the log has to be read: they were slow and fell behind the window, or news were missed",
    ),
    Metric::counter(
        REPLIES_DROPPED,
        &[],
        "Replies of rooms dropped because the client does not read; they are asked for again",
    ),
    Metric::gauge(
        DRAINING,
        &[],
        "1 while the gateway waits for its sockets to move",
    ),
    Metric::counter(
        MOVED,
        &["how"],
        "Sockets that were asked to move and have gone, by how: moved, left, or closed at the end",
    ),
    Metric::counter(MISSED, &[], "How often announcements may have been missed"),
];

/// Says what each number means. Called once, when a gateway starts.
pub(crate) fn describe() {
    METRICS.iter().for_each(Metric::describe);
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
