use std::{future::Future, time::Duration};

use outlast_broker::BrokerError;

/// The first wait before something is tried again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Asks the store until it answers. What it refuses for good is the caller's.
///
/// That the store is out of reach, or full, is logged once, and once more when that is over.
pub(crate) async fn insist<T, F>(what: &str, ask: impl Fn() -> F) -> Result<T, BrokerError>
where
    F: Future<Output = Result<T, BrokerError>>,
{
    let mut reach = Reach::default();
    let mut wait = BACKOFF.0;
    loop {
        let answer = ask().await;
        if !reach.note(what, &answer) {
            return answer;
        }
        tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Whether the store does as it is asked; for a log that says so once.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    lost: bool,
}

impl Reach {
    /// Notes an answer. True where it is worth asking again.
    pub(crate) fn note<T>(&mut self, what: &str, answer: &Result<T, BrokerError>) -> bool {
        let again = matches!(
            answer,
            Err(BrokerError::Unavailable(_) | BrokerError::Full(_))
        );
        match answer {
            Err(error) if again && !self.lost => {
                tracing::warn!(what, %error, "the store does not take it; trying on");
            }
            Ok(_) if self.lost => tracing::info!(what, "the store takes it again"),
            Ok(_) | Err(_) => {}
        }
        self.lost = again;
        again
    }
}
