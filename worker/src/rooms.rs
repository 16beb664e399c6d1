//! The rooms that come with outlast (SPEC section 12).

mod chat;
pub(crate) mod exchange;
mod game;
mod name;
pub mod stats;

pub use chat::Chat;
pub use exchange::Exchange;
pub use game::Game;
pub use stats::Stats;
