//! The tables of the store. Values that only this crate reads are native to redb; what
//! other versions may have to make sense of is JSON.

use redb::{TableDefinition, TableHandle, WriteTransaction};

use super::error::WriteError;

/// Rises when what lies in the tables is no longer what an older version expects.
pub(super) const FORMAT: u64 = 1;

/// Facts about the store itself, by the names below.
pub(super) const STORE: TableDefinition<&str, u64> = TableDefinition::new("store");
pub(super) const STORE_FORMAT: &str = "format";
pub(super) const STORE_PARTITIONS: &str = "partitions";
pub(super) const STORE_SHARDS: &str = "shards";
/// The time for which sessions live without a socket (L10).
pub(super) const STORE_TTL_MS: &str = "ttl_ms";
pub(super) const STORE_GRACE_MS: &str = "grace_ms";
/// The number of durable batches so far.
pub(super) const STORE_BATCH: &str = "batch";
/// The store's time at the newest of them …
pub(super) const STORE_CLOCK_MS: &str = "clock_ms";
/// … and the time of day.
pub(super) const STORE_DAY_MS: &str = "day_ms";
/// Which start of the machine that was in …
pub(super) const STORE_BOOT: &str = "boot";
/// … and how long the machine had been up.
pub(super) const STORE_UP_MS: &str = "up_ms";

/// partition, id → an `Input` as JSON.
pub(super) const TOPIC: TableDefinition<(u16, u64, u64), &str> = TableDefinition::new("topic");
/// partition → the last id ever given, and how many entries the topic holds.
pub(super) const TOPIC_ENDS: TableDefinition<u16, (u64, u64, u64)> =
    TableDefinition::new("topic_ends");
/// partition → its `Cursor`.
pub(super) const CURSORS: TableDefinition<u16, (u64, u64, u64, u64)> =
    TableDefinition::new("cursors");
/// partition, count → topic entries that could not be read (W6).
pub(super) const UNREAD: TableDefinition<(u16, u64), &str> = TableDefinition::new("unread");

/// partition, name → what a holder of the partition has noted.
pub(super) const NOTES: TableDefinition<(u16, &str), &str> = TableDefinition::new("notes");
/// partition → when it was granted last, and how many grants in a row before that came to nothing; gone when it is given
/// up.
pub(super) const GRANTS: TableDefinition<u16, (u64, u64)> = TableDefinition::new("grants");

/// Last `off`, its `tag`, first `off`, when to wake, when to go, what the host keeps.
pub(super) type RoomValue<'a> = (u64, u64, u64, Option<u64>, Option<u64>, Option<&'a str>);
/// room → what is small and changes with each commit.
pub(super) const ROOMS: TableDefinition<&str, RoomValue<'static>> = TableDefinition::new("rooms");
/// room, off → an `Entry` as JSON.
pub(super) const LOG: TableDefinition<(&str, u64), &str> = TableDefinition::new("log");
/// room → a `Snapshot`: off, tag, version, state.
pub(super) const SNAPSHOTS: TableDefinition<&str, (u64, u64, u32, &str)> =
    TableDefinition::new("snapshots");
/// room, sid → a `Seat` as JSON.
pub(super) const SEATS: TableDefinition<(&str, u128), &str> = TableDefinition::new("seats");
/// room, count → an `Input` as JSON.
pub(super) const PARKED: TableDefinition<(&str, u64), &str> = TableDefinition::new("parked");
/// partition, when, room: who wants to be woken.
pub(super) const WAKES: TableDefinition<(u16, u64, &str), ()> = TableDefinition::new("wakes");
/// when, room: whose time runs out.
pub(super) const EXPIRIES: TableDefinition<(u64, &str), ()> = TableDefinition::new("expiries");

/// Version, when it is due, owner, group, value.
pub(super) type RecordValue<'a> = (u64, Option<u64>, Option<&'a str>, Option<&'a str>, &'a [u8]);
/// sid → a session's record.
pub(super) const RECORDS: TableDefinition<u128, RecordValue<'static>> =
    TableDefinition::new("records");
/// shard, when, sid: what is due.
pub(super) const DUE: TableDefinition<(u16, u64, u128), ()> = TableDefinition::new("due");
/// shard, gateway, sid: who owns what.
pub(super) const OWNED: TableDefinition<(u16, &str, u128), ()> = TableDefinition::new("owned");
/// shard, group, sid: what counts where.
pub(super) const GROUPS: TableDefinition<(u16, &str, u128), ()> = TableDefinition::new("groups");

/// Makes the tables that stores of this format did not always have. Answers whether any was missing.
pub(super) fn add_missing(txn: &WriteTransaction) -> Result<bool, WriteError> {
    let names: Vec<String> = txn
        .list_tables()?
        .map(|table| table.name().to_owned())
        .collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    let missing = !(has(NOTES.name()) && has(GRANTS.name()));
    if missing {
        txn.open_table(NOTES)?;
        txn.open_table(GRANTS)?;
    }
    Ok(missing)
}

/// Makes every table, since a reader cannot open one that was never made.
pub(super) fn create(txn: &WriteTransaction) -> Result<(), WriteError> {
    add_missing(txn)?;
    txn.open_table(STORE)?;
    txn.open_table(TOPIC)?;
    txn.open_table(TOPIC_ENDS)?;
    txn.open_table(CURSORS)?;
    txn.open_table(UNREAD)?;
    txn.open_table(ROOMS)?;
    txn.open_table(LOG)?;
    txn.open_table(SNAPSHOTS)?;
    txn.open_table(SEATS)?;
    txn.open_table(PARKED)?;
    txn.open_table(WAKES)?;
    txn.open_table(EXPIRIES)?;
    txn.open_table(RECORDS)?;
    txn.open_table(DUE)?;
    txn.open_table(OWNED)?;
    txn.open_table(GROUPS)?;
    Ok(())
}
