//! The rooms that come with outlast (SPEC section 12).

mod chat;
mod game;
pub(crate) mod exchange;
mod name;

pub use chat::Chat;
pub use exchange::Exchange;
pub use game::Game;
