//! Workers against a real store in memory.

// Everything here is a test: what fails or is not expected fails it.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod client;
mod handover;
mod outage;
mod serving;
mod slow;
mod spread;
mod timers;
mod workers;
