//! The format of a session in the store: versioned JSON.
//!
//! A change that this version could not read raises [`VERSION`]; then for one release both have to be
//! read, since gateways and keepers of two versions run side by side while a fleet is upgraded.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{SessionError, machine::Session};

/// The version that is written.
const VERSION: u32 = 1;

/// Writes a session.
pub(crate) fn encode(session: &Session) -> Bytes {
    #[derive(Serialize)]
    struct Record<'a> {
        v: u32,
        #[serde(flatten)]
        session: &'a Session,
    }
    let record = Record {
        v: VERSION,
        session,
    };
    serde_json::to_vec(&record)
        .expect("a session's keys are strings")
        .into()
}

/// Reads a session.
///
/// # Errors
/// [`SessionError::Unreadable`] for a record of another version, or for no record at all.
pub(crate) fn decode(bytes: &[u8]) -> Result<Session, SessionError> {
    #[derive(Deserialize)]
    struct Head {
        v: u32,
    }
    let unreadable = |error: serde_json::Error| SessionError::Unreadable(error.to_string());
    let Head { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if v != VERSION {
        let message = format!("it has version {v}, and this one reads version {VERSION}");
        return Err(SessionError::Unreadable(message));
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, keys::KeyHash, machine::Phase};

    fn session() -> Session {
        let identity = Identity {
            user: "ada".into(),
            expires_at: Some(1_800_000_000),
            rooms: Some(vec!["chat/*".into()]),
            admin: false,
        };
        let mut session = Session::open(identity, KeyHash::of("key"), &"gateway1".into());
        session.add_room(1, &"chat/lobby".parse().unwrap()).unwrap();
        session
    }

    /// Records outlive releases: if this fails, raise the version.
    #[test]
    fn the_format_of_version_1_stays_as_it_is() {
        let text = concat!(
            r#"{"v":1,"identity":{"user":"ada","expires_at":1800000000,"rooms":["chat/*"]},"gen":1,"#,
            r#""keys":{"newest":"LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM"},"#,
            r#""rooms":["chat/lobby"],"life":{"attached":{"gateway":"gateway1"}}}"#,
        );
        assert_eq!(std::str::from_utf8(&encode(&session())).unwrap(), text);
        assert_eq!(decode(text.as_bytes()).unwrap(), session());
    }

    #[test]
    fn every_life_is_read_as_it_was_written() {
        let mut session = session();
        session.detach(1, 5).unwrap();
        assert_eq!(decode(&encode(&session)).unwrap(), session);
        session.reclaim(1, &"gateway1".into(), 6).unwrap();
        assert_eq!(decode(&encode(&session)).unwrap(), session);
        session.end(None).unwrap();
        assert_eq!(decode(&encode(&session)).unwrap(), session);
        assert!(matches!(session.life, Phase::Ending { .. }));
    }

    #[test]
    fn another_version_is_named_and_not_guessed_at() {
        let text = br#"{"v":2,"who":"ada"}"#;
        let error = decode(text).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        assert!(matches!(decode(b"\xff"), Err(SessionError::Unreadable(_))));
    }
}
