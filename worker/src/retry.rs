//! Store operations that are tried again until the store has an answer, with pauses and one log line for an outage.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use outlast_store::StoreError;

/// The first wait before something is tried again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// True if the store does as the parts of a worker ask. It is logged when the first of them finds that
/// it does not, and when none does any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreRetry {
    failing: Arc<AtomicUsize>,
}

impl StoreRetry {
    /// Asks the store until it answers. What it refuses for good is the caller's.
    pub(crate) async fn retry<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T, StoreError>
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
    reach: StoreRetry,
    failing: bool,
}

impl Trouble {
    pub(crate) fn none(reach: &StoreRetry) -> Self {
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

/// The interval at which a store is asked, and the time that it has to answer.
const ASK_EVERY: Duration = Duration::from_millis(250);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Waits until a store has answered for so much longer than it has not; `ask` asks it.
pub(crate) async fn answers_for<T, F>(time: Duration, ask: impl Fn() -> F) -> Result<(), StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut answering = Answering::default();
    while answering.0 < time {
        let start = Instant::now();
        tokio::time::sleep(ASK_EVERY).await;
        let answers = match tokio::time::timeout(ANSWER_WITHIN, ask()).await {
            Ok(Ok(_)) => true,
            Err(_) | Ok(Err(StoreError::Unavailable(_) | StoreError::Full(_))) => false,
            Ok(Err(error)) => return Err(error),
        };
        answering.note(answers, start.elapsed());
    }
    Ok(())
}

/// The time that a store has answered, less the time that it has not since.
#[derive(Debug, Default)]
struct Answering(Duration);

impl Answering {
    /// Notes whether it answers after so long. A process that was stopped meanwhile, or got no processor, would not have
    /// heard what else the store had to say: of that time little counts.
    fn note(&mut self, answers: bool, passed: Duration) {
        self.0 = match answers {
            true => self.0 + passed.min(2 * ASK_EVERY),
            false => self.0.saturating_sub(passed),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w9_only_a_store_that_answers_all_the_while_is_slow_with_one_room() {
        let mut answering = Answering::default();
        for _ in 0..4 {
            answering.note(true, ASK_EVERY);
        }
        assert_eq!(answering.0, 4 * ASK_EVERY);
        answering.note(false, ASK_EVERY + ANSWER_WITHIN);
        assert_eq!(answering.0, Duration::ZERO);
        // The process was stopped.
        answering.note(true, Duration::from_secs(5));
        assert!(answering.0 < Duration::from_secs(1));
    }

    #[test]
    fn w10_a_store_that_hiccups_every_two_seconds_holds_nobody_up_for_ever() {
        let mut answering = Answering::default();
        let mut waited = Duration::ZERO;
        while answering.0 < Duration::from_secs(3) {
            for answers in [true, true, true, true, true, true, true, false] {
                answering.note(answers, ASK_EVERY);
                waited += ASK_EVERY;
            }
            assert!(waited < Duration::from_secs(6), "{answering:?}");
        }
        // One that is away half of the time does.
        let mut answering = Answering::default();
        for n in 0..1_000 {
            answering.note(n % 2 == 0, ASK_EVERY);
        }
        assert!(answering.0 < 2 * ASK_EVERY);
    }
}
