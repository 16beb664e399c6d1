use outlast_protocol::{Pos, RoomName};
use redb::{ReadableTable, WriteTransaction};

use super::{
    error::WriteError,
    tables::{EXPIRIES, LOG, PARKED, ROOMS, RoomValue, SEATS, SNAPSHOTS, WAKES},
};
use crate::{PartitionId, StoreError};

/// The small part of a room, which changes with each of its commits.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RoomRow {
    /// The log's last entry.
    pub(super) last: Pos,
    /// The log's first `off`; 0 while it has no entry.
    pub(super) first_off: u64,
    /// When the room wants to be woken.
    pub(super) wake_ms: Option<u64>,
    /// When the room is to go.
    pub(super) gone_ms: Option<u64>,
    /// The host's own state of the room.
    pub(super) head: Option<String>,
}

impl RoomRow {
    /// Reads a room's row. A room whose time has run out is as good as none, whether or not the sweep
    /// has come by.
    pub(super) fn read(
        rooms: &impl ReadableTable<&'static str, RoomValue<'static>>,
        room: &RoomName,
        now_ms: u64,
    ) -> Result<Option<Self>, WriteError> {
        let row = Self::read_even_gone(rooms, room.as_str())?;
        Ok(row.filter(|row| !row.is_gone(now_ms)))
    }

    pub(super) fn read_even_gone(
        rooms: &impl ReadableTable<&'static str, RoomValue<'static>>,
        room: &str,
    ) -> Result<Option<Self>, WriteError> {
        let Some(row) = rooms.get(room)? else {
            return Ok(None);
        };
        let (off, tag, first_off, wake_ms, gone_ms, head) = row.value();
        Ok(Some(RoomRow {
            last: Pos { off, tag },
            first_off,
            wake_ms,
            gone_ms,
            head: head.map(str::to_owned),
        }))
    }

    pub(super) fn is_gone(&self, now_ms: u64) -> bool {
        self.gone_ms.is_some_and(|gone_ms| gone_ms <= now_ms)
    }

    /// Replaces a room's row, and its places in the indexes.
    pub(super) fn replace(
        &self,
        old: &RoomRow,
        txn: &WriteTransaction,
        partition: PartitionId,
        room: &str,
    ) -> Result<(), WriteError> {
        let head = self.head.as_deref();
        let Pos { off, tag } = self.last;
        let row = (off, tag, self.first_off, self.wake_ms, self.gone_ms, head);
        txn.open_table(ROOMS)?.insert(room, row)?;
        index(txn, partition, room, old, self)
    }

    /// Forgets a room with all that belongs to it.
    pub(super) fn erase(
        &self,
        txn: &WriteTransaction,
        partition: PartitionId,
        room: &str,
    ) -> Result<(), WriteError> {
        txn.open_table(ROOMS)?.remove(room)?;
        txn.open_table(SNAPSHOTS)?.remove(room)?;
        txn.open_table(LOG)?
            .retain_in((room, 0)..=(room, u64::MAX), |_, _| false)?;
        txn.open_table(SEATS)?
            .retain_in((room, 0)..=(room, u128::MAX), |_, _| false)?;
        txn.open_table(PARKED)?
            .retain_in((room, 0)..=(room, u64::MAX), |_, _| false)?;
        index(txn, partition, room, self, &RoomRow::default())
    }
}

/// Moves a room in the indexes of when it wakes and when it goes.
fn index(
    txn: &WriteTransaction,
    PartitionId(p): PartitionId,
    room: &str,
    old: &RoomRow,
    new: &RoomRow,
) -> Result<(), WriteError> {
    if old.wake_ms != new.wake_ms {
        let mut wakes = txn.open_table(WAKES)?;
        if let Some(ms) = old.wake_ms {
            wakes.remove((p, ms, room))?;
        }
        if let Some(ms) = new.wake_ms {
            wakes.insert((p, ms, room), ())?;
        }
    }
    if old.gone_ms != new.gone_ms {
        let mut expiries = txn.open_table(EXPIRIES)?;
        if let Some(ms) = old.gone_ms {
            expiries.remove((ms, room))?;
        }
        if let Some(ms) = new.gone_ms {
            expiries.insert((ms, room), ())?;
        }
    }
    Ok(())
}

/// Reads a room's name as it stands in the store.
pub(super) fn room_name(text: &str) -> Result<RoomName, StoreError> {
    text.parse()
        .map_err(|error| StoreError::Unreadable(format!("room {text:?}: {error}")))
}
