use std::collections::{BTreeMap, HashMap};

use outlast_protocol::{Member, Payload, Pos, RoomName};

use super::verdict::{Verdict, Wrong};

/// What a store holds of a room's log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomLog {
    /// The entries, in the order of the log.
    pub entries: Vec<Logged>,
}

/// An entry of a room's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Where it stands.
    pub pos: Pos,
    /// What it says.
    pub body: LoggedBody,
}

/// What an entry of a room's log says.
#[derive(Debug, Clone, PartialEq)]
pub enum LoggedBody {
    /// For every member, but for `by` itself where it is quiet (A2).
    Event {
        /// The member whose action caused it.
        by: Option<Member>,
        /// The number of that action.
        n: Option<u64>,
        /// Whether `by` is not sent it.
        quiet: bool,
        /// What happened.
        data: Payload,
    },
    /// For one member.
    Notice {
        /// Which.
        to: Member,
        /// What there is to know.
        data: Payload,
    },
    /// The outcome of a member's action.
    Result {
        /// Which member.
        to: Member,
        /// The action's number.
        n: u64,
        /// Whether the room took it.
        ok: bool,
    },
}

impl RoomLog {
    pub(super) fn first_off(&self) -> u64 {
        self.entries.first().map_or(1, |entry| entry.pos.off)
    }

    pub(super) fn last_off(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.pos.off)
    }

    /// The entry with that `off`; the log has no holes.
    pub(super) fn at(&self, off: u64) -> Option<&Logged> {
        let index = off.checked_sub(self.first_off())?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Entries between two offs, both exclusive, that a member is sent.
    pub(super) fn between(
        &self,
        after: u64,
        before: u64,
        member: Member,
    ) -> impl Iterator<Item = &Logged> {
        let inside = (after + 1).max(self.first_off())..before.min(self.last_off() + 1);
        inside
            .filter_map(|off| self.at(off))
            .filter(move |entry| entry.body.is_for(member))
    }
}

impl LoggedBody {
    fn is_for(&self, member: Member) -> bool {
        match self {
            LoggedBody::Event { by, quiet, .. } => !(*quiet && *by == Some(member)),
            LoggedBody::Notice { to, .. } | LoggedBody::Result { to, .. } => *to == member,
        }
    }
}

/// The logs by themselves: no hole, and no action with two outcomes.
pub(super) fn check(logs: &BTreeMap<RoomName, RoomLog>, verdict: &mut Verdict) {
    for (room, log) in logs {
        for (before, after) in log.entries.iter().zip(log.entries.iter().skip(1)) {
            if after.pos.off != before.pos.off + 1 {
                let what = format!("the log jumps from {} to {}", before.pos, after.pos);
                verdict.find(Wrong::Lost, None, Some(room), what);
            }
        }
        let mut outcomes: HashMap<(Member, u64), Pos> = HashMap::new();
        for entry in &log.entries {
            let (member, n) = match entry.body {
                LoggedBody::Event {
                    by: Some(by),
                    n: Some(n),
                    ..
                } => (by, n),
                LoggedBody::Result { to, n, .. } => (to, n),
                LoggedBody::Event { .. } | LoggedBody::Notice { .. } => continue,
            };
            if let Some(first) = outcomes.insert((member, n), entry.pos) {
                let what = format!(
                    "action {n} of member {member} at {first} and at {}",
                    entry.pos
                );
                verdict.find(Wrong::Doubled, None, Some(room), what);
            }
        }
    }
}
