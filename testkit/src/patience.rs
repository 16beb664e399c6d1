//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// The longest time that anything may take that has no bound of its own, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(10);

/// Waits until `look` finds something, and returns it.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        check(what, start);
        tokio::time::sleep(POLL).await;
    }
}

/// The same for code that blocks.
pub fn eventually_blocking<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        check(what, start);
        std::thread::sleep(POLL);
    }
}

fn check(what: &str, start: Instant) {
    assert!(
        start.elapsed() < PATIENCE,
        "in {PATIENCE:?} it did not come true: {what}"
    );
}

/// Holds what takes time against the contract. A machine may be busy with other things at that moment, and so
/// it is asked again, with a wider bound each time; what is really too slow stays so.
pub async fn in_time(bound: Duration, mut measure: impl AsyncFnMut() -> Duration) {
    let mut late = Vec::new();
    for attempt in 1..=6 {
        let took = measure().await;
        if took < attempt * bound {
            println!("it took {took:?}, and may take {bound:?}; before that {late:?}");
            return;
        }
        late.push(took);
    }
    panic!("it took {late:?}, and may take {bound:?}");
}
