use async_trait::async_trait;

use super::{
    Embedded, Shared,
    batch::{Batch, Durability},
    error::WriteError,
    tables::{STORE, STORE_GRACE_MS, STORE_TTL_MS},
    writer::Operation,
};
use crate::{Agreement, StoreError, Terms};

#[async_trait]
impl Agreement for Embedded {
    async fn agree(&self, ours: Terms) -> Result<Terms, StoreError> {
        let known = self.look(|txn| {
            let store = txn.open_table(STORE)?;
            let number = |key| Ok::<_, WriteError>(store.get(key)?.map(|value| value.value()));
            Ok(number(STORE_TTL_MS)?.zip(number(STORE_GRACE_MS)?))
        });
        match known.await? {
            Some((ttl_ms, grace_ms)) => Ok(Terms { ttl_ms, grace_ms }),
            None => self.decree(ours).await.map(|()| ours),
        }
    }

    async fn decree(&self, ours: Terms) -> Result<(), StoreError> {
        self.writer.run(Decree(ours)).await
    }
}

struct Decree(Terms);

impl Operation for Decree {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        let Decree(Terms { ttl_ms, grace_ms }) = self;
        let mut store = step.write(Durability::Durable)?.open_table(STORE)?;
        store.insert(STORE_TTL_MS, *ttl_ms)?;
        store.insert(STORE_GRACE_MS, *grace_ms)?;
        Ok(())
    }

    fn announce(self, (): &(), _: &Shared) {}
}
