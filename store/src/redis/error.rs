//! The meaning of Redis's errors for whoever asked.

use std::{fmt::Display, str, time::Duration};

use redis::{ErrorKind, FromRedisValue, RedisError, Value};

use crate::{StoreError, Throttle};

/// Redis refuses every change before it has made any, at its memory limit and where its disk fails;
/// everything else leaves open whether the change was made: an answer that breaks off with its connection, too,
/// which is a parse error to the client library.
pub(super) fn store_error(error: RedisError) -> StoreError {
    match error.code() {
        Some("OOM") => StoreError::Full("Redis is at its memory limit".into()),
        Some("MISCONF") => StoreError::Full("Redis cannot write to its disk".into()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The parts of an answer. Only what stands in them, whole, may be unreadable (W6), which its reader says:
/// an answer that is made of other parts says nothing about the store.
pub(super) fn read_value<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    redis::from_redis_value(value)
        .map_err(|error| StoreError::Unavailable(format!("an unexpected answer: {error}")))
}

/// A text of the store's, which came whole.
pub(super) fn text(what: impl Display, bytes: &[u8]) -> Result<&str, StoreError> {
    str::from_utf8(bytes).map_err(|error| unreadable(what, error))
}

/// Returns the error for a value that came whole and is not what this version writes (W6).
pub(super) fn unreadable(what: impl Display, error: impl Display) -> StoreError {
    StoreError::Unreadable(format!("{what}: {error}"))
}

/// Whoever wrote what cannot be read may have written any number.
static SKIPPED: Throttle = Throttle::every(Duration::from_secs(10));

/// One entry of many cannot be read: the others count all the same.
pub(super) fn skip(error: &StoreError) {
    if SKIPPED.passes() {
        tracing::warn!(%error, "skipped an entry of the store that this version cannot read");
    }
}

/// True if Redis takes no changes for now, whoever makes them.
pub(super) fn is_refused_write(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("OOM" | "MISCONF" | "NOREPLICAS" | "READONLY")
    )
}

/// True if Redis refuses who we are, so that trying again is of no use.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}
