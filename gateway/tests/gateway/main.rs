//! The gateway, as clients meet it: real sockets, a real worker and keeper, a store in memory.

#![expect(unreachable_pub, reason = "what tests share is public among them")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod redis;
mod support;

mod actions;
mod flow;
mod handshake;
mod outages;
mod resuming;
mod sessions;
