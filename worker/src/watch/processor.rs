//! How long a thread has waited for a processor. Linux tells; elsewhere no thread ever waits.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A thread of this process, as others ask about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Thread(Option<Arc<Path>>);

thread_local! {
    static THIS: Thread = Thread(schedule_of_this());
}

impl Thread {
    pub(super) fn this() -> Thread {
        THIS.with(Clone::clone)
    }

    /// For how long it could have run so far, and did not.
    pub(super) fn waited(&self) -> Duration {
        let told = self
            .0
            .as_deref()
            .and_then(|path| fs::read_to_string(path).ok());
        told.and_then(|text| waited(&text)).unwrap_or_default()
    }
}

fn schedule_of_this() -> Option<Arc<Path>> {
    let thread = fs::read_link("/proc/thread-self").ok()?;
    let path: PathBuf = Path::new("/proc").join(thread).join("schedstat");
    Some(path.into())
}

/// Of nanoseconds that it ran, nanoseconds that it waited, and how often it ran.
fn waited(schedstat: &str) -> Option<Duration> {
    let nanos = schedstat.split_ascii_whitespace().nth(1)?;
    nanos.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w11_linux_tells_how_long_a_thread_has_waited_for_a_processor() {
        assert_eq!(waited("12 3000 7\n"), Some(Duration::from_micros(3)));
        assert_eq!(waited(""), None);
        let thread = Thread::this();
        if cfg!(target_os = "linux") {
            let told = fs::read_to_string(thread.0.as_deref().unwrap()).unwrap();
            assert!(waited(&told).is_some(), "{told}");
        }
        std::thread::spawn(move || thread.waited()).join().unwrap();
    }
}
