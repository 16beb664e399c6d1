use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::Sid;
use redis::{Pipeline, Script, Value};

use crate::redis::{
    Redis,
    clock::Clock,
    error::{read_value, store_error, text, unreadable},
    keys::Keys,
    net::{
        batcher::{Answers, Batch},
        nodes::Nodes,
        script::ScriptCall,
    },
};
use crate::{NodeId, Record, RecordRead, RecordWrite, Records, ShardId, StoreError, WriteOutcome};

const WRITE: &str = include_str!("../lua/write.lua");

/// Changes and deletes, also at the memory limit.
static CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(WRITE));
/// Creates, but not at the memory limit.
static CREATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(&WRITE.replacen(" flags=allow-oom", "", 1)));
static DUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/due.lua")));
static OWNERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/owners.lua")));

/// Reads of records, gathered.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Reads {
    pub(in crate::redis) nodes: Nodes,
    pub(in crate::redis) keys: Keys,
    pub(in crate::redis) clock: Arc<Clock>,
}

impl Batch for Reads {
    type Ask = (ShardId, Sid);
    type Answer = RecordRead;

    fn bytes(_: &(ShardId, Sid)) -> usize {
        const KEY: usize = 64;
        KEY
    }

    async fn send(&self, asks: &[(ShardId, Sid)]) -> Result<Answers<Self>, StoreError> {
        let mut all = Pipeline::new();
        let homes: Vec<_> = asks
            .iter()
            .map(|(shard, sid)| self.keys.session(*shard, sid))
            .collect();
        for home in &homes {
            all.cmd("HMGET").arg(home).arg("version").arg("value");
        }
        // One that cannot be read is not the others' error; who asks alone may be sent to another node.
        if asks.len() > 1 {
            all.ignore_errors();
        }
        let home = homes.first().map_or("", String::as_str);
        let answers: Vec<Value> = self.nodes.query_all(home, &all).await?;
        let now_ms = self.clock.now_ms();
        let answers = answers.into_iter();
        Ok(answers.map(|answer| read(answer, now_ms)).collect())
    }
}

fn read(answer: Value, now_ms: u64) -> Result<RecordRead, StoreError> {
    if let Value::ServerError(error) = answer {
        return Err(store_error(error.into()));
    }
    let (version, value): (Option<Bytes>, Option<Bytes>) = read_value(answer)?;
    let record = version
        .zip(value)
        .map(|(version, value)| -> Result<_, StoreError> {
            let version = text("a record's version", &version)?.parse();
            let version = version.map_err(|error| unreadable("a record's version", error))?;
            Ok(Record { value, version })
        });
    Ok(RecordRead {
        now_ms,
        record: record.transpose()?,
    })
}

/// Writes of records, gathered.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Writes {
    nodes: Nodes,
    keys: Keys,
    script: &'static LazyLock<Script>,
}

impl Writes {
    /// Of records that must be there.
    pub(in crate::redis) fn changing(nodes: Nodes, keys: Keys) -> Self {
        let script = &CHANGE;
        Writes {
            nodes,
            keys,
            script,
        }
    }

    /// Of records that must not be there yet.
    pub(in crate::redis) fn creating(nodes: Nodes, keys: Keys) -> Self {
        let script = &CREATE;
        Writes {
            nodes,
            keys,
            script,
        }
    }
}

impl Batch for Writes {
    type Ask = (ShardId, RecordWrite);
    type Answer = WriteOutcome;

    fn bytes((_, write): &(ShardId, RecordWrite)) -> usize {
        const INDEXES: usize = 256;
        INDEXES + write.value.as_ref().map_or(0, Bytes::len)
    }

    async fn send(&self, asks: &[(ShardId, RecordWrite)]) -> Result<Answers<Self>, StoreError> {
        let touched = asks.iter().flat_map(|(shard, write)| {
            [
                self.keys.session(*shard, &write.sid),
                self.keys.due(*shard),
                self.keys.owned(*shard),
                self.keys.groups(*shard),
            ]
        });
        let touched: Vec<_> = touched.collect();
        let bytes = asks.iter().map(Self::bytes).sum();
        let mut script = ScriptCall::of_bytes(self.script, &touched, bytes);
        for (_, write) in asks {
            script.arg(write.sid.to_string()).arg(write.expect);
            script.arg(write.due_ms.map_or(String::new(), |ms| ms.to_string()));
            script.arg(write.owner.as_ref().map_or("", NodeId::as_str));
            script.arg(write.group.as_ref().map_or("", |group| &group.name));
            script.arg(write.group.as_ref().map_or(0, |group| group.max));
            match &write.value {
                Some(value) => script.arg("keep").arg(value.as_ref()),
                None => script.arg("delete").arg(""),
            };
        }
        let outcomes: Vec<String> = self.nodes.run(&script).await?;
        let written =
            |((_, write), outcome): (&(ShardId, RecordWrite), String)| match outcome.as_str() {
                "done" => Ok(WriteOutcome::Done {
                    version: write.expect + 1,
                }),
                "conflict" => Ok(WriteOutcome::Conflict),
                "full" => Ok(WriteOutcome::GroupFull),
                why => Err(StoreError::Unavailable(why.to_owned())),
            };
        Ok(asks.iter().zip(outcomes).map(written).collect())
    }
}

#[async_trait]
impl Records for Redis {
    async fn read(&self, shard: ShardId, sid: &Sid) -> Result<RecordRead, StoreError> {
        self.reads.ask((shard, *sid)).await
    }

    async fn write(&self, shard: ShardId, write: RecordWrite) -> Result<WriteOutcome, StoreError> {
        let writes = if write.expect == 0 {
            &self.creates
        } else {
            &self.changes
        };
        writes.ask((shard, write)).await
    }

    async fn due(&self, shard: ShardId, max: usize) -> Result<Vec<Sid>, StoreError> {
        let mut script = ScriptCall::reading(&DUE, &[self.keys.due(shard)]);
        script.arg(self.clock.now_ms()).arg(max);
        let sids: Vec<Bytes> = self.nodes.run(&script).await?;
        sids.iter().map(|sid| read_sid(sid)).collect()
    }

    async fn waiting(&self, shard: ShardId) -> Result<u64, StoreError> {
        let due = self.keys.due(shard);
        self.nodes.query(&due, redis::cmd("ZCARD").arg(&due)).await
    }

    async fn owners(&self, shard: ShardId) -> Result<Vec<NodeId>, StoreError> {
        let script = ScriptCall::reading(&OWNERS, &[self.keys.owned(shard)]);
        let owners: Vec<Bytes> = self.nodes.run(&script).await?;
        let owner = |owner: &Bytes| text("an owner", owner).map(NodeId::from);
        owners.iter().map(owner).collect()
    }

    async fn owned(
        &self,
        shard: ShardId,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        self.listed(self.keys.owned(shard), format!("{owner} "), max)
            .await
    }

    async fn grouped(
        &self,
        shard: ShardId,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let prefix = format!("{}:{group} ", group.len());
        self.listed(self.keys.groups(shard), prefix, max).await
    }
}

impl Redis {
    /// The sids of an index whose members begin with `prefix`, which ends with a space.
    async fn listed(
        &self,
        index: String,
        prefix: String,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        // '~' comes after everything that a sid can begin with.
        range
            .arg(&index)
            .arg(format!("[{prefix}"))
            .arg(format!("({prefix}~"));
        range.arg("BYLEX").arg("LIMIT").arg(0).arg(max);
        let listed: Vec<Bytes> = self.nodes.query(&index, &range).await?;
        let sid = |member: &Bytes| {
            read_sid(
                member
                    .rsplit(|&byte| byte == b' ')
                    .next()
                    .unwrap_or_default(),
            )
        };
        listed.iter().map(sid).collect()
    }
}

pub(in crate::redis) fn read_sid(sid: &[u8]) -> Result<Sid, StoreError> {
    let sid = text("a sid", sid)?;
    sid.parse()
        .map_err(|error| unreadable(format_args!("the sid {sid:?}"), error))
}
