//! The checker for runs that are too large to keep: it judges while things happen, and keeps of each
//! room one log, put together from what its clients saw, and of each client no more than where it stands.

mod ledger;
mod tally;
mod watcher;

pub use ledger::{Ledger, MarkOf};
pub use tally::Tally;
pub use watcher::{News, Watcher};
