//! What an error of Redis's means for whoever asked.

use redis::{ErrorKind, RedisError};

use crate::BrokerError;

/// Redis refuses every change before it has made any, at its memory limit and where its disk fails;
/// everything else leaves open whether the change was made.
pub(super) fn broker_error(error: RedisError) -> BrokerError {
    match error.code() {
        Some("OOM") => BrokerError::Full("Redis is at its memory limit".into()),
        Some("MISCONF") => BrokerError::Full("Redis cannot write to its disk".into()),
        _ if matches!(
            error.kind(),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType
        ) =>
        {
            BrokerError::Unreadable(error.to_string())
        }
        _ => BrokerError::Unavailable(error.to_string()),
    }
}

/// Whether Redis refuses who we are, so that trying again is of no use.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}
