use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::watch;

use super::{
    append::{self, Appended},
    clock::Clock,
    error::{WriteError, explain},
    header::{self, Header},
    storage::Storage,
};
use crate::{Health, Layout, StoreError};

/// The database, through the failures of what it lies on.
///
/// redb refuses everything once an input or output has failed, until the file is opened anew. That is
/// done here at once, because only what the file then holds tells whether the batch that failed has
/// happened. Writes are refused for a moment after it, so that a full disk is not tried again by
/// everybody who asks.
#[derive(Debug)]
pub(super) struct Disk {
    medium: Storage,
    layout: Layout,
    state: RwLock<State>,
    /// The number of the newest batch that is durable.
    batch: AtomicU64,
    /// Appends that are committed and not durable yet: what a failing disk would lose although this
    /// process, whose callers were told of them, lives on.
    unsaved: Mutex<Vec<Appended>>,
    health: watch::Sender<Health>,
}

#[derive(Debug)]
struct State {
    /// None while it could not be opened again.
    database: Option<Database>,
    /// Why it takes no writes, while it does not.
    failure: Option<Failure>,
}

#[derive(Debug, Clone)]
struct Failure {
    cause: StoreError,
    at: Instant,
}

/// The time for which a disk that failed is left alone.
const REST: Duration = Duration::from_millis(500);

impl Disk {
    pub(super) fn open(medium: Storage, layout: Layout, clock: &Clock) -> Result<Self, StoreError> {
        let database = medium.open()?;
        let founding = header::found_or_check(&database, medium.name(), layout)?;
        clock.resume(founding.clock);
        let state = State {
            database: Some(database),
            failure: None,
        };
        Ok(Disk {
            medium,
            layout,
            state: RwLock::new(state),
            batch: AtomicU64::new(founding.batch),
            unsaved: Mutex::default(),
            health: watch::Sender::new(Health::Up),
        })
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// True if the next durable batch is awaited: appends stand after the last one, or the disk failed
    /// and nothing has shown yet that it works again.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unsaved.lock().is_empty() || *self.health.borrow() == Health::Down
    }

    /// Reads at one moment.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, WriteError>,
    ) -> Result<T, StoreError> {
        let state = self.state.read();
        let database = match (&state.database, &state.failure) {
            (Some(database), _) => database,
            (None, failure) => return Err(Failure::cause(failure)),
        };
        let txn = database.begin_read().map_err(WriteError::from)?;
        Ok(look(&txn)?)
    }

    /// The database, for the length of one batch.
    pub(super) fn access(&self) -> Access<'_> {
        Access(self.state.read())
    }

    /// The number that the next durable batch bears.
    pub(super) fn next_batch(&self) -> u64 {
        self.batch.load(Relaxed) + 1
    }

    /// The batch of that number is durable, and with it all before.
    pub(super) fn saved(&self, batch: u64) {
        self.batch.store(batch, Relaxed);
        self.unsaved.lock().clear();
        let up = |health: &mut Health| std::mem::replace(health, Health::Up) != Health::Up;
        self.health.send_if_modified(up);
    }

    /// These entries are committed, and will be durable with the next durable batch.
    pub(super) fn unsaved(&self, entries: Vec<Appended>) {
        self.unsaved.lock().extend(entries);
    }

    /// Returns the number of entries that wait for a durable batch.
    pub(super) fn unsaved_len(&self) -> usize {
        self.unsaved.lock().len()
    }

    /// Finds out what became of a batch that failed: `Ok` when it happened after all.
    pub(super) fn recover(&self, error: &redb::Error) -> Result<(), StoreError> {
        tracing::error!(store = self.medium.name(), %error, "disk failed");
        self.health.send_replace(Health::Down);
        let cause = explain(error);
        let attempted = self.next_batch();
        let mut state = self.state.write();
        state.failure = Some(Failure::now(cause.clone()));
        match self.reopen(&mut state) {
            Ok(founding) if founding.batch == attempted => Ok(()),
            Ok(_) => Err(cause),
            // Nobody knows.
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    /// Nothing will be written any more.
    pub(super) fn give_up(&self) {
        tracing::error!(
            store = self.medium.name(),
            "store writer panicked; restart the process"
        );
        self.health.send_replace(Health::Down);
    }

    /// Takes writes again once a failure has had its rest. Answers whether the database had to be opened
    /// for that, so that nobody knows what became of the batch that failed.
    pub(super) fn mend(&self) -> bool {
        let rested = |failure: &Failure| failure.at.elapsed() >= REST;
        if !self.state.read().failure.as_ref().is_some_and(rested) {
            return false;
        }
        let mut state = self.state.write();
        if state.database.is_some() {
            state.failure = None;
            return false;
        }
        state.failure = self.reopen(&mut state).err().map(Failure::now);
        state.failure.is_none()
    }

    /// Opens the database anew and puts back the appends that it has not kept. Answers how it was
    /// found, before that.
    fn reopen(&self, state: &mut State) -> Result<Header, StoreError> {
        // It holds the lock on the file.
        state.database = None;
        let database = self.medium.open()?;
        let founding = header::found_or_check(&database, self.medium.name(), self.layout)?;
        append::restore(&database, &self.unsaved.lock())?;
        self.unsaved.lock().clear();
        self.batch.store(founding.batch, Relaxed);
        state.database = Some(database);
        Ok(founding)
    }
}

/// The database during one batch; see [`Disk::access`].
pub(super) struct Access<'a>(RwLockReadGuard<'a, State>);

impl Access<'_> {
    /// The database, if it takes writes.
    pub(super) fn database(&self) -> Result<&Database, StoreError> {
        match (&self.0.database, &self.0.failure) {
            (Some(database), None) => Ok(database),
            (_, failure) => Err(Failure::cause(failure)),
        }
    }
}

impl Failure {
    fn now(cause: StoreError) -> Self {
        let at = Instant::now();
        Failure { cause, at }
    }

    fn cause(failure: &Option<Failure>) -> StoreError {
        let unknown = || StoreError::Unavailable("the disk failed".into());
        failure.as_ref().map_or_else(unknown, |f| f.cause.clone())
    }
}
