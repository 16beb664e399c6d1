use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Script;

use super::{Redis, errand::Call};
use crate::{BrokerError, LeaseName, NoteChange, Notes, Partition};

static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("note.lua")));

#[async_trait]
impl Notes for Redis {
    async fn notes(&self, partition: Partition) -> Result<Vec<(String, String)>, BrokerError> {
        let mut all = redis::cmd("HGETALL");
        let key = self.keys.notes(partition);
        self.nodes.query(&key, all.arg(&key)).await
    }

    async fn note(
        &self,
        partition: Partition,
        epoch: u64,
        changes: &[NoteChange],
    ) -> Result<(), BrokerError> {
        let lease = LeaseName::Partition(partition);
        let set = changes
            .iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let gone = changes.iter().filter(|(_, text)| text.is_none());
        let mut script = Call::new(&NOTE, &[self.keys.epoch(lease), self.keys.notes(partition)]);
        script.arg(epoch).arg(set.clone().count());
        for (name, text) in set {
            script.arg(name).arg(text);
        }
        for (name, _) in gone {
            script.arg(name);
        }
        match self.nodes.run::<u64>(&script).await? {
            0 => Err(BrokerError::Fenced { epoch }),
            _ => Ok(()),
        }
    }
}
