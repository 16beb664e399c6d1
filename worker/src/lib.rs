//! Rooms, and the worker that runs them.
//!
//! A kind of room is one implementation of [`Room`]: what its members can do, and what becomes of it.
//! [`Registry`] collects the kinds, [`run`] runs their rooms until it is told to stop, and [`testing`]
//! tries a room out without any of that.
//!
//! A worker holds some of the partitions that rooms live in, each under a lease. Whatever a room does
//! is committed before anybody is told of it, in one step with the inputs that it answers; so each input
//! counts exactly once, whoever crashes (A1, A2, W2, W3). A worker that dies, stops or falls silent loses
//! its partitions to the others (W4), and a room that panics or cannot be read takes nothing else down
//! (W5, W6).
//!
//! This crate never talks to a client and knows nothing of sockets or sessions. Within it, [`Room`]s,
//! `host` and `partition` are pure: IO, clocks and chance are in `runner` and `worker` alone.

mod audit;
mod batch;
mod clock;
mod cx;
mod host;
mod live;
mod partition;
mod registry;
mod retry;
mod room;
mod runner;
mod settings;
mod suspect;
mod telemetry;
mod watch;
mod worker;

pub mod rooms;
pub mod testing;

pub use cx::Cx;
pub use outlast_protocol::{Member, Pos};
pub use registry::Registry;
pub use room::{At, Input, Refusal, Room};
pub use settings::WorkerSettings;
pub use telemetry::METRICS;
pub use worker::{WorkerError, run};
