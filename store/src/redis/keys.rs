//! The names of the keys; the table is in the module's docs.
//!
//! The part in braces is the hash tag: all keys of a partition or shard share a Cluster slot.

use std::sync::Arc;

use outlast_protocol::{RoomName, Sid};

use super::prefix::Prefix;
use crate::{Layout, LeaseName, NodeId, PartitionId, ShardId};

/// The names of keys, which all begin with the deployment's prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(super) fn of(prefix: &Prefix) -> Self {
        let prefix = prefix.as_str().into();
        Keys { prefix }
    }

    pub(super) fn store(&self) -> String {
        format!("{}:store", self.prefix)
    }

    pub(super) fn members(&self) -> String {
        format!("{}:members", self.prefix)
    }

    /// A key of each kind that lies by itself: wherever these lie, the whole store does.
    pub(super) fn homes(&self, layout: Layout) -> Vec<String> {
        let partitions = layout.all_partitions().map(|p| self.topic(p));
        let shards = layout.all_shards().map(|s| self.due(s));
        let own = [self.store(), self.members()];
        partitions.chain(shards).chain(own).collect()
    }

    /// A key of a partition's.
    fn of_partition(&self, PartitionId(p): PartitionId, kind: &str) -> String {
        format!("{}:{{p{p}}}:{kind}", self.prefix)
    }

    /// A key of a room's.
    fn of_room(&self, PartitionId(p): PartitionId, kind: &str, room: &RoomName) -> String {
        format!("{}:{{p{p}}}:{kind}:{room}", self.prefix)
    }

    /// A key of a shard's.
    fn of_shard(&self, ShardId(s): ShardId, kind: &str) -> String {
        format!("{}:{{s{s}}}:{kind}", self.prefix)
    }

    pub(super) fn topic(&self, p: PartitionId) -> String {
        self.of_partition(p, "topic")
    }

    pub(super) fn cursor(&self, p: PartitionId) -> String {
        self.of_partition(p, "cursor")
    }

    pub(super) fn wakes(&self, p: PartitionId) -> String {
        self.of_partition(p, "wakes")
    }

    pub(super) fn unread(&self, p: PartitionId) -> String {
        self.of_partition(p, "unread")
    }

    pub(super) fn notes(&self, p: PartitionId) -> String {
        self.of_partition(p, "notes")
    }

    pub(super) fn barren(&self, p: PartitionId) -> String {
        self.of_partition(p, "barren")
    }

    pub(super) fn log(&self, p: PartitionId, room: &RoomName) -> String {
        self.of_room(p, "log", room)
    }

    pub(super) fn room(&self, p: PartitionId, room: &RoomName) -> String {
        self.of_room(p, "room", room)
    }

    pub(super) fn parked(&self, p: PartitionId, room: &RoomName) -> String {
        self.of_room(p, "parked", room)
    }

    pub(super) fn lease(&self, name: LeaseName) -> String {
        match name {
            LeaseName::Partition(p) => self.of_partition(p, "lease"),
            LeaseName::Shard(s) => self.of_shard(s, "lease"),
        }
    }

    pub(super) fn epoch(&self, name: LeaseName) -> String {
        match name {
            LeaseName::Partition(p) => self.of_partition(p, "epoch"),
            LeaseName::Shard(s) => self.of_shard(s, "epoch"),
        }
    }

    pub(super) fn session(&self, ShardId(s): ShardId, sid: &Sid) -> String {
        format!("{}:{{s{s}}}:session:{sid}", self.prefix)
    }

    pub(super) fn due(&self, s: ShardId) -> String {
        self.of_shard(s, "due")
    }

    pub(super) fn owned(&self, s: ShardId) -> String {
        self.of_shard(s, "owned")
    }

    pub(super) fn groups(&self, s: ShardId) -> String {
        self.of_shard(s, "groups")
    }
}

/// The names of channels. Redis does not divide channels by database as it does keys, so stores in
/// different databases of one Redis are told apart here.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    prefix: String,
}

impl Channels {
    pub(super) fn of(prefix: &Prefix, database: i64) -> Self {
        let prefix = prefix.as_str();
        let prefix = match database {
            0 => format!("{prefix}:"),
            number => format!("{prefix}/{number}:"),
        };
        Channels { prefix }
    }

    /// Announcements of a room's commits.
    pub(super) fn live(&self, PartitionId(p): PartitionId, room: &RoomName) -> String {
        format!("{}{{p{p}}}:live:{room}", self.prefix)
    }

    /// Replies of a partition's rooms to one process.
    pub(super) fn replies(&self, PartitionId(p): PartitionId, to: &NodeId) -> String {
        format!("{}{{p{p}}}:gw:{to}", self.prefix)
    }

    /// Nudges to one process, or to everybody.
    pub(super) fn nudges(&self, to: Option<&NodeId>) -> String {
        match to {
            Some(to) => format!("{}nudge:{to}", self.prefix),
            None => format!("{}nudge", self.prefix),
        }
    }

    /// Returns the subject of a channel.
    pub(super) fn subject(&self, channel: &[u8]) -> Option<Subject> {
        let name = std::str::from_utf8(channel).ok()?;
        let name = name.strip_prefix(&self.prefix)?;
        let within = name.split_once("}:").map_or(name, |(_, within)| within);
        let (kind, _) = within.split_once(':').unwrap_or((within, ""));
        match kind {
            "live" => Some(Subject::Room),
            "gw" => Some(Subject::Replies),
            "nudge" => Some(Subject::Nudges),
            _ => None,
        }
    }
}

/// The kind of message that a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Room,
    Replies,
    Nudges,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_tells_what_is_said_on_it() {
        let room: RoomName = "chat/gw".parse().unwrap();
        let me = NodeId::from("nudge");
        for database in [0, 3] {
            let channels = Channels::of(&Prefix::default(), database);
            let subject = |channel: String| channels.subject(channel.as_bytes());
            assert_eq!(
                subject(channels.live(PartitionId(7), &room)),
                Some(Subject::Room)
            );
            assert_eq!(
                subject(channels.replies(PartitionId(7), &me)),
                Some(Subject::Replies)
            );
            assert_eq!(subject(channels.nudges(Some(&me))), Some(Subject::Nudges));
            assert_eq!(subject(channels.nudges(None)), Some(Subject::Nudges));
            assert_eq!(subject("something:else".into()), None);
            let other = Channels::of(&"other".parse().unwrap(), database);
            assert_eq!(subject(other.nudges(None)), None);
        }
    }
}
