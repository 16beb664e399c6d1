//! The guard of an attach that was given up halfway: its write may have been done, and then the
//! record names a gateway that holds no socket for it, and that may live for weeks.

use std::{sync::Arc, time::Duration};

use outlast_protocol::Sid;
use tokio::{runtime::Handle, sync::Semaphore, time::sleep};

use crate::{SessionError, cas::retry, keys::KeyHash, machine::Session, records::Records};

/// The number of attaches that may be waiting to be taken back at once. One more is left to its gateway's
/// [`Audit`](crate::Audit).
const UNSETTLED_MAX: usize = 16_384;

/// The time in which a lost write may still happen. Taking it back earlier could come before it; what takes longer is
/// found by the [`Audit`](crate::Audit).
const LATE_WRITE: Duration = Duration::from_secs(1);

/// An attach under way. Dropped before it is settled, because the store does not answer or because
/// nobody waits for it any longer, it is taken back in the background.
pub(crate) struct AttachGuard<'a> {
    records: &'a Records,
    bound: &'a Bound,
    sid: Sid,
    key: KeyHash,
    written: bool,
}

/// Bounds the attaches that are being taken back.
#[derive(Clone)]
pub(crate) struct Bound(Arc<Semaphore>);

impl Default for Bound {
    fn default() -> Self {
        Bound(Arc::new(Semaphore::new(UNSETTLED_MAX)))
    }
}

impl<'a> AttachGuard<'a> {
    /// An attach that is to hand out `key`, of which nothing has been written yet.
    pub(crate) fn new(records: &'a Records, bound: &'a Bound, sid: Sid, key: KeyHash) -> Self {
        AttachGuard {
            records,
            bound,
            sid,
            key,
            written: false,
        }
    }

    /// From now on its write may have happened.
    pub(crate) fn writing(&mut self) {
        self.written = true;
    }

    /// Notes what is known of it now: a refusal says that it has not happened, a lost answer says nothing.
    pub(crate) fn heard<T>(&mut self, outcome: &Result<T, SessionError>) {
        if outcome
            .as_ref()
            .is_err_and(|error| !matches!(error, SessionError::Store(_)))
        {
            self.written = false;
        }
    }

    /// It has happened, and somebody holds the socket.
    pub(crate) fn settled(mut self) {
        self.written = false;
    }
}

impl Drop for AttachGuard<'_> {
    fn drop(&mut self) {
        if !self.written {
            return;
        }
        let (records, sid, key) = (self.records.clone(), self.sid, self.key);
        let Ok(permit) = Arc::clone(&self.bound.0).try_acquire_owned() else {
            tracing::warn!(%sid, "too many attaches to undo; leaving this one to the audit");
            return;
        };
        // Without a runtime the process is at its end, and so is its gateway.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            sleep(LATE_WRITE).await;
            let abandon = |session: &mut Session, now_ms| {
                session.abandon(&key, now_ms);
                Ok(())
            };
            let taken_back = retry(|| records.change(sid, abandon)).await.map(drop);
            tracing::debug!(%sid, ?taken_back, "attach was abandoned; undoing it");
            drop(permit);
        });
    }
}
