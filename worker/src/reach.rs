use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use outlast_store::StoreError;

/// The first wait before something is tried again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Whether the store does as the parts of a worker ask. It is logged when the first of them finds that
/// it does not, and when none does any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    failing: Arc<AtomicUsize>,
}

impl Reach {
    /// Asks the store until it answers. What it refuses for good is the caller's.
    pub(crate) async fn insist<T, F>(
        &self,
        what: &str,
        ask: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut trouble = Trouble::none(self);
        let mut wait = BACKOFF.0;
        loop {
            let answer = ask().await;
            if !trouble.note(what, &answer) {
                return answer;
            }
            tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }
}

/// One part's trouble with the store, if it has any.
#[derive(Debug)]
pub(crate) struct Trouble {
    reach: Reach,
    failing: bool,
}

impl Trouble {
    pub(crate) fn none(reach: &Reach) -> Self {
        Trouble {
            reach: reach.clone(),
            failing: false,
        }
    }

    /// Notes an answer. True where it is worth asking again.
    pub(crate) fn note<T>(&mut self, what: &str, answer: &Result<T, StoreError>) -> bool {
        match answer {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_))) => {
                self.begin(what, error);
                true
            }
            Ok(_) | Err(_) => {
                self.end();
                false
            }
        }
    }

    fn begin(&mut self, what: &str, error: &StoreError) {
        let before = match std::mem::replace(&mut self.failing, true) {
            false => self.reach.failing.fetch_add(1, Ordering::Relaxed),
            true => return,
        };
        if before == 0 {
            tracing::warn!(what, %error, "store operation failed; retrying");
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.failing)
            && self.reach.failing.fetch_sub(1, Ordering::Relaxed) == 1
        {
            tracing::info!("store operation succeeded again");
        }
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.end();
    }
}
