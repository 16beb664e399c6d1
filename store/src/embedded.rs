//! The store of a single process: a redb file in a folder, or the same in memory.
//!
//! Everything that must survive lies in redb (see `tables.rs`); what need not, because it names only
//! this process (leases, members, listeners), lies in memory. Every change goes through one writer
//! thread, which commits what has gathered in one transaction (see `writer.rs`). Reads run where they
//! are asked for, in read transactions, which never wait for the writer: they are a few lookups in
//! memory or in the page cache, shorter than the way to another thread and back.

use std::{path::Path, sync::Arc};

use redb::ReadTransaction;
use tokio::sync::{Notify, watch};

use crate::{Health, Layout, Store, StoreError};

mod announcements;
mod append;
mod audit;
mod batch;
mod claim;
mod clock;
mod commit;
mod disk;
mod error;
#[cfg(test)]
mod failures;
mod header;
mod leases;
mod listeners;
mod membership;
mod memory;
mod notes;
mod records;
mod room;
mod rooms;
mod storage;
mod sweep;
mod tables;
mod terms;
#[cfg(feature = "conformance")]
mod testing;
mod topic;
mod write;
mod writer;

use clock::Clock;
use disk::Disk;
use error::WriteError;
use leases::LeaseBook;
use listeners::Listeners;
use membership::NodeTable;
use storage::Storage;
use writer::Writer;

/// A store for one process.
///
/// Dropping it waits until everything that was asked for is written, and frees the folder.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    writer: Writer,
}

/// The state that the writer thread and the readers share.
#[derive(Debug)]
struct Shared {
    layout: Layout,
    clock: Clock,
    disk: Disk,
    leases: LeaseBook,
    members: NodeTable,
    hub: Arc<Listeners>,
    /// One for each partition: rung when something was appended to its topic.
    appended: Vec<Notify>,
}

impl Embedded {
    /// Opens the store in a folder, and creates both where there is none yet.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] where the folder was made with another format or layout;
    /// [`StoreError::Unavailable`] where it cannot be opened or another process has it open. Both say
    /// what to do.
    pub fn open(path: &Path, layout: Layout) -> Result<Arc<Self>, StoreError> {
        Self::on(Storage::folder(path)?, layout)
    }

    /// A store in memory, which is gone when it is dropped.
    pub fn memory(layout: Layout) -> Arc<Self> {
        Self::on(Storage::memory(), layout).expect("memory does not fail and starts empty")
    }

    fn on(medium: Storage, layout: Layout) -> Result<Arc<Self>, StoreError> {
        let clock = Clock::default();
        let disk = Disk::open(medium, layout, &clock)?;
        let shared = Arc::new(Shared {
            layout,
            clock,
            disk,
            leases: LeaseBook::default(),
            members: NodeTable::default(),
            hub: Arc::default(),
            appended: layout.all_partitions().map(|_| Notify::new()).collect(),
        });
        let writer = Writer::spawn(shared.clone());
        Ok(Arc::new(Embedded { shared, writer }))
    }

    /// Reads at one moment. It never waits for anything, so it lets others have a turn now and then.
    async fn look<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, WriteError>,
    ) -> Result<T, StoreError> {
        tokio::task::consume_budget().await;
        self.shared.disk.read(look)
    }
}

impl Store for Embedded {
    fn layout(&self) -> Layout {
        self.shared.layout
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.disk.health()
    }
}
