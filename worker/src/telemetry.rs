//! What a worker counts, through the `metrics` facade.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

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
pub(crate) const UNWRITTEN: &str = "outlast_worker_snapshots_failed_total";
pub(crate) const UNREAD: &str = "outlast_worker_inputs_unread_total";

/// Says what each number means. Called once, when a worker starts.
pub(crate) fn describe() {
    describe_counter!(INPUTS, "Inputs taken from topics");
    describe_counter!(REFUSALS, "Actions that rooms refused");
    describe_counter!(COMMITS, "Commits done");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "How long a commit takes");
    describe_histogram!(COMMIT_ENTRIES, "Log entries in a commit");
    describe_gauge!(ROOMS, "Rooms in memory, by partition");
    describe_gauge!(PARTITIONS, "Partitions that this worker holds");
    describe_counter!(LOST, "Partitions that a newer epoch has taken away");
    describe_counter!(
        FAULTS,
        "Rooms that panicked or failed, and were loaded again"
    );
    describe_counter!(
        STOPPED,
        "Rooms that this version cannot read; look into the log"
    );
    describe_counter!(
        UNWRITTEN,
        "Room states that could not be written down: their logs grow; look into the log"
    );
    describe_counter!(
        UNREAD,
        "Inputs that this version cannot read; look into the log"
    );
    // From the start, so that an alert on an increase sees the first one.
    for alarm in [LOST, FAULTS, STOPPED, UNREAD] {
        counter!(alarm).increment(0);
    }
}
