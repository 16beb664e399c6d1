//! The session as a state machine: what happens to it, and what that asks for. No clock, no IO, no
//! randomness: the time, the keys and the settings are arguments.
//!
//! ```text
//!            open                    lose, detach
//!              │       ┌─────────────────────────────────────┐
//!              ▼       │                                     ▼
//!          ┌──────────────┐     attach, reclaim       ┌──────────────┐  grace: its rooms
//!  attach ⟲│   Attached   │◀──────────────────────────│   Detached   │⟲ are told
//!          └──────────────┘                           └──────────────┘
//!                  │ end                            end │     │ ttl
//!                  └────────────▶ ┌────────┐ ◀──────────┴─────┘
//!                                 │ Ending │  its rooms are told, then it is deleted
//!                                 └────────┘
//! ```

use std::{cmp::Ordering, collections::BTreeSet};

use outlast_protocol::{ROOMS_MAX, RoomName};
use outlast_store::{NodeId, Request};
use serde::{Deserialize, Serialize};

use crate::{
    Identity, SessionError, SessionSettings,
    keys::{KeyHash, Keys},
};

/// The longest time, on the store's clock, that what is told to a room may take from the moment that it was decided:
/// later appends are refused. So a keeper that was stopped in between says nothing stale.
pub(crate) const TELL_WITHIN_MS: u64 = 5_000;

/// The time after which the rooms of a reclaimed session are told so once more: later than anything can reach
/// them that a keeper decided on before, even if writing the reclaim took its time too.
const RETELL_AFTER_MS: u64 = 2 * TELL_WITHIN_MS;

/// A session: everything that the store keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) identity: Identity,
    /// The number of sockets that it has had (S1).
    #[serde(rename = "gen")]
    pub(crate) generation: u64,
    /// The keys that open it (S3).
    pub(crate) keys: Keys,
    /// The rooms that it may be in: all that it is in, and those that it is about to join.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) rooms: BTreeSet<RoomName>,
    /// Where it is in its life.
    pub(crate) life: Phase,
}

/// Where a session is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It has a socket.
    Attached {
        /// The gateway that holds the socket.
        gateway: NodeId,
        /// When its rooms have to be told once more that it is here: it was reclaimed, and until then a
        /// keeper may have been telling them otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retell_ms: Option<u64>,
    },
    /// It has lost its socket.
    Detached {
        /// When.
        since_ms: u64,
        /// True if its rooms have been told (S7).
        told: bool,
    },
    /// It is over; its rooms have yet to be told (S6).
    Ending {
        /// Why.
        reason: Reason,
    },
}

/// Why a session is over (S6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// It was without a socket for longer than its ttl.
    Expired,
    /// Somebody said so.
    Ended,
}

/// The steps for a session that is due: tell its rooms first, then write. In this order, a
/// crash in between repeats what was told, which rooms ignore; in the other it would never be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transition {
    /// The notice to each of its rooms.
    pub(crate) tell: Option<Notice>,
    /// The effect on the record after that.
    pub(crate) then: Effect,
}

/// A notice about a session to its rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It has been without a socket for longer than the grace.
    Detached,
    /// It has a socket.
    Attached,
    /// It is over.
    Over(Reason),
}

/// The effect on a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is written.
    Write(Box<Session>),
    /// It is deleted.
    Delete,
}

impl Session {
    /// A new session.
    pub(crate) fn open(identity: Identity, key: KeyHash, gateway: &NodeId) -> Self {
        Session {
            identity,
            generation: 1,
            keys: Keys::new(key),
            rooms: BTreeSet::new(),
            life: attached(gateway),
        }
    }

    /// A client comes back with `key` and gets `next` (S3). `newer` is what its newer token says.
    pub(crate) fn attach(
        &mut self,
        key: KeyHash,
        next: KeyHash,
        newer: Option<Identity>,
        gateway: &NodeId,
    ) -> Result<(), SessionError> {
        if !self.keys.open_to(&key) || self.is_over() {
            return Err(SessionError::Gone);
        }
        if let Some(newer) = newer {
            self.adopt(newer)?;
        }
        self.keys.turn(key, next);
        self.generation += 1;
        self.life = attached(gateway);
        Ok(())
    }

    /// The socket of this generation is gone.
    pub(crate) fn detach(&mut self, generation: u64, now_ms: u64) -> Result<(), SessionError> {
        self.check(generation)?;
        if let Phase::Attached { .. } = self.life {
            self.life = detached(now_ms);
        }
        Ok(())
    }

    /// A gateway is dead. Where it holds this session's socket, that has been gone since then.
    pub(crate) fn lose(&mut self, dead: &NodeId, since_ms: u64) {
        if self.gateway() == Some(dead) {
            self.life = detached(since_ms);
        }
    }

    /// The attach that was to hand out `key` was given up halfway: nobody holds a socket for it. A session
    /// that was only being opened is over, since nobody knows its key.
    pub(crate) fn abandon(&mut self, key: &KeyHash, now_ms: u64) {
        if self.gateway().is_some() && self.keys.newest() == key {
            self.life = if self.generation == 1 {
                Phase::Ending {
                    reason: Reason::Ended,
                }
            } else {
                detached(now_ms)
            };
        }
    }

    /// The gateway that holds the socket of this generation was taken for dead, but is not. Answers
    /// whether the session's rooms have been told that it is away.
    pub(crate) fn reclaim(
        &mut self,
        generation: u64,
        gateway: &NodeId,
        now_ms: u64,
    ) -> Result<bool, SessionError> {
        self.check(generation)?;
        match &self.life {
            Phase::Attached {
                gateway: holder, ..
            } if holder == gateway => Ok(false),
            Phase::Attached { .. } => Err(SessionError::Superseded),
            Phase::Detached { told, .. } => {
                let told = *told;
                self.life = Phase::Attached {
                    gateway: gateway.clone(),
                    retell_ms: Some(now_ms + RETELL_AFTER_MS),
                };
                Ok(told)
            }
            Phase::Ending { .. } => Err(SessionError::Gone),
        }
    }

    /// The session is about to join a room.
    pub(crate) fn add_room(
        &mut self,
        generation: u64,
        room: &RoomName,
    ) -> Result<(), SessionError> {
        self.check(generation)?;
        if self.rooms.len() >= ROOMS_MAX && !self.rooms.contains(room) {
            return Err(SessionError::TooManyRooms { max: ROOMS_MAX });
        }
        self.rooms.insert(room.clone());
        Ok(())
    }

    /// The session has left a room.
    pub(crate) fn remove_room(
        &mut self,
        generation: u64,
        room: &RoomName,
    ) -> Result<(), SessionError> {
        self.check(generation)?;
        self.rooms.remove(room);
        Ok(())
    }

    /// The socket of this generation brought a newer token.
    pub(crate) fn renew(&mut self, generation: u64, newer: Identity) -> Result<(), SessionError> {
        self.check(generation)?;
        self.adopt(newer)
    }

    /// The session is to end: because the socket of this generation said so, or whatever it is.
    pub(crate) fn end(&mut self, generation: Option<u64>) -> Result<(), SessionError> {
        self.check(generation.unwrap_or(self.generation))?;
        self.life = Phase::Ending {
            reason: Reason::Ended,
        };
        Ok(())
    }

    /// When something has to be done about the session, if nothing else happens to it, in milliseconds
    /// on the store's clock.
    pub(crate) fn due_ms(&self, settings: &SessionSettings) -> Option<u64> {
        match &self.life {
            Phase::Attached { retell_ms, .. } => *retell_ms,
            // Who expires before the grace is over is not told away first.
            Phase::Detached { since_ms, told } if *told || settings.ttl_ms <= settings.grace_ms => {
                Some(since_ms + settings.ttl_ms)
            }
            Phase::Detached { since_ms, .. } => Some(since_ms + settings.grace_ms),
            Phase::Ending { .. } => Some(0),
        }
    }

    /// Returns the transition that is due now.
    pub(crate) fn due(&self, now_ms: u64, settings: &SessionSettings) -> Transition {
        let mut next = self.clone();
        let is_due = self.due_ms(settings).is_some_and(|due_ms| due_ms <= now_ms);
        let tell = match &mut next.life {
            _ if !is_due => None,
            Phase::Attached { retell_ms, .. } => {
                *retell_ms = None;
                Some(Notice::Attached)
            }
            Phase::Detached { since_ms, told } if now_ms < *since_ms + settings.ttl_ms => {
                *told = true;
                Some(Notice::Detached)
            }
            // First the record, so that nobody comes back while rooms are told that it is over.
            Phase::Detached { .. } => {
                next.life = Phase::Ending {
                    reason: Reason::Expired,
                };
                None
            }
            Phase::Ending { reason } => {
                let tell = Some(Notice::Over(*reason));
                return Transition {
                    tell,
                    then: Effect::Delete,
                };
            }
        };
        Transition {
            tell,
            then: Effect::Write(Box::new(next)),
        }
    }

    /// Returns the gateway that holds its socket.
    pub(crate) fn gateway(&self) -> Option<&NodeId> {
        match &self.life {
            Phase::Attached { gateway, .. } => Some(gateway),
            Phase::Detached { .. } | Phase::Ending { .. } => None,
        }
    }

    /// True if it has ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.life, Phase::Ending { .. })
    }

    /// True if the socket of this generation is the session's newest. A higher one than the record's was
    /// handed out by a write that the store has lost (R4).
    fn check(&self, generation: u64) -> Result<(), SessionError> {
        match generation.cmp(&self.generation) {
            _ if self.is_over() => Err(SessionError::Gone),
            Ordering::Less => Err(SessionError::Superseded),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(SessionError::Gone),
        }
    }

    fn adopt(&mut self, newer: Identity) -> Result<(), SessionError> {
        if newer.user != self.identity.user {
            return Err(SessionError::OtherUser);
        }
        self.identity = newer;
        Ok(())
    }
}

impl Notice {
    /// The request that rooms understand.
    pub(crate) fn request(self) -> Request {
        match self {
            Notice::Detached => Request::Detached,
            Notice::Attached => Request::Attached { view: false },
            Notice::Over(reason) => Request::Over {
                reason: reason.as_str().into(),
            },
        }
    }
}

impl Reason {
    /// As SPEC S6 calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Expired => "expired",
            Reason::Ended => "ended",
        }
    }
}

fn attached(gateway: &NodeId) -> Phase {
    Phase::Attached {
        gateway: gateway.clone(),
        retell_ms: None,
    }
}

fn detached(since_ms: u64) -> Phase {
    Phase::Detached {
        since_ms,
        told: false,
    }
}

#[cfg(test)]
mod tests;
