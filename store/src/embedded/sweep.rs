use outlast_protocol::RoomName;
use redb::ReadableTable;

use super::{
    Shared,
    batch::{Batch, Durability},
    error::WriteError,
    room::{RoomRow, room_name},
    tables::{EXPIRIES, ROOMS},
    writer::Operation,
};

/// Tidies up: erases rooms whose time has run out, a few at a time, and makes durable what waits for it.
pub(super) struct Sweep;

/// The number of rooms that one sweep erases, so that nobody waits long for it.
const ROOMS_MAX: usize = 16;

impl Operation for Sweep {
    type Output = ();

    fn run(&mut self, step: &Batch<'_>) -> Result<(), WriteError> {
        let gone = gone(step)?;
        if !gone.is_empty() {
            // Whoever looks finds them gone already, so this need not be on the disk at once.
            let txn = step.write(Durability::Committed)?;
            for room in gone {
                let row = RoomRow::read_even_gone(&txn.open_table(ROOMS)?, room.as_str())?;
                let partition = step.shared.layout.partition(&room);
                row.unwrap_or_default()
                    .erase(txn, partition, room.as_str())?;
            }
        }
        if step.shared.disk.is_waiting() {
            step.write(Durability::Durable)?;
        }
        Ok(())
    }

    fn announce(self, (): &(), _: &Shared) {}
}

fn gone(step: &Batch<'_>) -> Result<Vec<RoomName>, WriteError> {
    let expiries = step.look()?.open_table(EXPIRIES)?;
    let mut gone = Vec::new();
    for expiry in expiries.range(..=(step.now_ms, "\u{7f}"))?.take(ROOMS_MAX) {
        let (key, _) = expiry?;
        let (_, room) = key.value();
        gone.push(room_name(room)?);
    }
    Ok(gone)
}
