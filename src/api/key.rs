//! `Idempotency-Key`: what makes a post count once, however often it is sent.
//!
//! The header is that of draft-ietf-httpapi-idempotency-key-header, without the quotes that it asks for
//! where a caller leaves them out.

use axum::http::{HeaderMap, StatusCode};
use outlast_protocol::{RoomName, Sid};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::problem::Problem;

const HEADER: &str = "idempotency-key";
const BYTES_MAX: usize = 128;

/// The key of a request.
///
/// # Errors
/// When there is none, or it is longer than 128 bytes.
pub(super) fn of(headers: &HeaderMap) -> Result<&str, Problem> {
    let key = headers.get(HEADER).and_then(|key| key.to_str().ok());
    let key = key.map(|key| key.trim().trim_matches('"'));
    key.filter(|key| (1..=BYTES_MAX).contains(&key.len())).ok_or_else(|| {
        let message = format!(
            "send Idempotency-Key with 1 to {BYTES_MAX} characters of ASCII: a new one for each action, \
             and the same one when you send an action again"
        );
        Problem::new(StatusCode::BAD_REQUEST, "no_key", message)
    })
}

/// Returns what stands for the key in the room's dedup state: the same for the same user, room and key alone.
pub(super) fn sid(user: &str, room: &RoomName, key: &str) -> Sid {
    let mut hash = Sha256::new();
    for part in ["post", user, room.as_str(), key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // Version 8 is for such ids, and no session has one (S1).
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_each_user_room_and_key_has_a_sid_of_its_own() {
        let (a, b): (RoomName, RoomName) = ("chat/a".parse().unwrap(), "chat/b".parse().unwrap());
        let sids = [
            sid("ada", &a, "1"),
            sid("ada", &a, "2"),
            sid("ada", &b, "1"),
            sid("bob", &a, "1"),
            sid("ad", &a, "a1"),
        ];
        for (i, one) in sids.iter().enumerate() {
            assert_eq!(one.get_version_num(), 8);
            assert!(!sids[..i].contains(one));
        }
        assert_eq!(sid("ada", &a, "1"), sids[0]);
    }

    #[test]
    fn a6_a_key_is_needed_with_quotes_or_without() {
        let with = |key: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, key.parse().unwrap());
            of(&headers).map(str::to_owned).ok()
        };
        assert_eq!(with("\"order-7\"").as_deref(), Some("order-7"));
        assert_eq!(with("order-7").as_deref(), Some("order-7"));
        assert_eq!(with(""), None);
        assert_eq!(with(&"x".repeat(129)), None);
        assert!(of(&HeaderMap::new()).is_err());
    }
}
