//! A client's identity: the token in its first frame (H5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{DecodingKey, Validation, decode_header, errors::ErrorKind};
use outlast_protocol::RoomName;
use outlast_sessions::Identity;
use serde::Deserialize;
use uuid::Uuid;

mod keys;

pub use self::keys::{KeyError, Keys};

/// Decides who a client is.
#[derive(Clone)]
pub struct Auth {
    keys: Option<Keys>,
    anonymous: Anonymous,
}

/// What a client is that brings no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anonymous {
    /// Refused.
    Refused,
    /// A user of its own.
    Taken,
    /// That, and an operator if it sits at this machine.
    AtHome,
}

/// Why a client is not who it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token, and anonymous clients are not allowed.
    #[error("a token is needed: put it into the first frame, or send Authorization: Bearer")]
    Missing,
    /// There is a token, and no key to check it with.
    #[error("this server checks no tokens: it has no key")]
    NoKey,
    /// It is no JWT, or says something impossible.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// It was not signed with one of the keys, or not in the way that belongs to the key.
    #[error("the token was not signed with a key that this server knows")]
    Signature,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    TooEarly,
    /// It names another user than the session's.
    #[error("the token is another user's")]
    OtherUser,
}

impl Auth {
    /// Knows clients by their tokens; with `anonymous`, also takes those that have none.
    pub fn tokens(keys: Keys, anonymous: bool) -> Self {
        Auth {
            keys: Some(keys),
            anonymous: if anonymous {
                Anonymous::Taken
            } else {
                Anonymous::Refused
            },
        }
    }

    /// Takes everybody, each as a user of its own. No token can be checked.
    pub fn anonymous() -> Self {
        Auth {
            keys: None,
            anonymous: Anonymous::Taken,
        }
    }

    /// As [`Auth::anonymous`]; and who connects from this machine itself is an operator, as if by a token with
    /// the claim `admin`. For a server that listens on loopback alone, where somebody tries it out.
    pub fn at_home() -> Self {
        Auth {
            keys: None,
            anonymous: Anonymous::AtHome,
        }
    }

    /// True if it can check a token.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// The identity of a client that opens a session with this token, or without one; `local` is true if the request
    /// came from this machine itself ([`crate::is_local`]).
    ///
    /// # Errors
    /// Says what is wrong with the token, and never what is in it (H3).
    pub fn identify(&self, token: Option<&str>, local: bool) -> Result<Identity, AuthError> {
        match token {
            Some(token) => self.verify(token),
            None if self.anonymous != Anonymous::Refused => {
                let user = format!("anonymous:{}", Uuid::new_v4());
                Ok(Identity {
                    user,
                    expires_at: None,
                    rooms: None,
                    admin: local && self.anonymous == Anonymous::AtHome,
                })
            }
            None => Err(AuthError::Missing),
        }
    }

    /// What a token says.
    ///
    /// # Errors
    /// As [`Auth::identify`].
    pub fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        let keys = self.keys.as_ref().ok_or(AuthError::NoKey)?;
        let header = decode_header(token).map_err(|error| explain(error.kind()))?;
        let mut refusal = AuthError::Signature;
        for (key, algorithm) in keys.candidates(&header) {
            match check(token, key, &validation(algorithm)) {
                Ok(claims) => return claims.into_identity(),
                Err(AuthError::Signature) => {}
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }
}

/// True if a token with these patterns allows a room: no list allows every room, `chat/*` all that begin so.
pub fn allows(patterns: Option<&[String]>, room: &RoomName) -> bool {
    let matches = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => room.as_str().starts_with(prefix),
        None => room.as_str() == pattern,
    };
    patterns.is_none_or(|patterns| patterns.iter().any(matches))
}

/// Time that is left to a token that expires at so many seconds since the epoch, on this machine's clock.
pub(crate) fn left(expires_at_s: u64) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Duration::from_secs(expires_at_s).saturating_sub(now)
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch; JWT allows fractions.
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    rooms: Option<Vec<String>>,
    #[serde(default)]
    admin: bool,
}

impl Claims {
    fn into_identity(self) -> Result<Identity, AuthError> {
        const USER_BYTES_MAX: usize = 256;
        if self.sub.is_empty() || self.sub.len() > USER_BYTES_MAX {
            let why = format!("`sub` has 1 to {USER_BYTES_MAX} bytes");
            return Err(AuthError::Malformed(why));
        }
        let expires_at = self.exp.map(|exp| exp as u64);
        Ok(Identity {
            user: self.sub,
            expires_at,
            rooms: self.rooms,
            admin: self.admin,
        })
    }
}

fn validation(algorithm: jsonwebtoken::Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    // Whom a token is meant for besides is not this server's to judge.
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["sub"]);
    validation
}

fn check(token: &str, key: &DecodingKey, validation: &Validation) -> Result<Claims, AuthError> {
    jsonwebtoken::decode(token, key, validation)
        .map(|token| token.claims)
        .map_err(|error| explain(error.kind()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "jsonwebtoken may add kinds")]
fn explain(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::TooEarly,
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => AuthError::Signature,
        ErrorKind::MissingRequiredClaim(claim) => AuthError::Malformed(format!("no `{claim}`")),
        ErrorKind::Json(error) => AuthError::Malformed(json_cause(error)),
        _ => AuthError::Malformed("it is no JWT".to_owned()),
    }
}

/// What serde complains of, without the value that it quotes (H3).
fn json_cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") {
        text
    } else {
        "a claim has the wrong type".to_owned()
    }
}

#[cfg(test)]
mod tests;
