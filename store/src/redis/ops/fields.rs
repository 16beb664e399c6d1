//! The fields of a room's hash, and the form in which values are stored.

use outlast_protocol::Sid;

/// Fields of a room's hash.
pub(super) const HEAD: &str = "head";
/// Where the log ends: to look there costs a commit more than all its other checks.
pub(super) const END: &str = "end";
pub(super) const SNAPSHOT: &str = "snapshot";
/// The snapshot's off, so that `load.lua` need not read the snapshot.
pub(super) const SNAPSHOT_OFF: &str = "snapshot_off";
pub(super) const SEAT: &str = "seat:";

/// The field of a room's hash where a session's seat lies.
pub(super) fn seat_field(sid: &Sid) -> String {
    format!("{SEAT}{sid}")
}

/// Returns a value as JSON: all that we store is strings, numbers and payloads that were read as JSON.
pub(in crate::redis) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what travels through a store can be written as JSON")
}
