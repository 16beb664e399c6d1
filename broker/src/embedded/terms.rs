use async_trait::async_trait;

use super::{
    Embedded, Shared,
    halt::Halt,
    step::{Promise, Step},
    tables::{STORE, STORE_GRACE_MS, STORE_TTL_MS},
    writer::Operation,
};
use crate::{Agreement, BrokerError, Terms};

#[async_trait]
impl Agreement for Embedded {
    async fn agree(&self, ours: Terms) -> Result<Terms, BrokerError> {
        let known = self.look(|txn| {
            let store = txn.open_table(STORE)?;
            let number = |key| Ok::<_, Halt>(store.get(key)?.map(|value| value.value()));
            Ok(number(STORE_TTL_MS)?.zip(number(STORE_GRACE_MS)?))
        });
        match known.await? {
            Some((ttl_ms, grace_ms)) => Ok(Terms { ttl_ms, grace_ms }),
            None => self.decree(ours).await.map(|()| ours),
        }
    }

    async fn decree(&self, ours: Terms) -> Result<(), BrokerError> {
        self.writer.run(Decree(ours)).await
    }
}

struct Decree(Terms);

impl Operation for Decree {
    type Output = ();

    fn run(&mut self, step: &Step<'_>) -> Result<(), Halt> {
        let Decree(Terms { ttl_ms, grace_ms }) = self;
        let mut store = step.write(Promise::Durable)?.open_table(STORE)?;
        store.insert(STORE_TTL_MS, *ttl_ms)?;
        store.insert(STORE_GRACE_MS, *grace_ms)?;
        Ok(())
    }

    fn announce(self, (): &(), _: &Shared) {}
}
