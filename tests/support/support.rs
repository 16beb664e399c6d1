//! Real processes and a client that speaks raw frames.

mod client;
mod process;
mod redis;

pub(crate) use client::{Client, act, join, leave, room_of, said};
pub(crate) use process::{Exit, Server, command};
pub(crate) use redis::Redis;

use std::time::{Duration, Instant};

/// How long anything may take that has no bound of its own in the contract.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "in {PATIENCE:?} it did not come true that {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port of this machine that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
