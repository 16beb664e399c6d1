use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Script;

use crate::redis::{
    Redis,
    error::{skip, text},
    net::script::ScriptCall,
};
use crate::{HeartbeatReply, Membership, Node, NodeId, Role, StoreError};

static HEARTBEAT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/heartbeat.lua")));
static DEREGISTER: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/deregister.lua")));

#[async_trait]
impl Membership for Redis {
    async fn heartbeat(&self, id: &NodeId, role: Role) -> Result<HeartbeatReply, StoreError> {
        let now_ms = self.clock.sync_or_reckon().await;
        let mut script = ScriptCall::new(&HEARTBEAT, &[self.keys.members()]);
        script.arg(written(role, id)).arg(now_ms);
        let unknown = self.nodes.run(&script).await?;
        Ok(HeartbeatReply { now_ms, unknown })
    }

    async fn nodes(&self) -> Result<(u64, Vec<Node>), StoreError> {
        let key = self.keys.members();
        let mut all = redis::cmd("ZRANGE");
        all.arg(&key).arg(0).arg(-1).arg("WITHSCORES");
        let members: Vec<(Vec<u8>, f64)> = self.nodes.query(&key, &all).await?;
        let members = members.iter().filter_map(|(member, heard)| {
            let read = read(member, *heard as u64);
            read.map_err(|error| skip(&error)).ok()
        });
        let members = members.collect();
        Ok((self.clock.now_ms(), members))
    }

    async fn deregister(&self, id: &NodeId, heard_ms: Option<u64>) -> Result<bool, StoreError> {
        let mut script = ScriptCall::new(&DEREGISTER, &[self.keys.members()]);
        script.arg(heard_ms.map_or(String::new(), |ms| ms.to_string()));
        for role in ROLES {
            script.arg(written(role, id));
        }
        self.nodes.run(&script).await
    }
}

const ROLES: [Role; 3] = [Role::Gateway, Role::Worker, Role::Keeper];

/// Returns a member as it is written down: `role id`.
fn written(role: Role, id: &NodeId) -> String {
    let role = match role {
        Role::Gateway => "gateway",
        Role::Worker => "worker",
        Role::Keeper => "keeper",
    };
    format!("{role} {id}")
}

fn read(member: &[u8], heard_ms: u64) -> Result<Node, StoreError> {
    let member = text("a member", member)?;
    let is = |role: &Role, id: &NodeId| written(*role, id) == member;
    let (_, id) = member.split_once(' ').unwrap_or_default();
    let id = NodeId::from(id);
    match ROLES.into_iter().find(|role| is(role, &id)) {
        Some(role) => Ok(Node { id, role, heard_ms }),
        None => Err(StoreError::Unreadable(format!("the member {member:?}"))),
    }
}
