use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::Sid;
use redis::{Pipeline, Script};

use super::{Redis, clock_ms, errand::Call, keys, unexpected};
use crate::{BrokerError, NodeId, Read, Record, Records, Shard, Write, Written};

const WRITE: &str = include_str!("write.lua");

/// Changes and deletes, also at the memory limit.
static CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(WRITE));
/// Creates, but not at the memory limit.
static CREATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(&WRITE.replacen(" flags=allow-oom", "", 1)));
static DUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("due.lua")));

#[async_trait]
impl Records for Redis {
    async fn read(&self, shard: Shard, sid: &Sid) -> Result<Read, BrokerError> {
        type Found = ((u64, u64), (Option<u64>, Option<Bytes>));
        let mut all = Pipeline::new();
        all.cmd("TIME");
        let home = keys::session(shard, sid);
        all.cmd("HMGET").arg(&home).arg("version").arg("value");
        let (time, (version, value)): Found = self.nodes.query_all(&home, &all).await?;
        let record = version
            .zip(value)
            .map(|(version, value)| Record { value, version });
        Ok(Read {
            now_ms: clock_ms(time),
            record,
        })
    }

    async fn write(&self, shard: Shard, write: Write) -> Result<Written, BrokerError> {
        let script = if write.expect == 0 { &CREATE } else { &CHANGE };
        let touched = [
            keys::session(shard, &write.sid),
            keys::due(shard),
            keys::owned(shard),
            keys::owners(shard),
            keys::groups(shard),
        ];
        let mut script = Call::new(script, &touched);
        script.arg(write.sid.to_string()).arg(write.expect);
        script.arg(write.due_ms.map_or(String::new(), |ms| ms.to_string()));
        script.arg(write.owner.as_ref().map_or("", NodeId::as_str));
        script.arg(write.group.as_ref().map_or("", |group| &group.name));
        script.arg(write.group.as_ref().map_or(0, |group| group.max));
        if let Some(value) = &write.value {
            script.arg(value.as_ref());
        }
        match self.nodes.run::<String>(&script).await?.as_str() {
            "done" => Ok(Written::Done {
                version: write.expect + 1,
            }),
            "conflict" => Ok(Written::Conflict),
            "full" => Ok(Written::GroupFull),
            other => Err(unexpected(other)),
        }
    }

    async fn due(&self, shard: Shard, max: usize) -> Result<Vec<Sid>, BrokerError> {
        let mut script = Call::reading(&DUE, &[keys::due(shard)]);
        let sids: Vec<String> = self.nodes.run(script.arg(max)).await?;
        sids.iter().map(|sid| read_sid(sid)).collect()
    }

    async fn waiting(&self, shard: Shard) -> Result<u64, BrokerError> {
        let due = keys::due(shard);
        self.nodes.query(&due, redis::cmd("ZCARD").arg(&due)).await
    }

    async fn owners(&self, shard: Shard) -> Result<Vec<NodeId>, BrokerError> {
        let mut fields = redis::cmd("HKEYS");
        let owners = keys::owners(shard);
        let owners: Vec<String> = self.nodes.query(&owners, fields.arg(&owners)).await?;
        Ok(owners
            .iter()
            .map(|owner| NodeId::from(owner.as_str()))
            .collect())
    }

    async fn owned(
        &self,
        shard: Shard,
        owner: &NodeId,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        self.listed(keys::owned(shard), format!("{owner} "), max)
            .await
    }

    async fn grouped(
        &self,
        shard: Shard,
        group: &str,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        let prefix = format!("{}:{group} ", group.len());
        self.listed(keys::groups(shard), prefix, max).await
    }
}

impl Redis {
    /// The sids of an index whose members begin with `prefix`, which ends with a space.
    async fn listed(
        &self,
        index: String,
        prefix: String,
        max: usize,
    ) -> Result<Vec<Sid>, BrokerError> {
        let mut range = redis::cmd("ZRANGE");
        // '~' comes behind everything that a sid can begin with.
        range
            .arg(&index)
            .arg(format!("[{prefix}"))
            .arg(format!("({prefix}~"));
        range.arg("BYLEX").arg("LIMIT").arg(0).arg(max);
        let listed: Vec<String> = self.nodes.query(&index, &range).await?;
        let sid = |member: &String| read_sid(member.rsplit(' ').next().unwrap_or_default());
        listed.iter().map(sid).collect()
    }
}

fn read_sid(text: &str) -> Result<Sid, BrokerError> {
    text.parse()
        .map_err(|error| BrokerError::Unreadable(format!("the sid {text:?}: {error}")))
}
