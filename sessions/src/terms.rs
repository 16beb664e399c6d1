use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use outlast_store::Terms;

use crate::SessionSettings;

/// The times that sessions live, as they count for the whole store (L10): what this process was given, until the
/// store says otherwise. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    ttl_ms: Arc<AtomicU64>,
    grace_ms: Arc<AtomicU64>,
}

impl Counting {
    pub(crate) fn of(settings: &SessionSettings) -> Self {
        Counting {
            ttl_ms: Arc::new(settings.ttl_ms.into()),
            grace_ms: Arc::new(settings.grace_ms.into()),
        }
    }

    pub(crate) fn get(&self) -> Terms {
        Terms {
            ttl_ms: self.ttl_ms.load(Ordering::Relaxed),
            grace_ms: self.grace_ms.load(Ordering::Relaxed),
        }
    }

    /// Goes by the store's from now on. Answers whether that is another one than before.
    pub(crate) fn set(&self, terms: Terms) -> bool {
        let ttl_ms = self.ttl_ms.swap(terms.ttl_ms, Ordering::Relaxed);
        let grace_ms = self.grace_ms.swap(terms.grace_ms, Ordering::Relaxed);
        (Terms { ttl_ms, grace_ms }) != terms
    }
}
