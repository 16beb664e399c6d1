use outlast_broker::{BrokerError, NodeId, SharedBroker};
use outlast_protocol::{RoomName, Sid};

use crate::{Attachment, Identity, SessionError, Settings};

/// The sessions of a store. Cheap to clone.
///
/// Every method is safe to repeat, and says [`SessionError::Broker`] when the store did not answer.
/// `generation` is the one that the caller's [`Attachment`] bore: a call for a socket that has been taken
/// over changes nothing and says [`SessionError::Superseded`] (S5).
#[derive(Clone)]
pub struct Sessions {
    broker: SharedBroker,
    settings: Settings,
}

impl Sessions {
    /// The sessions that lie in this store.
    pub fn new(broker: SharedBroker, settings: Settings) -> Self {
        Sessions { broker, settings }
    }

    /// Makes a session, attached to this gateway (S1). Its record is complete when this returns (S2).
    ///
    /// # Errors
    /// [`SessionError::TooMany`] (S8), [`SessionError::Broker`].
    pub async fn open(
        &self,
        identity: Identity,
        gateway: &NodeId,
    ) -> Result<Attachment, SessionError> {
        let _ = (&self.broker, &self.settings, identity, gateway);
        later()
    }

    /// Attaches a session to this gateway anew, with a new key and the next generation (S3). The gateway
    /// that held the older socket is nudged to close it, also when it is this one (S5).
    ///
    /// # Errors
    /// [`SessionError::Gone`] for an unknown sid, an ended session and a wrong key alike, in the same
    /// time (S4); [`SessionError::OtherUser`]; [`SessionError::Superseded`] when another resume came in
    /// between; [`SessionError::Broker`], after which the client's key still works.
    pub async fn resume(
        &self,
        sid: &str,
        key: &str,
        newer: Option<Identity>,
        gateway: &NodeId,
    ) -> Result<Attachment, SessionError> {
        let _ = (sid, key, newer, gateway);
        later()
    }

    /// Notes that the session is about to join a room. Has to succeed before the join is appended, so
    /// that no room is ever left with a member whose session is gone (S6).
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`], [`SessionError::TooManyRooms`],
    /// [`SessionError::Broker`].
    pub async fn add_room(
        &self,
        sid: Sid,
        generation: u64,
        room: &RoomName,
    ) -> Result<(), SessionError> {
        let _ = (sid, generation, room);
        later()
    }

    /// Notes that the session has left a room, once it has and no join of it is under way.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`], [`SessionError::Broker`].
    pub async fn remove_room(
        &self,
        sid: Sid,
        generation: u64,
        room: &RoomName,
    ) -> Result<(), SessionError> {
        let _ = (sid, generation, room);
        later()
    }

    /// Notes what a newer token of the same user says (H6).
    ///
    /// # Errors
    /// [`SessionError::OtherUser`], [`SessionError::Superseded`], [`SessionError::Gone`],
    /// [`SessionError::Broker`].
    pub async fn renew(
        &self,
        sid: Sid,
        generation: u64,
        identity: Identity,
    ) -> Result<(), SessionError> {
        let _ = (sid, generation, identity);
        later()
    }

    /// Notes that the session has lost its socket: grace and ttl begin (S2, S7).
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`]: nothing was left to detach.
    pub async fn detach(&self, sid: Sid, generation: u64) -> Result<(), SessionError> {
        let _ = (sid, generation);
        later()
    }

    /// Ends the session for good, and tells its rooms (S6). `None` ends it whatever its generation is, and
    /// nudges the gateway that holds its socket.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`], [`SessionError::Broker`].
    pub async fn end(&self, sid: Sid, generation: Option<u64>) -> Result<(), SessionError> {
        let _ = (sid, generation);
        later()
    }

    /// Takes back a session whose socket never went away, after this gateway was taken for dead; its
    /// rooms are told that it is here, if they had been told otherwise. For a session that stands as it
    /// should this is one read, so it may be called at any time to find out what a lost nudge would have
    /// said.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`]: the socket has to go;
    /// [`SessionError::Broker`].
    pub async fn reclaim(
        &self,
        sid: Sid,
        generation: u64,
        gateway: &NodeId,
    ) -> Result<(), SessionError> {
        let _ = (sid, generation, gateway);
        later()
    }
}

fn later<T>() -> Result<T, SessionError> {
    Err(BrokerError::Unavailable("sessions are being built".into()).into())
}
