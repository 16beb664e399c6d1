//! Sessions that outlive their sockets (SPEC section 4).

mod attachment;
mod error;
mod identity;
mod keeper;
mod settings;
mod store;

pub use attachment::Attachment;
pub use error::SessionError;
pub use identity::Identity;
pub use keeper::keep;
pub use settings::Settings;
pub use store::Sessions;
