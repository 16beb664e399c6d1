//! Sessions that outlive their sockets (SPEC section 4).
//!
//! - [`Sessions`] is what a gateway asks: it opens, resumes, detaches and ends them.
//! - [`Audit`] is how a gateway looks for records that name it while it has no socket for them.
//! - [`keep`] is what watches over them: it notices dead gateways, tells rooms who is away and expires what
//!   nobody came back to.
//!
//! Between them lies nothing but the records in the store. What happens to a session is decided by a
//! pure state machine (`machine.rs`); everything else reads a record, asks the machine and writes by
//! compare-and-swap. So gateways and keepers may run anywhere, overlap, and be killed at any moment.
//!
//! This crate promises that a session has one socket at a time (S5), that every room it was about to join
//! is told when it is over (S6), and that only who holds one of its two keys can have it (S3). It never
//! touches a socket or a room's log, never stores or logs a key, and never reads this machine's clock to
//! decide about a session.

mod attach_guard;
mod attachment;
mod audit;
mod cas;
mod due;
mod error;
mod identity;
mod info;
mod keeper;
mod keys;
mod machine;
mod record_codec;
mod records;
mod settings;
mod store;
mod telemetry;
mod terms;

pub use attachment::Attachment;
pub use audit::Audit;
pub use error::SessionError;
pub use identity::Identity;
pub use info::{Presence, SessionInfo};
pub use keeper::run_keeper;
pub use settings::SessionSettings;
pub use store::Sessions;
pub use telemetry::METRICS;
