use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Script;

use crate::redis::{Redis, net::script::ScriptCall};
use crate::{Agreement, StoreError, Terms};

static TERMS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/terms.lua")));

#[async_trait]
impl Agreement for Redis {
    async fn agree(&self, ours: Terms) -> Result<Terms, StoreError> {
        self.terms(ours, "agree").await
    }

    async fn uphold(&self, ours: Terms) -> Result<Terms, StoreError> {
        self.terms(ours, "uphold").await
    }

    async fn decree(&self, ours: Terms) -> Result<(), StoreError> {
        self.terms(ours, "decree").await.map(drop)
    }
}

impl Redis {
    async fn terms(&self, ours: Terms, how: &str) -> Result<Terms, StoreError> {
        let mut script = ScriptCall::new(&TERMS, &[self.keys.store()]);
        script.arg(ours.ttl_ms).arg(ours.grace_ms).arg(how);
        let (ttl_ms, grace_ms) = self.nodes.run(&script).await?;
        Ok(Terms { ttl_ms, grace_ms })
    }
}
