//! What lies under which key; the table is in the module's docs.
//!
//! The part in braces is the hash tag: all keys of a partition or shard share a Cluster slot.

use outlast_protocol::{RoomName, Sid};

use crate::{Layout, LeaseName, NodeId, Partition, Shard};

pub(super) const STORE: &str = "ol:store";
pub(super) const MEMBERS: &str = "ol:members";

/// A key of each kind that lies by itself: wherever these lie, the whole store does.
pub(super) fn homes(layout: Layout) -> impl Iterator<Item = String> {
    let partitions = layout.all_partitions().map(topic);
    let shards = layout.all_shards().map(due);
    let own = [STORE, MEMBERS].map(String::from);
    partitions.chain(shards).chain(own)
}

pub(super) fn topic(Partition(p): Partition) -> String {
    format!("ol:{{p{p}}}:topic")
}

pub(super) fn cursor(Partition(p): Partition) -> String {
    format!("ol:{{p{p}}}:cursor")
}

pub(super) fn wakes(Partition(p): Partition) -> String {
    format!("ol:{{p{p}}}:wakes")
}

pub(super) fn unread(Partition(p): Partition) -> String {
    format!("ol:{{p{p}}}:unread")
}

pub(super) fn log(Partition(p): Partition, room: &RoomName) -> String {
    format!("ol:{{p{p}}}:log:{room}")
}

pub(super) fn room(Partition(p): Partition, room: &RoomName) -> String {
    format!("ol:{{p{p}}}:room:{room}")
}

pub(super) fn parked(Partition(p): Partition, room: &RoomName) -> String {
    format!("ol:{{p{p}}}:parked:{room}")
}

pub(super) fn lease(name: LeaseName) -> String {
    match name {
        LeaseName::Partition(Partition(p)) => format!("ol:{{p{p}}}:lease"),
        LeaseName::Shard(Shard(s)) => format!("ol:{{s{s}}}:lease"),
    }
}

pub(super) fn epoch(name: LeaseName) -> String {
    match name {
        LeaseName::Partition(Partition(p)) => format!("ol:{{p{p}}}:epoch"),
        LeaseName::Shard(Shard(s)) => format!("ol:{{s{s}}}:epoch"),
    }
}

pub(super) fn session(Shard(s): Shard, sid: &Sid) -> String {
    format!("ol:{{s{s}}}:session:{sid}")
}

pub(super) fn due(Shard(s): Shard) -> String {
    format!("ol:{{s{s}}}:due")
}

pub(super) fn owned(Shard(s): Shard) -> String {
    format!("ol:{{s{s}}}:owned")
}

pub(super) fn groups(Shard(s): Shard) -> String {
    format!("ol:{{s{s}}}:groups")
}

/// The names of channels. Redis does not divide channels by database as it does keys, so stores in
/// different databases of one Redis are told apart here.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    prefix: String,
}

impl Channels {
    pub(super) fn of_database(number: i64) -> Self {
        let prefix = match number {
            0 => "ol:".into(),
            number => format!("ol/{number}:"),
        };
        Channels { prefix }
    }

    /// Announcements of a room's commits.
    pub(super) fn live(&self, Partition(p): Partition, room: &RoomName) -> String {
        format!("{}{{p{p}}}:live:{room}", self.prefix)
    }

    /// Replies of a partition's rooms to one process.
    pub(super) fn replies(&self, Partition(p): Partition, to: &NodeId) -> String {
        format!("{}{{p{p}}}:gw:{to}", self.prefix)
    }

    /// Nudges to one process, or to everybody.
    pub(super) fn nudges(&self, to: Option<&NodeId>) -> String {
        match to {
            Some(to) => format!("{}nudge:{to}", self.prefix),
            None => format!("{}nudge", self.prefix),
        }
    }

    /// What is said on a channel.
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

/// What kind of thing a channel carries.
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
            let channels = Channels::of_database(database);
            let subject = |channel: String| channels.subject(channel.as_bytes());
            assert_eq!(
                subject(channels.live(Partition(7), &room)),
                Some(Subject::Room)
            );
            assert_eq!(
                subject(channels.replies(Partition(7), &me)),
                Some(Subject::Replies)
            );
            assert_eq!(subject(channels.nudges(Some(&me))), Some(Subject::Nudges));
            assert_eq!(subject(channels.nudges(None)), Some(Subject::Nudges));
            assert_eq!(subject("something:else".into()), None);
        }
    }
}
