use std::cell::{Cell, OnceCell};

use redb::{Durability, WriteTransaction};

use super::{
    Shared,
    disk::Access,
    halt::Halt,
    tables::{STORE, STORE_BATCH, STORE_BOOT, STORE_CLOCK_MS, STORE_DAY_MS, STORE_UP_MS},
};

/// The transaction that the operations of one batch share.
pub(super) struct Step<'a> {
    access: &'a Access<'a>,
    txn: OnceCell<WriteTransaction>,
    promise: Cell<Promise>,
    /// Everything that is not on the disk.
    pub(super) shared: &'a Shared,
    /// The store's time, one for the whole batch.
    pub(super) now_ms: u64,
}

/// What has been promised of what a batch writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    /// Nothing was written.
    Nothing,
    /// It is there for everybody to read, and durable no later than the next thing that has to be.
    Committed,
    /// It is on the disk before anybody hears of it.
    Durable,
}

/// How many appends may wait for a durable batch before one is made for them.
const UNSAVED_MAX: usize = 4096;

impl<'a> Step<'a> {
    pub(super) fn new(access: &'a Access<'a>, shared: &'a Shared) -> Self {
        Step {
            access,
            txn: OnceCell::new(),
            promise: Cell::new(Promise::Nothing),
            shared,
            now_ms: shared.clock.now_ms(),
        }
    }

    /// The transaction, to look at what stands there: what came earlier in the batch included.
    pub(super) fn look(&self) -> Result<&WriteTransaction, Halt> {
        if let Some(txn) = self.txn.get() {
            return Ok(txn);
        }
        let txn = self.access.database()?.begin_write()?;
        Ok(self.txn.get_or_init(|| txn))
    }

    /// The transaction, to write to; an operation takes it once its checks are behind it.
    pub(super) fn write(&self, promise: Promise) -> Result<&WriteTransaction, Halt> {
        self.promise.set(self.promise.get().max(promise));
        self.look()
    }

    /// Commits what was written, if anything was. Answers the number of the batch, if it is durable.
    pub(super) fn commit(self) -> Result<Option<u64>, redb::Error> {
        let Some(mut txn) = self.txn.into_inner() else {
            return Ok(None);
        };
        let disk = &self.shared.disk;
        let full = disk.unsaved_len() >= UNSAVED_MAX;
        match self.promise.get() {
            Promise::Nothing => txn.abort()?,
            Promise::Committed if !full => {
                txn.set_durability(Durability::None)?;
                txn.commit()?;
            }
            Promise::Committed | Promise::Durable => {
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
