use std::{collections::BTreeMap, time::Duration};

use outlast_protocol::Sid;
use outlast_store::{RecordIndexes, ShardId, StoreError};
use tokio::time::Instant;

use crate::records::{MEND_MAX, Records};

/// A slow walk through the groups of users, in which every session stands that is not over: what has lost its
/// record is taken out, and what has lost its place in another index is put back there (S11).
///
/// Of the other two indexes, what is due is looked at when it is, and what a gateway owns by that gateway, or
/// at its death.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    shards: BTreeMap<ShardId, Walk>,
}

/// The progress with one shard.
#[derive(Debug)]
struct Walk {
    began: Instant,
    /// Behind which place it goes on; none when it is through.
    after: Option<(String, Sid)>,
    /// True if it is through.
    done: bool,
}

impl Sweep {
    /// Looks at the next few places of each shard that is held, if it is time to.
    pub(super) async fn turn(
        &mut self,
        records: &Records,
        held: &[ShardId],
    ) -> Result<(), StoreError> {
        self.shards.retain(|shard, _| held.contains(shard));
        let every = Duration::from_millis(records.settings().audit_ms);
        for shard in held {
            let walk = self.shards.entry(*shard).or_insert_with(Walk::begin);
            if walk.done && walk.began.elapsed() < every {
                continue;
            }
            if walk.done {
                *walk = Walk::begin();
            }
            let places = records
                .store
                .grouped_after(*shard, walk.after.as_ref(), MEND_MAX)
                .await?;
            walk.done = places.len() < MEND_MAX;
            let last = places.last().cloned();
            let seen = places.into_iter().map(|(group, sid)| RecordIndexes {
                group: Some(group),
                ..RecordIndexes::nowhere(sid)
            });
            records.mend(*shard, &seen.collect::<Vec<_>>()).await?;
            walk.after = last.filter(|_| !walk.done);
        }
        Ok(())
    }
}

impl Walk {
    fn begin() -> Self {
        Walk {
            began: Instant::now(),
            after: None,
            done: false,
        }
    }
}
