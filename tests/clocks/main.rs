//! Clocks that jump by an hour: of Redis, of a process alone, of each process of a fleet. Time goes on meanwhile,
//! and afterwards (T1 to T6).
//!
//! The processes are real. Their wall clocks are shifted; what measures elapsed time is left alone, as it is when
//! somebody sets a clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(dead_code, reason = "parts are shared with other tests")]

#[path = "../support/clock.rs"]
mod clock;
mod play;
#[path = "../support/support.rs"]
#[allow(unused_imports, reason = "shared with the tests of the contract")]
mod support;

mod alone;
mod fleet;
mod redis;

/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;
