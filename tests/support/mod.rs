//! Clients that act all the time, and the logs of their rooms.

mod logs;
mod people;

pub(crate) use logs::logs;
pub(crate) use people::{PATIENCE, People};
