//! SPEC.md from outside: the real binary, raw frames, one test or more for each rule, named after its ID.
//! The rules that only a store can see are tested elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod actions;
mod api;
mod chat;
mod command_line;
mod drains;
mod events;
mod fleet;
mod flow;
mod handshake;
mod metrics;
mod observing;
mod sessions;
mod skew;
mod socket;
mod start;
mod stats;
mod store;
mod storms;
mod tokens;
