//! Terminates sockets, attaches sessions to them, fans events out and lets clients catch up.
//!
//! A gateway promises that what it holds could be rebuilt by any other from the store and the client's
//! `resume` frame; that a client sees each room's log in order, without a hole and nothing twice, or is
//! told that it does not (section 6 of SPEC.md); and that what it keeps for one socket is bounded (F3).
//! It never runs a room, never writes a log, and never answers an action before its room has.
//!
//! From outside to inside: [`Gateway::serve`] accepts connections, `upgrade` makes them WebSockets, `serve`
//! is the life of one: `first_frame`, `admission` (its turn), `attach_request`, `attach` and `catch_up`
//! (its session), `socket` (its loop), `drain` (its move elsewhere).
//! The `hub` hears the store and holds one feed a room, from which sockets pull.

mod admission;
mod attach;
mod attach_request;
mod auth;
mod bye;
mod catch_up;
mod connection_limit;
mod drain;
mod first_frame;
mod frame;
mod gateway;
mod heartbeat;
mod hub;
mod ip_limit;
mod loopback;
mod origin;
mod outage;
mod rate;
mod sequencer;
mod serve;
mod server;
mod settings;
mod socket;
mod spare;
mod telemetry;
mod upgrade;
mod wire;

pub use auth::{Auth, AuthError, KeyError, Keys, allows};
pub use gateway::Gateway;
pub use loopback::is_local;
pub use server::bind;
pub use settings::GatewaySettings;
pub use telemetry::METRICS;
