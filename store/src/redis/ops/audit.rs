use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;
use outlast_protocol::Sid;
use redis::{Cmd, Pipeline, Script};

use super::records::read_sid;
use crate::redis::{
    Redis,
    error::{text, unreadable},
    net::script::ScriptCall,
};
use crate::{Audits, Holder, Mended, NodeId, RecordIndexes, ShardId, StoreError};

static MEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/mend.lua")));

#[async_trait]
impl Audits for Redis {
    async fn owned_after(
        &self,
        shard: ShardId,
        owner: &NodeId,
        after: Option<Sid>,
        max: usize,
    ) -> Result<Vec<Sid>, StoreError> {
        let index = self.keys.owned(shard);
        let from = after.map_or(format!("[{owner} "), |after| format!("({owner} {after}"));
        // '~' comes after everything that a sid can begin with.
        let page = page(&index, from, format!("({owner} ~"), max);
        let listed: Vec<Bytes> = self.nodes.query(&index, &page).await?;
        let sid = |member: &Bytes| {
            let sid = member.rsplit(|byte| *byte == b' ').next();
            read_sid(sid.unwrap_or_default())
        };
        listed.iter().map(sid).collect()
    }

    async fn grouped_after(
        &self,
        shard: ShardId,
        after: Option<&(String, Sid)>,
        max: usize,
    ) -> Result<Vec<(String, Sid)>, StoreError> {
        let index = self.keys.groups(shard);
        let from = after.map_or("-".to_owned(), |(group, sid)| {
            format!("({}:{group} {sid}", group.len())
        });
        let page = page(&index, from, "+".to_owned(), max);
        let listed: Vec<Bytes> = self.nodes.query(&index, &page).await?;
        listed.iter().map(|member| read_place(member)).collect()
    }

    async fn mend(
        &self,
        shard: ShardId,
        seen: &[RecordIndexes],
    ) -> Result<Vec<Mended>, StoreError> {
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let indexes = [
            self.keys.due(shard),
            self.keys.owned(shard),
            self.keys.groups(shard),
        ];
        let records = seen.iter().map(|seen| self.keys.session(shard, &seen.sid));
        let touched: Vec<_> = indexes.into_iter().chain(records).collect();
        let mut script = ScriptCall::new(&MEND, &touched);
        for RecordIndexes {
            sid, owner, group, ..
        } in seen
        {
            script.arg(sid.to_string());
            script.arg(owner.as_ref().map_or("", NodeId::as_str));
            script.arg(group.as_deref().unwrap_or(""));
        }
        let answers: Vec<(u8, u8)> = self.nodes.run(&script).await?;
        let mended = |(removed, restored)| Mended { removed, restored };
        Ok(answers.into_iter().map(mended).collect())
    }

    async fn holders(
        &self,
        shard: ShardId,
        sids: &[Sid],
    ) -> Result<Vec<Option<Holder>>, StoreError> {
        let homes: Vec<_> = sids
            .iter()
            .map(|sid| self.keys.session(shard, sid))
            .collect();
        let Some(home) = homes.first() else {
            return Ok(Vec::new());
        };
        let mut all = Pipeline::new();
        for home in &homes {
            all.cmd("HMGET").arg(home).arg("version").arg("owner");
        }
        let answers: Vec<(Option<u64>, Option<Bytes>)> = self.nodes.query_all(home, &all).await?;
        let holder = |(version, owner): (Option<u64>, Option<Bytes>)| {
            let owner = owner.filter(|owner| !owner.is_empty());
            let gateway = owner.map(|owner| text("an owner", &owner).map(NodeId::from));
            let gateway = gateway.transpose()?;
            Ok(version.map(|version| Holder { version, gateway }))
        };
        answers.into_iter().map(holder).collect()
    }
}

fn page(index: &str, from: String, to: String, max: usize) -> Cmd {
    let mut page = redis::cmd("ZRANGE");
    page.arg(index).arg(from).arg(to);
    page.arg("BYLEX").arg("LIMIT").arg(0).arg(max);
    page
}

/// `length:group sid`
fn read_place(member: &[u8]) -> Result<(String, Sid), StoreError> {
    let member = text("a place in a group", member)?;
    let strange = || unreadable("a place in a group", member);
    let (length, rest) = member.split_once(':').ok_or_else(strange)?;
    let length: usize = length.parse().map_err(|_| strange())?;
    let (group, sid) = rest.split_at_checked(length).ok_or_else(strange)?;
    let sid = sid.strip_prefix(' ').ok_or_else(strange)?;
    Ok((group.to_owned(), read_sid(sid.as_bytes())?))
}
