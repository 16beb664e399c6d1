//! What happens to an attach that was given up halfway: its write may have been done, and then the
//! record names a gateway that holds no socket for it, and that may live for weeks.

use std::sync::Arc;
use std::time::Duration;

use outlast_broker::BrokerError;
use outlast_protocol::Sid;
use tokio::{runtime::Handle, sync::Semaphore, time::sleep};

use crate::{SessionError, Sessions, keys::KeyHash};

/// How many attaches may be waiting to be taken back at once. One more is left as it is; its session
/// expires only after its gateway has stopped.
const UNSETTLED_MAX: usize = 16_384;

/// How long a lost write may still take to happen. Taking it back earlier could come before it.
const LATE_WRITE: Duration = Duration::from_secs(1);

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// Bounds the attaches that are being taken back.
#[derive(Clone)]
pub(crate) struct Bound(Arc<Semaphore>);

impl Default for Bound {
    fn default() -> Self {
        Bound(Arc::new(Semaphore::new(UNSETTLED_MAX)))
    }
}

/// An attach under way. Dropped before it is settled, because the store does not answer or because
/// nobody waits for it any longer, it is taken back in the background.
pub(crate) struct Unsettled<'a> {
    sessions: &'a Sessions,
    sid: Sid,
    key: KeyHash,
    written: bool,
}

impl<'a> Unsettled<'a> {
    /// An attach of which nothing has been written yet.
    pub(crate) fn new(sessions: &'a Sessions, sid: Sid, key: KeyHash) -> Self {
        Unsettled {
            sessions,
            sid,
            key,
            written: false,
        }
    }

    /// From now on its write may have happened.
    pub(crate) fn writing(&mut self) {
        self.written = true;
    }

    /// It is known what became of it.
    pub(crate) fn settled(mut self) {
        self.written = false;
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if !self.written {
            return;
        }
        let (sessions, sid, key) = (self.sessions.clone(), self.sid, self.key);
        let Ok(permit) = Arc::clone(&sessions.bound.0).try_acquire_owned() else {
            tracing::warn!(%sid, "too many attaches to take back; this one is left to the keepers");
            return;
        };
        // Without a runtime the process is at its end, and so is its gateway.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            sleep(LATE_WRITE).await;
            let taken_back = insist(|| sessions.abandon(sid, key)).await;
            tracing::debug!(%sid, ?taken_back, "took an attach back");
            drop(permit);
        });
    }
}

/// Repeats what the store has not answered, or has no room for, until it is done. Ever more slowly, and
/// at random moments, so that a store that returns is not met by everybody at once.
pub(crate) async fn insist<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, SessionError>
where
    F: Future<Output = Result<T, SessionError>>,
{
    let mut pause = RETRY_FIRST;
    loop {
        match attempt().await {
            Err(SessionError::Broker(BrokerError::Unavailable(_) | BrokerError::Full(_))) => {}
            settled => return settled,
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}
