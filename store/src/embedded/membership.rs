use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Embedded;
use crate::{HeartbeatReply, Membership, Node, NodeId, Role, StoreError};

/// The living processes, by name. It lies in memory, as all of them live in this process.
#[derive(Debug, Default)]
pub(super) struct NodeTable(Mutex<BTreeMap<NodeId, Node>>);

#[async_trait]
impl Membership for Embedded {
    async fn heartbeat(&self, id: &NodeId, role: Role) -> Result<HeartbeatReply, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        let member = Node {
            id: id.clone(),
            role,
            heard_ms: now_ms,
        };
        let known = self.shared.members.0.lock().insert(id.clone(), member);
        let unknown = known.is_none();
        Ok(HeartbeatReply { now_ms, unknown })
    }

    async fn nodes(&self) -> Result<(u64, Vec<Node>), StoreError> {
        let members = self.shared.members.0.lock().values().cloned().collect();
        Ok((self.shared.clock.now_ms(), members))
    }

    async fn deregister(&self, id: &NodeId, heard_ms: Option<u64>) -> Result<bool, StoreError> {
        let mut members = self.shared.members.0.lock();
        let silent = |member: &Node| heard_ms.is_none_or(|ms| member.heard_ms <= ms);
        let strike = members.get(id).is_some_and(silent);
        if strike {
            members.remove(id);
        }
        Ok(strike)
    }
}
