//! A commit as its script reads it: every value already in the form in which it is stored.

use std::collections::BTreeMap;

use outlast_protocol::NUMBER_MAX;
use serde::Serialize;

use super::fields::{END, HEAD, SNAPSHOT, SNAPSHOT_OFF, seat_field, to_json};
use crate::redis::keys::{Channels, Keys};
use crate::{Commit, LeaseName, RoomCommit, TopicId};

/// See `commit.lua`. Everything is text: Lua's numbers lose digits beyond 2⁵³, and the MessagePack of
/// Redis 7.0 does not know bytes.
#[derive(Debug, Serialize)]
pub(in crate::redis) struct PackedCommit<'a> {
    epoch: String,
    from: String,
    to: String,
    /// Topic entries before this id go.
    topic_from: Option<String>,
    unread: &'a [String],
    /// So many of the oldest unread go.
    reread: Option<String>,
    unnote: &'a [String],
    rooms: Vec<PackedRoom<'a>>,
    replies: Vec<PackedReplies>,
}

#[derive(Debug, Serialize)]
struct PackedRoom<'a> {
    name: &'a str,
    channel: String,
    prev: String,
    positions: Vec<String>,
    entries: Vec<String>,
    /// Log entries before this off go.
    log_from: Option<String>,
    /// Fields of the room's hash, each followed by its value.
    set: Vec<String>,
    forget: Vec<String>,
    wake_ms: Option<String>,
    ttl_ms: Option<String>,
    park: Vec<String>,
    unpark: bool,
    signals: Vec<&'a str>,
}

/// All that one gateway is told, as one JSON list.
#[derive(Debug, Serialize)]
struct PackedReplies {
    channel: String,
    texts: String,
}

/// The keys that a commit touches, in the order in which its script expects them.
pub(in crate::redis) fn keys_of(keys: &Keys, commit: &Commit) -> Vec<String> {
    let p = commit.partition;
    let mut all = vec![
        keys.epoch(LeaseName::Partition(p)),
        keys.cursor(p),
        keys.topic(p),
        keys.wakes(p),
        keys.unread(p),
        keys.notes(p),
    ];
    for RoomCommit { room, .. } in &commit.rooms {
        all.extend([keys.log(p, room), keys.room(p, room), keys.parked(p, room)]);
    }
    all
}

/// True if each room's entries follow upon each other and upon what is there. XADD would refuse those
/// that do not, when others have been written already.
pub(in crate::redis) fn is_sound(commit: &Commit) -> bool {
    commit.rooms.iter().all(|room| {
        let offs = room.entries.iter().map(|entry| entry.pos.off);
        offs.eq((room.prev.off + 1..).take(room.entries.len()))
    })
}

impl<'a> PackedCommit<'a> {
    pub(in crate::redis) fn new(commit: &'a Commit, channels: &Channels) -> Self {
        let after = |id: TopicId| {
            TopicId {
                ms: id.ms,
                seq: id.seq.saturating_add(1),
            }
            .to_string()
        };
        let took_some = commit.to.topic != commit.from.topic;
        PackedCommit {
            epoch: commit.epoch.to_string(),
            from: commit.from.to_string(),
            to: commit.to.to_string(),
            topic_from: took_some.then(|| after(commit.to.topic)),
            unread: &commit.unread,
            reread: (commit.reread > 0).then(|| commit.reread.to_string()),
            unnote: &commit.unnote,
            rooms: commit
                .rooms
                .iter()
                .map(|room| PackedRoom::new(commit, room, channels))
                .collect(),
            replies: packed_replies(commit, channels),
        }
    }

    pub(in crate::redis) fn to_msgpack(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("strings and lists of strings can be packed")
    }
}

impl<'a> PackedRoom<'a> {
    fn new(commit: &Commit, room: &'a RoomCommit, channels: &Channels) -> Self {
        let mut set = Vec::new();
        let mut forget = Vec::new();
        for (sid, seat) in &room.seats {
            let field = seat_field(sid);
            match seat {
                Some(seat) => set.extend([field, to_json(seat)]),
                None => forget.push(field),
            }
        }
        if let Some(head) = &room.head {
            set.extend([HEAD.into(), head.clone()]);
        }
        if let Some(snapshot) = &room.snapshot {
            set.extend([SNAPSHOT.into(), to_json(snapshot)]);
            set.extend([SNAPSHOT_OFF.into(), snapshot.pos.off.to_string()]);
        }
        let end = room.entries.last().map_or(room.prev, |entry| entry.pos);
        if end != room.prev {
            set.extend([END.into(), end.to_string()]);
        }
        PackedRoom {
            name: room.room.as_str(),
            channel: channels.live(commit.partition, &room.room),
            prev: room.prev.to_string(),
            positions: room
                .entries
                .iter()
                .map(|entry| entry.pos.to_string())
                .collect(),
            entries: room.entries.iter().map(to_json).collect(),
            // The last entry always stays (E2).
            log_from: room.trim_below.map(|off| off.min(end.off).to_string()),
            set,
            forget,
            wake_ms: room.wake_ms.map(|ms| ms.to_string()),
            // Redis refuses an expiry beyond what 63 bits hold.
            ttl_ms: room.ttl_ms.map(|ms| ms.min(NUMBER_MAX).to_string()),
            park: room.park.iter().map(to_json).collect(),
            unpark: room.unpark,
            signals: room.signals.iter().map(|signal| signal.as_json()).collect(),
        }
    }
}

/// Replies to one gateway share a message and keep their order.
fn packed_replies(commit: &Commit, channels: &Channels) -> Vec<PackedReplies> {
    let mut by_gateway = BTreeMap::<_, Vec<_>>::new();
    for (gateway, reply) in &commit.replies {
        by_gateway.entry(gateway).or_default().push(reply);
    }
    let packed = by_gateway
        .into_iter()
        .map(|(gateway, replies)| PackedReplies {
            channel: channels.replies(commit.partition, gateway),
            texts: to_json(&replies),
        });
    packed.collect()
}
