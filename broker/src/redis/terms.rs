use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Script;

use super::{Redis, errand::Call};
use crate::{Agreement, BrokerError, Terms};

static TERMS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("terms.lua")));

#[async_trait]
impl Agreement for Redis {
    async fn agree(&self, ours: Terms) -> Result<Terms, BrokerError> {
        self.terms(ours, "").await
    }

    async fn decree(&self, ours: Terms) -> Result<(), BrokerError> {
        self.terms(ours, "1").await.map(drop)
    }
}

impl Redis {
    async fn terms(&self, ours: Terms, decree: &str) -> Result<Terms, BrokerError> {
        let mut script = Call::new(&TERMS, &[self.keys.store()]);
        script.arg(ours.ttl_ms).arg(ours.grace_ms).arg(decree);
        let (ttl_ms, grace_ms) = self.nodes.run(&script).await?;
        Ok(Terms { ttl_ms, grace_ms })
    }
}
