//! The one thread that writes, and what it is given to do.
//!
//! It takes what has gathered, runs it in order in one transaction, and answers all of it once that is
//! committed: under load, one sync of the disk serves many (group commit). Because everything that
//! changes the store passes here, in one order, the check of an operation still holds when it writes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Shared, batch::Batch, error::WriteError, sweep::Sweep};
use crate::StoreError;

/// Something that changes the store, as a whole or not at all.
pub(super) trait Operation: Send + 'static {
    /// The result of the operation.
    type Output: Send;

    /// Does it, or refuses to: all of its checks come before its first write.
    fn run(&mut self, step: &Batch<'_>) -> Result<Self::Output, WriteError>;

    /// Tells those who wait for it, once it is committed.
    fn announce(self, output: &Self::Output, shared: &Shared);
}

/// The way to the writer thread. Dropping it waits until all is written that was asked for.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// The number of operations that may wait; a further caller waits to be let in.
const WAITING_MAX: usize = 4096;

/// The number of operations that share a transaction.
const BATCH_MAX: usize = 1024;

/// The interval at which the store tidies up.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn spawn(shared: Arc<Shared>) -> Self {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("outlast-store".into())
            .spawn(move || {
                // Without it nothing can be written any more, which nobody may overlook.
                let written = catch_unwind(AssertUnwindSafe(|| write_all(&queue, &shared)));
                written.unwrap_or_else(|_| shared.disk.give_up());
            })
            .expect("the system can start a thread");
        Writer {
            jobs: Some(jobs),
            places: Arc::new(Semaphore::new(WAITING_MAX)),
            thread: Some(thread),
        }
    }

    /// Runs an operation; answers when it is committed, or refused. Whoever stops waiting does not stop
    /// the operation.
    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Output, StoreError> {
        let stopped = || StoreError::Unavailable("the store's writer has stopped".into());
        let permit = self.places.clone().acquire_owned().await;
        let (answer, answered) = oneshot::channel();
        let asker = Waiter {
            answer,
            _permit: permit.map_err(|_| stopped())?,
        };
        let job = Queued::new(operation, Some(asker));
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(Box::new(job)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

fn write_all(queue: &mpsc::Receiver<Box<dyn Job>>, shared: &Shared) {
    let mut swept = Instant::now();
    loop {
        let first = match queue.recv_timeout(SWEEP_EVERY.saturating_sub(swept.elapsed())) {
            Ok(job) => Some(job),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        let mut batch: Vec<_> = first.into_iter().collect();
        batch.extend(queue.try_iter().take(BATCH_MAX));
        if swept.elapsed() >= SWEEP_EVERY {
            swept = Instant::now();
            shared.clock.compare();
            batch.push(Box::new(Queued::new(Sweep, None)));
        }
        write_batch(batch, shared);
    }
    // Nothing that is left may be lost by an orderly end.
    write_batch(vec![Box::new(Queued::new(Sweep, None))], shared);
}

fn write_batch(mut batch: Vec<Box<dyn Job>>, shared: &Shared) {
    if shared.disk.mend() {
        // Nobody could tell what became of the batch that failed. If it happened, its news are lost.
        shared.hub.skip();
    }
    let written = {
        let access = shared.disk.access();
        let step = Batch::new(&access, shared);
        let ran = batch.iter_mut().try_for_each(|job| job.run(&step));
        ran.and_then(|()| step.commit())
    };
    let (fate, saved) = match written {
        Ok(saved) => (Ok(()), saved),
        Err(error) => (shared.disk.recover(&error), None),
    };
    for job in batch {
        job.settle(&fate, shared);
    }
    if let Some(number) = saved {
        shared.disk.saved(number);
    }
}

/// An operation and who waits for it.
trait Job: Send {
    /// Runs it; fails only if the disk does.
    fn run(&mut self, step: &Batch<'_>) -> Result<(), redb::Error>;

    /// Tells everybody what became of it.
    fn settle(self: Box<Self>, fate: &Result<(), StoreError>, shared: &Shared);
}

struct Queued<O: Operation> {
    operation: O,
    outcome: Option<Result<O::Output, StoreError>>,
    asker: Option<Waiter<O::Output>>,
}

struct Waiter<T> {
    answer: oneshot::Sender<Result<T, StoreError>>,
    _permit: OwnedSemaphorePermit,
}

impl<O: Operation> Queued<O> {
    fn new(operation: O, asker: Option<Waiter<O::Output>>) -> Self {
        Queued {
            operation,
            outcome: None,
            asker,
        }
    }
}

impl<O: Operation> Job for Queued<O> {
    fn run(&mut self, step: &Batch<'_>) -> Result<(), redb::Error> {
        self.outcome = match self.operation.run(step) {
            Ok(output) => Some(Ok(output)),
            Err(WriteError::Refused(error)) => Some(Err(error)),
            Err(WriteError::Broken(error)) => return Err(error),
        };
        Ok(())
    }

    fn settle(self: Box<Self>, fate: &Result<(), StoreError>, shared: &Shared) {
        let outcome = match (fate, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Unavailable("it was never run".into())),
            (Err(error), _) => Err(error.clone()),
        };
        if let Ok(output) = &outcome {
            self.operation.announce(output, shared);
        }
        if let Some(asker) = self.asker {
            // Whoever asked may have stopped waiting.
            let _ = asker.answer.send(outcome);
        }
    }
}
