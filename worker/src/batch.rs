use outlast_protocol::{RoomName, Sid};
use outlast_store::{Answer, NodeId, Reply};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The parts of one commit, apart from what each room adds.
pub(crate) struct Batch {
    /// The store's time, in milliseconds since the epoch.
    pub(crate) now_ms: u64,
    /// Tells this commit's entries from those of any other.
    pub(crate) tag: u64,
    /// The rooms' only source of chance.
    pub(crate) rng: StdRng,
    pub(crate) replies: Vec<(NodeId, Reply)>,
    /// About the size of the commit so far, in bytes.
    pub(crate) bytes: usize,
}

/// The session that an input is about, and the socket that brought it.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub(crate) sid: Sid,
    pub(crate) generation: u64,
    pub(crate) gateway: Option<NodeId>,
}

impl Batch {
    pub(crate) fn new(now_ms: u64, entropy: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(entropy);
        Batch {
            now_ms,
            tag: u64::from(rng.random::<u32>()),
            rng,
            replies: Vec::new(),
            bytes: 0,
        }
    }

    /// Returns the gateway that asked, if one did.
    pub(crate) fn reply(&mut self, to: &Requester, room: &RoomName, answer: Answer) {
        let Some(gateway) = &to.gateway else { return };
        self.bytes += match &answer {
            Answer::Joined { state, .. } => state.as_json().len(),
            Answer::Seated { state, .. } => state.as_ref().map_or(0, |s| s.as_json().len()),
            Answer::Outcome(_)
            | Answer::Gap { .. }
            | Answer::NotTaken { .. }
            | Answer::Superseded { .. } => 0,
        };
        let reply = Reply {
            sid: to.sid,
            room: room.clone(),
            answer,
        };
        self.replies.push((gateway.clone(), reply));
    }
}
