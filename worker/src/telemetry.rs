//! The metrics of a worker, through the `metrics` facade.

use outlast_store::telemetry::Metric;

pub(crate) const INPUTS: &str = "outlast_worker_inputs_total";
pub(crate) const REFUSALS: &str = "outlast_worker_refusals_total";
pub(crate) const COMMITS: &str = "outlast_worker_commits_total";
pub(crate) const COMMIT_SECONDS: &str = "outlast_worker_commit_seconds";
pub(crate) const COMMIT_ENTRIES: &str = "outlast_worker_commit_entries";
pub(crate) const ROOMS: &str = "outlast_worker_rooms_in_memory";
pub(crate) const PARTITIONS: &str = "outlast_worker_partitions_held";
pub(crate) const LOST: &str = "outlast_worker_partitions_lost_total";
pub(crate) const FAULTS: &str = "outlast_worker_room_faults_total";
pub(crate) const STOPPED: &str = "outlast_worker_rooms_stopped_total";
pub(crate) const STANDING: &str = "outlast_worker_rooms_stopped";
pub(crate) const QUARANTINED: &str = "outlast_worker_rooms_quarantined_total";
pub(crate) const SET_ASIDE: &str = "outlast_worker_inputs_set_aside_total";
pub(crate) const OVERRUNS: &str = "outlast_worker_room_overruns_total";
pub(crate) const UNWRITTEN: &str = "outlast_worker_snapshots_failed_total";
pub(crate) const FOUND: &str = "outlast_worker_audit_found_total";
pub(crate) const UNREAD: &str = "outlast_worker_inputs_unread_total";

/// The metrics of a worker.
pub const METRICS: &[Metric] = &[
    Metric::counter(INPUTS, &[], "Inputs taken from topics"),
    Metric::counter(REFUSALS, &[], "Actions that rooms refused"),
    Metric::counter(COMMITS, &[], "Commits done"),
    Metric::histogram(
        COMMIT_SECONDS,
        &[],
        "Duration of a commit, retries included",
    ),
    Metric::histogram(COMMIT_ENTRIES, &[], "Log entries in a commit"),
    Metric::gauge(ROOMS, &["partition"], "Rooms in memory"),
    Metric::gauge(PARTITIONS, &[], "Partitions that this worker holds"),
    Metric::counter(LOST, &[], "Partitions lost to a newer epoch"),
    Metric::counter(
        FAULTS,
        &[],
        "Rooms that panicked or failed and were reloaded",
    ),
    Metric::counter(
        STOPPED,
        &[],
        "Rooms stopped because they cannot be loaded; see the log",
    ),
    Metric::gauge(
        STANDING,
        &["partition"],
        "Rooms stopped here now; their actions are answered busy",
    ),
    Metric::counter(
        QUARANTINED,
        &[],
        "Rooms stopped because workers that ran them died or hung; see the log",
    ),
    Metric::counter(
        SET_ASIDE,
        &[],
        "Inputs set aside because workers that applied them died or hung; see the log",
    ),
    Metric::counter(
        OVERRUNS,
        &[],
        "Times that a room's code did not return within --room-step-ms",
    ),
    Metric::counter(
        UNWRITTEN,
        &[],
        "Snapshots of rooms that failed: their logs grow; see the log",
    ),
    Metric::counter(
        FOUND,
        &["what"],
        "Members whose session record disagreed with the room, by what the room was told: gone (there is no record), away, back",
    ),
    Metric::counter(
        UNREAD,
        &[],
        "Inputs that this version cannot read; see the log",
    ),
];

/// Says what each number means. Called once, when a worker starts.
pub(crate) fn describe() {
    METRICS.iter().for_each(Metric::describe);
    // From the start, so that an alert on an increase sees the first one.
    for what in ["gone", "away", "back"] {
        metrics::counter!(FOUND, "what" => what).increment(0);
    }
}
