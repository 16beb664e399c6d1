//! The rooms that come with outlast (SPEC section 12).

mod chat;

pub use chat::Chat;
