//! Clocks that jump by an hour: of Redis, of a process alone, of each process of a fleet. Time goes on meanwhile,
//! and afterwards (T1 to T6).
//!
//! The processes are real. Their wall clocks are shifted; what measures elapsed time is left alone, as it is when
//! somebody sets a clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod alone;
mod fleet;
mod play;
mod redis;

/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;
