//! The time that a thread had a processor, and the time that it waited for one. Linux tells; elsewhere no thread ever waits.

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
    static THIS: Thread = Thread(folder_of_this());
}

/// A thread's use of processors so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    ran: Duration,
    /// Counted when a wait is over: one that goes on is not in it.
    waited: Duration,
    /// True if it runs or waits for a processor, and neither sleeps nor is stopped.
    runnable: bool,
}

impl Thread {
    pub(super) fn this() -> Thread {
        THIS.with(Clone::clone)
    }

    pub(super) fn usage(&self) -> Usage {
        let told = |name| fs::read_to_string(self.0.as_deref()?.join(name)).ok();
        let usage = told("schedstat").zip(told("stat"));
        usage
            .and_then(|(schedstat, stat)| Usage::read(&schedstat, &stat))
            .unwrap_or_default()
    }
}

impl Usage {
    /// `schedstat`: nanoseconds that it ran, nanoseconds that it waited, and more. `stat`: its number, its name in
    /// brackets, its state, and more.
    fn read(schedstat: &str, stat: &str) -> Option<Usage> {
        let mut nanos = schedstat.split_ascii_whitespace().map(str::parse);
        let mut next = || nanos.next()?.ok().map(Duration::from_nanos);
        let (ran, waited) = (next()?, next()?);
        let (_, state) = stat.rsplit_once(')')?;
        let runnable = state.trim_start().starts_with('R');
        Some(Usage {
            ran,
            waited,
            runnable,
        })
    }

    /// One of a thread that could always run.
    #[cfg(test)]
    pub(super) fn example(ran: Duration, waited: Duration) -> Usage {
        Usage {
            ran,
            waited,
            runnable: true,
        }
    }

    /// True if it waited for a processor for most of `time`, which has passed since `before`.
    pub(super) fn waits_since(self, before: Usage, time: Duration) -> bool {
        // A kernel that does not count says zero.
        let counted = self.ran > Duration::ZERO;
        let goes_on = counted && self.runnable && before.runnable && self.ran == before.ran;
        goes_on || self.waited.saturating_sub(before.waited) > time / 2
    }
}

fn folder_of_this() -> Option<Arc<Path>> {
    let thread = fs::read_link("/proc/thread-self").ok()?;
    let path: PathBuf = Path::new("/proc").join(thread);
    Some(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn usage(ran_ms: u64, waited_ms: u64, state: &str) -> Usage {
        let schedstat = format!("{} {} 7\n", ran_ms * 1_000_000, waited_ms * 1_000_000);
        Usage::read(&schedstat, &format!("12 (a) R b) {state} 1 12")).unwrap()
    }

    #[test]
    fn w11_a_thread_that_waits_at_one_stretch_is_seen_to_wait_all_the_while() {
        let waits = usage(50, 10, "R");
        assert!(waits.waits_since(waits, TICK));
        let uncounted = usage(0, 0, "R");
        assert!(!uncounted.waits_since(uncounted, TICK));
        // It ran, or sleeps, or is stopped.
        assert!(!usage(51, 10, "R").waits_since(waits, TICK));
        for state in ["S", "D", "T"] {
            assert!(!usage(50, 10, state).waits_since(waits, TICK));
            assert!(!waits.waits_since(usage(50, 10, state), TICK));
        }
    }

    #[test]
    fn w11_a_thread_that_waits_again_and_again_is_seen_to_wait() {
        let before = usage(50, 10, "R");
        assert!(usage(60, 61, "R").waits_since(before, TICK));
        assert!(!usage(60, 60, "R").waits_since(before, TICK));
        assert!(!usage(60, 10, "R").waits_since(Usage::default(), TICK));
    }

    #[test]
    fn w11_linux_tells_how_a_thread_used_processors() {
        assert_eq!(Usage::read("", "1 (a) R 1"), None);
        assert_eq!(Usage::read("12 3000 7\n", ""), None);
        let thread = Thread::this();
        let seen = std::thread::spawn(move || thread.usage()).join().unwrap();
        assert_eq!(seen.ran > Duration::ZERO, cfg!(target_os = "linux"));
        assert_eq!(
            Thread::this().usage().runnable,
            cfg!(target_os = "linux"),
            "it runs"
        );
    }
}
