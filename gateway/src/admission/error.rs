use std::fmt;

/// Why a request was not answered by the service behind the queue.
pub(crate) enum Rejected<R, E> {
    /// There is no place for it: it is given back, and may come again.
    Busy {
        request: R,
        /// When, in milliseconds from now.
        retry_ms: u64,
    },
    /// Nobody is let in any more: it is given back.
    Closed(R),
    /// It did not wait for its turn.
    Gone,
    /// It was let in, and the service refused it.
    Inner(E),
}

impl<R, E: fmt::Debug> fmt::Debug for Rejected<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Busy { retry_ms, .. } => write!(f, "Busy({retry_ms} ms)"),
            Rejected::Closed(_) => f.write_str("Closed"),
            Rejected::Gone => f.write_str("Gone"),
            Rejected::Inner(error) => write!(f, "Inner({error:?})"),
        }
    }
}
