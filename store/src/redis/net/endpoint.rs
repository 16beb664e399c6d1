//! Where a Redis is to be found.

use std::fmt;

use super::{dialer::DialError, sentinels::Sentinels, url::Address};

/// Where a Redis is to be found.
#[derive(Debug)]
pub(in crate::redis) enum Endpoint {
    /// Always there.
    Fixed(Address),
    /// Where the sentinels say.
    Watched(Box<Sentinels>),
}

impl Endpoint {
    /// Where it is now.
    pub(in crate::redis) async fn find(&self) -> Result<Address, DialError> {
        match self {
            Endpoint::Fixed(address) => Ok(address.clone()),
            Endpoint::Watched(sentinels) => sentinels.master().await,
        }
    }

    /// Where it is instead of `here`, if it is known to have moved.
    pub(in crate::redis) async fn elsewhere(&self, here: &Address) -> Option<Address> {
        match self {
            Endpoint::Fixed(_) => None,
            Endpoint::Watched(sentinels) => sentinels
                .master()
                .await
                .ok()
                .filter(|address| address != here),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Fixed(address) => write!(f, "Redis at {address}"),
            Endpoint::Watched(sentinels) => write!(f, "the master {}", sentinels.name()),
        }
    }
}
