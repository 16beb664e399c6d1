use std::cell::{Cell, OnceCell};

use redb::WriteTransaction;

use super::{
    Shared,
    disk::Access,
    error::WriteError,
    tables::{STORE, STORE_BATCH, STORE_BOOT, STORE_CLOCK_MS, STORE_DAY_MS, STORE_UP_MS},
};

/// The transaction that the operations of one batch share.
pub(super) struct Batch<'a> {
    access: &'a Access<'a>,
    txn: OnceCell<WriteTransaction>,
    durability: Cell<Durability>,
    /// Everything that is not on the disk.
    pub(super) shared: &'a Shared,
    /// The store's time, one for the whole batch.
    pub(super) now_ms: u64,
}

/// The durability of what a batch writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// Nothing was written.
    Nothing,
    /// It is there for everybody to read, and durable no later than the next thing that has to be.
    Committed,
    /// It is on the disk before anybody hears of it.
    Durable,
}

/// The number of appends that may wait for a durable batch before one is made for them.
const UNSAVED_MAX: usize = 4096;

impl<'a> Batch<'a> {
    pub(super) fn new(access: &'a Access<'a>, shared: &'a Shared) -> Self {
        Batch {
            access,
            txn: OnceCell::new(),
            durability: Cell::new(Durability::Nothing),
            shared,
            now_ms: shared.clock.now_ms(),
        }
    }

    /// The transaction, to look at what stands there: what came earlier in the batch included.
    pub(super) fn look(&self) -> Result<&WriteTransaction, WriteError> {
        if let Some(txn) = self.txn.get() {
            return Ok(txn);
        }
        let txn = self.access.database()?.begin_write()?;
        Ok(self.txn.get_or_init(|| txn))
    }

    /// The transaction, to write to; an operation takes it once its checks are done.
    pub(super) fn write(&self, durability: Durability) -> Result<&WriteTransaction, WriteError> {
        self.durability.set(self.durability.get().max(durability));
        self.look()
    }

    /// Commits what was written, if anything was. Returns the number of the batch, if it is durable.
    pub(super) fn commit(self) -> Result<Option<u64>, redb::Error> {
        let Some(mut txn) = self.txn.into_inner() else {
            return Ok(None);
        };
        let disk = &self.shared.disk;
        let full = disk.unsaved_len() >= UNSAVED_MAX;
        match self.durability.get() {
            Durability::Nothing => txn.abort()?,
            Durability::Committed if !full => {
                txn.set_durability(redb::Durability::None)?;
                txn.commit()?;
            }
            Durability::Committed | Durability::Durable => {
                let batch = disk.next_batch();
                {
                    let mut store = txn.open_table(STORE)?;
                    store.insert(STORE_BATCH, batch)?;
                    let written = self.shared.clock.written(self.now_ms);
                    store.insert(STORE_CLOCK_MS, written.store_ms)?;
                    store.insert(STORE_DAY_MS, written.day_ms)?;
                    store.insert(STORE_BOOT, written.boot)?;
                    store.insert(STORE_UP_MS, written.up_ms)?;
                }
                txn.commit()?;
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}
