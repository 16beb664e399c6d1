//! The gateway, as clients meet it: real sockets, a real worker and keeper, a store in memory.

#![expect(unreachable_pub, reason = "what tests share is public among them")]
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a panic is how a test fails"
)]

mod faulty;
mod support;

mod actions;
mod admission;
mod draining;
mod flow;
mod ghosts;
mod handshake;
mod independence;
mod outages;
mod rejoining;
mod resuming;
mod sessions;
mod shorter;
