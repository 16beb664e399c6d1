use redb::{Database, ReadableTable};

use super::{
    clock::SavedClock,
    error::WriteError,
    tables::{
        self, FORMAT, STORE, STORE_BATCH, STORE_BOOT, STORE_CLOCK_MS, STORE_DAY_MS, STORE_FORMAT,
        STORE_PARTITIONS, STORE_SHARDS, STORE_UP_MS,
    },
};
use crate::{Layout, StoreError};

/// The header of a store, which is read when it is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// The number of its newest durable batch.
    pub(super) batch: u64,
    /// The clock at that batch.
    pub(super) clock: SavedClock,
}

/// Makes a store of an empty database, or checks that the one in it can be used (L3).
pub(super) fn found_or_check(
    database: &Database,
    name: &str,
    layout: Layout,
) -> Result<Header, StoreError> {
    Ok(found_or_check_in(database, name, layout)?)
}

fn found_or_check_in(
    database: &Database,
    name: &str,
    layout: Layout,
) -> Result<Header, WriteError> {
    let txn = database.begin_write()?;
    let is_new = txn.list_tables()?.next().is_none();
    if is_new {
        tables::create(&txn)?;
        let mut store = txn.open_table(STORE)?;
        store.insert(STORE_FORMAT, FORMAT)?;
        store.insert(STORE_PARTITIONS, u64::from(layout.partitions))?;
        store.insert(STORE_SHARDS, u64::from(layout.shards))?;
    }
    let founding = {
        let store = txn.open_table(STORE)?;
        let number = |key| Ok::<_, WriteError>(store.get(key)?.map_or(0, |value| value.value()));
        let format = number(STORE_FORMAT)?;
        if format != FORMAT {
            return Err(WriteError::Refused(other_format(name, format)));
        }
        let (partitions, shards) = (number(STORE_PARTITIONS)?, number(STORE_SHARDS)?);
        if (partitions, shards) != (layout.partitions.into(), layout.shards.into()) {
            return Err(WriteError::Refused(other_layout(
                name, partitions, shards, layout,
            )));
        }
        Header {
            batch: number(STORE_BATCH)?,
            clock: SavedClock {
                store_ms: number(STORE_CLOCK_MS)?,
                day_ms: number(STORE_DAY_MS)?,
                boot: number(STORE_BOOT)?,
                up_ms: number(STORE_UP_MS)?,
            },
        }
    };
    let has_grown = tables::add_missing(&txn)?;
    if is_new || has_grown {
        txn.commit()?
    } else {
        txn.abort()?
    }
    Ok(founding)
}

fn other_format(name: &str, format: u64) -> StoreError {
    let found = match format {
        0 => "is no store of outlast's".to_owned(),
        format => format!("has format {format}, and this version of outlast reads format {FORMAT}"),
    };
    StoreError::Incompatible(format!(
        "{name} {found}; start the version that wrote it, or give this one a new folder with \
         --store embedded:PATH"
    ))
}

fn other_layout(name: &str, partitions: u64, shards: u64, asked: Layout) -> StoreError {
    StoreError::Incompatible(format!(
        "{name} was created with {partitions} partitions and {shards} shards, which cannot change, \
         and {} and {} were asked for; start with --partitions {partitions} --shards {shards}, or \
         give a new folder with --store embedded:PATH",
        asked.partitions, asked.shards
    ))
}
