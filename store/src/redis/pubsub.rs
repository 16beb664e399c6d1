//! The announcements of other processes, and those who listen to them.

pub(super) mod announcements;
pub(super) mod inbox;
mod interest;
pub(super) mod subscriber;
pub(super) mod subscription;
