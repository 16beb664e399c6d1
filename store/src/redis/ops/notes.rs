use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Script;

use crate::redis::{Redis, net::script::ScriptCall};
use crate::{LeaseName, NoteChange, Notes, PartitionId, StoreError};

static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/note.lua")));

#[async_trait]
impl Notes for Redis {
    async fn notes(&self, partition: PartitionId) -> Result<Vec<(String, String)>, StoreError> {
        let mut all = redis::cmd("HGETALL");
        let key = self.keys.notes(partition);
        self.nodes.query(&key, all.arg(&key)).await
    }

    async fn note(
        &self,
        partition: PartitionId,
        epoch: u64,
        changes: &[NoteChange],
    ) -> Result<(), StoreError> {
        let lease = LeaseName::Partition(partition);
        let set = changes
            .iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let gone = changes.iter().filter(|(_, text)| text.is_none());
        let mut script =
            ScriptCall::new(&NOTE, &[self.keys.epoch(lease), self.keys.notes(partition)]);
        script.arg(epoch).arg(set.clone().count());
        for (name, text) in set {
            script.arg(name).arg(text);
        }
        for (name, _) in gone {
            script.arg(name);
        }
        match self.nodes.run::<u64>(&script).await? {
            0 => Err(StoreError::Fenced { epoch }),
            _ => Ok(()),
        }
    }
}
