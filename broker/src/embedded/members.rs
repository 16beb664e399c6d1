use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Embedded;
use crate::{Beat, BrokerError, Member, Membership, NodeId, Role};

/// Who is alive, by name. It lies in memory, as all of them live in this process.
#[derive(Debug, Default)]
pub(super) struct MemberBook(Mutex<BTreeMap<NodeId, Member>>);

#[async_trait]
impl Membership for Embedded {
    async fn beat(&self, id: &NodeId, role: Role) -> Result<Beat, BrokerError> {
        let now_ms = self.shared.clock.now_ms();
        let member = Member {
            id: id.clone(),
            role,
            heard_ms: now_ms,
        };
        let known = self.shared.members.0.lock().insert(id.clone(), member);
        let unknown = known.is_none();
        Ok(Beat { now_ms, unknown })
    }

    async fn members(&self) -> Result<(u64, Vec<Member>), BrokerError> {
        let members = self.shared.members.0.lock().values().cloned().collect();
        Ok((self.shared.clock.now_ms(), members))
    }

    async fn strike(&self, id: &NodeId, heard_ms: Option<u64>) -> Result<bool, BrokerError> {
        let mut members = self.shared.members.0.lock();
        let silent = |member: &Member| heard_ms.is_none_or(|ms| member.heard_ms <= ms);
        let strike = members.get(id).is_some_and(silent);
        if strike {
            members.remove(id);
        }
        Ok(strike)
    }
}
