use std::time::Duration;

use outlast_store::SharedStore;

/// The longest sleep without a look at the time.
const NAP_MAX_MS: u64 = 1_000;

/// Waits until the store's time is this; for ever where there is none.
pub(crate) async fn reaches(store: &SharedStore, at_ms: Option<u64>) {
    match at_ms {
        Some(at_ms) => loop {
            let left_ms = at_ms.saturating_sub(store.now_ms());
            if left_ms == 0 {
                return;
            }
            // What time it is may turn out to be something else meanwhile.
            let nap_ms = left_ms.min(NAP_MAX_MS);
            tokio::time::sleep(Duration::from_millis(nap_ms)).await;
        },
        None => std::future::pending().await,
    }
}
