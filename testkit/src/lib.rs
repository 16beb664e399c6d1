//! The shared parts of all tests and benchmarks: real processes, real Redis deployments, a raw client, patience.
//!
//! It knows no other crate of the workspace, so each of them may use it, in unit tests, too. What fails here
//! panics, since that is how a test fails.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

pub mod client;
#[cfg(unix)]
pub mod clock;
pub mod frames;
pub mod http;
pub mod outlast;
pub mod patience;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod seed;

pub use client::Client;
#[cfg(unix)]
pub use clock::WallClock;
pub use outlast::{Exit, Server, Starting};
pub use patience::{PATIENCE, eventually, eventually_blocking, in_time};
pub use ports::{free_address, free_port};
pub use redis::RedisServer;
pub use seed::{seed, seeded};
