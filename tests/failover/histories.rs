//! Two histories: the one that the store holds in the end, and the tail of the one that was lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Instant,
};

use outlast_protocol::{Pos, RoomName, ServerFrame, SnapshotReason};
use reconnect_storm::{Record, RoomLog, Seen};

/// The clients' observations of both.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// The number of entries that were seen and are in no log any more.
    pub(crate) lost: usize,
    /// The number of times that a client was told so.
    pub(crate) resets: usize,
    /// The number of sessions that were gone.
    pub(crate) sessions_gone: usize,
    /// The clients that went on as if nothing had been lost.
    pub(crate) wrong: Vec<String>,
}

/// Judges what clients saw: whoever was told a position that the store has lost is told that (`diverged`, or
/// 4001) before the next entry of that room, and is told of nothing lost after that, nor after having come
/// back when another master was there.
pub(crate) fn check(
    records: &[Record],
    logs: &BTreeMap<RoomName, RoomLog>,
    anew: Instant,
) -> Histories {
    let mut all = Histories::default();
    for (client, record) in records.iter().enumerate() {
        let mut astray = BTreeSet::new();
        let mut told = BTreeSet::new();
        let mut came_back = false;
        for seen in &record.observations {
            if seen.what == Seen::SessionGone {
                astray.clear();
                all.sessions_gone += 1;
            }
            let Seen::Heard(frame) = &seen.what else {
                continue;
            };
            if let ServerFrame::Resumed { .. } | ServerFrame::Welcome { .. } = frame {
                came_back |= seen.at > anew;
            }
            let Some((room, pos, begins)) = position(frame) else {
                continue;
            };
            if let ServerFrame::Snapshot {
                reason: SnapshotReason::Diverged,
                ..
            } = frame
            {
                all.resets += 1;
                told.insert(room.clone());
            }
            if begins {
                astray.remove(room);
            }
            let stands =
                pos == Pos::START || logs[room].entries.iter().any(|entry| entry.pos == pos);
            if !stands && (came_back || told.contains(room)) {
                all.wrong.push(format!(
                    "client {client}: {pos} of {room} came late, and is in no log"
                ));
            } else if !stands {
                all.lost += 1;
                astray.insert(room.clone());
            } else if astray.contains(room) {
                all.wrong.push(format!(
                    "client {client}: {pos} of {room} came behind what was lost"
                ));
            }
        }
    }
    all
}

/// Where a frame says that its room stands, and whether it is a new beginning.
fn position(frame: &ServerFrame) -> Option<(&RoomName, Pos, bool)> {
    match frame {
        ServerFrame::Event { room, pos, .. }
        | ServerFrame::Notice { room, pos, .. }
        | ServerFrame::Result { room, pos, .. }
        | ServerFrame::Live { room, pos } => Some((room, *pos, false)),
        ServerFrame::Joined { room, pos, .. } | ServerFrame::Snapshot { room, pos, .. } => {
            Some((room, *pos, true))
        }
        ServerFrame::Welcome { .. }
        | ServerFrame::Resumed { .. }
        | ServerFrame::Signal { .. }
        | ServerFrame::Left { .. }
        | ServerFrame::Gap { .. }
        | ServerFrame::Error { .. }
        | ServerFrame::Ping { .. }
        | ServerFrame::Move { .. }
        | ServerFrame::Busy { .. }
        | ServerFrame::Bye { .. } => None,
    }
}

impl fmt::Display for Histories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Histories {
            lost,
            resets,
            sessions_gone,
            wrong,
        } = self;
        write!(
            f,
            "{lost} observations of what was lost, {resets} resets, {sessions_gone} sessions gone"
        )?;
        for what in wrong {
            write!(f, "\n  wrong: {what}")?;
        }
        Ok(())
    }
}
