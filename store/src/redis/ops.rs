//! The store's operations.

pub(super) mod audit;
pub(super) mod commit;
pub(super) mod fields;
pub(super) mod leases;
pub(super) mod membership;
pub(super) mod notes;
pub(super) mod records;
pub(super) mod rooms;
pub(super) mod terms;
pub(super) mod topic;
