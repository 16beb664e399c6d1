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

use crate::{Broker, BrokerError, Health, Layout};

mod announcements;
mod append;
mod audit;
mod claim;
mod clock;
mod commit;
mod disk;
#[cfg(test)]
mod failures;
mod founding;
mod halt;
mod hub;
mod leases;
mod medium;
mod members;
mod memory;
mod notes;
mod records;
mod room;
mod rooms;
mod step;
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
use halt::Halt;
use hub::Hub;
use leases::LeaseBook;
use medium::Medium;
use members::MemberBook;
use writer::Writer;

/// A store for one process.
///
/// Dropping it waits until everything that was asked for is written, and frees the folder.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    writer: Writer,
}

/// What the writer thread and the readers share.
#[derive(Debug)]
struct Shared {
    layout: Layout,
    clock: Clock,
    disk: Disk,
    leases: LeaseBook,
    members: MemberBook,
    hub: Arc<Hub>,
    /// One for each partition: rung when something was appended to its topic.
    appended: Vec<Notify>,
}

impl Embedded {
    /// Opens the store in a folder, and creates both where there is none yet.
    ///
    /// # Errors
    /// [`BrokerError::Incompatible`] where the folder was made with another format or layout;
    /// [`BrokerError::Unavailable`] where it cannot be opened or another process has it open. Both say
    /// what to do.
    pub fn open(path: &Path, layout: Layout) -> Result<Arc<Self>, BrokerError> {
        Self::on(Medium::folder(path)?, layout)
    }

    /// A store in memory, which is gone when it is dropped.
    pub fn memory(layout: Layout) -> Arc<Self> {
        Self::on(Medium::memory(), layout).expect("memory does not fail and starts empty")
    }

    fn on(medium: Medium, layout: Layout) -> Result<Arc<Self>, BrokerError> {
        let clock = Clock::default();
        let disk = Disk::open(medium, layout, &clock)?;
        let shared = Arc::new(Shared {
            layout,
            clock,
            disk,
            leases: LeaseBook::default(),
            members: MemberBook::default(),
            hub: Arc::default(),
            appended: layout.all_partitions().map(|_| Notify::new()).collect(),
        });
        let writer = Writer::spawn(shared.clone());
        Ok(Arc::new(Embedded { shared, writer }))
    }

    /// Reads at one moment. It never waits for anything, so it lets others have a turn now and then.
    async fn look<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, Halt>,
    ) -> Result<T, BrokerError> {
        tokio::task::consume_budget().await;
        self.shared.disk.read(look)
    }
}

impl Broker for Embedded {
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
