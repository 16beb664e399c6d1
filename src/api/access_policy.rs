use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use outlast_gateway::{Auth, Keys, is_local};
use outlast_protocol::RoomName;

use super::problem::Problem;
use crate::config::Config;

/// The callers that may use the API on one listener.
#[derive(Clone)]
pub(crate) enum AccessPolicy {
    /// Those with a token that has the claim `admin`.
    Tokens(Auth),
    /// Those at this machine: the listener is on loopback, and there is no key to check tokens with.
    Local,
    /// Nobody: there is no key to check tokens with, and the listener can be reached from elsewhere.
    Nobody,
}

/// The caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The user that the token names.
    pub(super) user: String,
    /// The patterns of rooms that the token is good for; every room, when there are none.
    rooms: Option<Vec<String>>,
}

impl AccessPolicy {
    /// On a listener of operators at this address.
    pub(crate) fn at(address: SocketAddr, keys: Option<&Keys>) -> AccessPolicy {
        match keys {
            Some(keys) => AccessPolicy::Tokens(Auth::tokens(keys.clone(), false)),
            None if address.ip().is_loopback() => AccessPolicy::Local,
            None => AccessPolicy::Nobody,
        }
    }

    /// On the listener that browsers connect to, for the dashboard: with keys, and where somebody tries
    /// outlast out on a machine of their own.
    pub(crate) fn beside_clients(config: &Config, keys: Option<&Keys>) -> Option<AccessPolicy> {
        let tried_out = config.is_tried_out();
        (keys.is_some() || tried_out).then(|| AccessPolicy::at(config.listen, keys))
    }

    /// Returns the sender of a request with these headers.
    ///
    /// # Errors
    /// 401 without a token that is good, 403 where one that is good does not do.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match self {
            AccessPolicy::Tokens(auth) => {
                let token = bearer(headers)
                    .ok_or_else(|| unauthorized("a token is needed: send Authorization: Bearer"))?;
                let identity = auth
                    .verify(token)
                    .map_err(|error| unauthorized(error.to_string()))?;
                if !identity.admin {
                    let message = "the token lacks the claim \"admin\": true";
                    return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message));
                }
                Ok(Caller {
                    user: identity.user,
                    rooms: identity.rooms,
                })
            }
            AccessPolicy::Local if is_local(headers) => Ok(Caller {
                user: "operator".to_owned(),
                rooms: None,
            }),
            AccessPolicy::Local => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "without a key for tokens only this machine itself may call, at a loopback address and through no proxy",
            )),
            AccessPolicy::Nobody => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "there is no key to check tokens with: start this process with --token-secret-file, \
                 --token-key-file or --token-jwks-file",
            )),
        }
    }
}

impl Caller {
    /// # Errors
    /// When the token is good for other rooms only.
    pub(super) fn may_use(&self, room: &RoomName) -> Result<(), Problem> {
        if outlast_gateway::allows(self.rooms.as_deref(), room) {
            return Ok(());
        }
        let message = "the token does not allow this room";
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message))
    }
}

fn unauthorized(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
