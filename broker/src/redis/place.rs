//! Where a Redis is to be found.

use std::fmt;

use super::{dialer::DialError, sentinels::Sentinels, url::Address};

/// Where a Redis is to be found.
#[derive(Debug)]
pub(super) enum Place {
    /// Always there.
    Fixed(Address),
    /// Where the sentinels say.
    Watched(Box<Sentinels>),
}

impl Place {
    /// Where it is now.
    pub(super) async fn find(&self) -> Result<Address, DialError> {
        match self {
            Place::Fixed(address) => Ok(address.clone()),
            Place::Watched(sentinels) => sentinels.master().await,
        }
    }

    /// Where it is instead of `here`, if it is known to have moved.
    pub(super) async fn elsewhere(&self, here: &Address) -> Option<Address> {
        match self {
            Place::Fixed(_) => None,
            Place::Watched(sentinels) => sentinels
                .master()
                .await
                .ok()
                .filter(|address| address != here),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Fixed(address) => write!(f, "Redis at {address}"),
            Place::Watched(sentinels) => write!(f, "the master {}", sentinels.name()),
        }
    }
}
