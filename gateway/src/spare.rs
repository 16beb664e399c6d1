//! A file descriptor that is kept for the time when the system has no more to give.

use std::{fs::File, io};

use outlast_store::Throttle;
use std::time::Duration;

/// Given up when there are no others: with it a connection can be taken and told to come back, instead of being
/// left to wait in the backlog until its client gives up.
#[derive(Debug)]
pub(crate) struct Spare(Option<File>);

/// What can always be opened, and holds nothing.
#[cfg(unix)]
const NOTHING: &str = "/dev/null";
#[cfg(windows)]
const NOTHING: &str = "NUL";

static EXHAUSTED: Throttle = Throttle::every(Duration::from_secs(10));

impl Spare {
    /// One in hand, if there is one to have.
    pub(crate) fn new() -> Self {
        Spare(File::open(NOTHING).ok())
    }

    /// Gives it up, where that is why nobody can be accepted. Returns whether there is one descriptor more now.
    pub(crate) fn lend(&mut self, error: &io::Error) -> bool {
        let exhausted = is_exhausted(error);
        if EXHAUSTED.passes() {
            let remedy = match exhausted {
                true => "raise the limit of open files (ulimit -n), or run more gateways",
                false => "accepting goes on",
            };
            tracing::warn!(%error, remedy, "accepting connections failed");
        }
        exhausted && self.0.take().is_some()
    }

    /// Has one in hand again, as soon as there is one.
    pub(crate) fn take_back(&mut self) {
        if self.0.is_none() {
            self.0 = File::open(NOTHING).ok();
        }
    }
}

/// True if the process, or the system, has as many files open as it may: EMFILE, ENFILE.
fn is_exhausted(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}
