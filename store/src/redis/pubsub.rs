//! What other processes announce, and who listens.

pub(super) mod announcements;
pub(super) mod inbox;
mod interest;
pub(super) mod subscriber;
pub(super) mod subscription;
