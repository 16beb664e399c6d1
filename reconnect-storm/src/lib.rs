//! A client of outlast written from SPEC.md alone, and a checker of what clients saw.
//!
//! - [`Client`] is the client's rules without IO: what happens goes in together with the time, what is
//!   to be done comes out. It promises to follow A2, A3, A5, R1, R5, E1, F1 and D2, and to note
//!   everything that it did and saw.
//! - [`Driver`] runs a client on a real socket, and keeps its [`Record`].
//! - [`check()`] compares records with the rooms' logs and tells what was lost, doubled or out of order.
//! - [`Watcher`] tells the same while a run goes on, of more clients than records could be kept of.
//!
//! Nothing here knows how a gateway, a worker or a store is built, so that it can judge them. It
//! never invents: what a client did not see is not in its record.

mod backoff;
mod check;
mod client;
mod driver;
mod record;
mod settings;
mod trust;
mod watch;

pub use backoff::Backoff;
pub use check::{Case, Finding, Logged, LoggedBody, Marks, RoomLog, Verdict, Wrong, check};
pub use client::{Client, Output, SocketId};
pub use driver::{Driver, Heard, Socket, TimedOut, Witness};
pub use record::{ActionId, Ask, Outcome, Record, Seen, Sighting};
pub use settings::Settings;
pub use trust::{Trust, TrustError};
pub use watch::{Ledger, MarkOf, News as WatcherNews, Tally, Watcher};
