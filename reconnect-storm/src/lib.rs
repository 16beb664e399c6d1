//! A client of outlast written from SPEC.md alone, and a checker of what clients saw.
//!
//! - [`Client`] is the client's rules without IO: what happens goes in together with the time, what is
//!   to be done comes out. It promises to follow A2, A3, A5, R1, R5, E1, F1 and D2, and to note
//!   everything that it did and saw.
//! - [`Driver`] runs a client on a real socket, and keeps its [`Record`].
//! - [`Judge`] tells what was lost, doubled or out of order, while a run goes on; [`check()`] tells it of records
//!   that were kept, beside the rooms' logs.
//!
//! Nothing here knows how a gateway, a worker or a store is built, so that it can judge them. It
//! never invents: what a client did not see is not in its record.

mod backoff;
mod client;
mod driver;
mod judge;
mod record;
mod settings;
pub mod svg;
mod trust;

pub use backoff::Backoff;
pub use client::{Client, Output, SocketId};
pub use driver::{Driver, Incoming, Observer, Socket, TimedOut};
pub use judge::{
    Case, Excuses, Finding, Fingerprint, Judge, Ledger, Logged, LoggedBody, RoomLog, Verdict,
    Violation, chat_fingerprint, check,
};
pub use record::{ActionId, Ask, Observation, Outcome, Record, Seen};
pub use settings::Settings;
pub use trust::{Trust, TrustError};
