use std::{sync::Arc, time::Duration};

use metrics::counter;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{NodeId, Nudge, SharedStore, StoreError};
use tokio::sync::Semaphore;

use crate::{
    Attachment, Identity, Presence, SessionError, SessionInfo, SessionSettings,
    attach_guard::{AttachGuard, Bound},
    cas::retry,
    due::settle_due,
    keys::{Key, KeyHash},
    machine::{Notice, Phase, Session},
    records::{Records, RoomNotice},
    telemetry,
};

/// The sessions of a store. Cheap to clone.
///
/// Every method is safe to repeat, and says [`SessionError::Store`] when the store did not answer.
/// `generation` is the one that the caller's [`Attachment`] bore: a call for a socket that has been taken
/// over changes nothing and says [`SessionError::Superseded`] (S5).
#[derive(Clone)]
pub struct Sessions {
    pub(crate) records: Records,
    bound: Bound,
    nudges: Arc<Semaphore>,
}

/// The number of nudges that may be under way at once: one more is not sent.
const NUDGES_MAX: usize = 4_096;

impl Sessions {
    /// The sessions that lie in this store.
    pub fn new(store: SharedStore, settings: SessionSettings) -> Self {
        telemetry::describe();
        Sessions {
            records: Records::new(store, settings),
            bound: Bound::default(),
            nudges: Arc::new(Semaphore::new(NUDGES_MAX)),
        }
    }

    /// Returns the time that a session may be without a socket before anybody is told (S7).
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.records.settings().grace_ms)
    }

    /// Returns the time for which a session outlives its socket (S2).
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.records.settings().ttl_ms)
    }

    /// Goes by the ttl and the grace that count in the store; where none do yet, these do from now on (L10).
    ///
    /// # Errors
    /// When the store does not answer; then those that counted before still do, here.
    pub async fn agree(&self) -> Result<(), StoreError> {
        self.records.agree().await
    }

    /// Makes the ttl and the grace that this process was given count in the store: for who keeps sessions
    /// (L10).
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn decree(&self) -> Result<(), StoreError> {
        self.records.decree().await
    }

    /// Makes a session, attached to this gateway (S1). Its record is complete when this returns (S2).
    ///
    /// # Errors
    /// [`SessionError::TooMany`] (S8), [`SessionError::Store`].
    pub async fn open(
        &self,
        identity: Identity,
        gateway: &NodeId,
    ) -> Result<Attachment, SessionError> {
        let key = Key::draw();
        let sid = self
            .records
            .store
            .layout()
            .place(Sid::now_v7(), &identity.user);
        let session = Session::open(identity, key.hash(), gateway);
        let mut attach = AttachGuard::new(&self.records, &self.bound, sid, key.hash());
        attach.writing();
        let created = self.records.create(sid, &session).await;
        attach.heard(&created);
        created?;
        attach.settled();
        counter!(telemetry::OPENED).increment(1);
        tracing::debug!(%sid, %gateway, "session opened");
        Ok(attachment(sid, key, session))
    }

    /// Attaches a session to this gateway anew, with a new key and the next generation (S3). Another gateway
    /// that held the older socket is nudged to close it; this one sees to its own sockets (S5).
    ///
    /// # Errors
    /// [`SessionError::Gone`] for an unknown sid, an ended session and a wrong key alike, in the same
    /// time (S4); [`SessionError::OtherUser`]; [`SessionError::Superseded`] when another resume came in
    /// between; [`SessionError::Store`], after which the client's key still works.
    pub async fn resume(
        &self,
        sid: &str,
        key: &str,
        newer: Option<&Identity>,
        gateway: &NodeId,
    ) -> Result<Attachment, SessionError> {
        let presented = KeyHash::of(key);
        let next = Key::draw();
        let next_hash = next.hash();
        // What is no sid is looked up like one, so that it takes as long (S4).
        let sid = Sid::try_parse(sid).unwrap_or_else(|_| Sid::now_v7());
        let mut attach = AttachGuard::new(&self.records, &self.bound, sid, next_hash);
        let mut found = None;
        let mut older = None;
        let attached = self
            .records
            .change(sid, |session, _| {
                if *session.keys.newest() == next_hash {
                    return Ok(()); // It had happened; only the answer was lost.
                }
                let before = session.clone();
                session.attach(presented, next_hash, newer.cloned(), gateway)?;
                // Whoever resumed in between came later than this, as far as anybody can tell. To take
                // the session from that one would close the socket that the client is using (S5).
                if *found.get_or_insert(before.generation) != before.generation {
                    return Err(SessionError::Superseded);
                }
                older = before.gateway().filter(|older| *older != gateway).cloned();
                attach.writing();
                Ok(())
            })
            .await;
        attach.heard(&attached);
        let session = attached?;
        if let Some(older) = older {
            let generation = session.generation;
            self.nudge(older, Nudge::TakenOver { sid, generation });
        }
        attach.settled();
        counter!(telemetry::RESUMED).increment(1);
        tracing::debug!(%sid, generation = session.generation, %gateway, "session resumed");
        Ok(attachment(sid, next, session))
    }

    /// Notes that the session is about to join a room. Has to succeed before the join is appended, so
    /// that no room is ever left with a member whose session is gone (S6).
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`], [`SessionError::TooManyRooms`],
    /// [`SessionError::Store`].
    pub async fn add_room(
        &self,
        sid: Sid,
        generation: u64,
        room: &RoomName,
    ) -> Result<(), SessionError> {
        self.records
            .change(sid, |session, _| session.add_room(generation, room))
            .await
            .map(drop)
    }

    /// Notes that the session has left a room, once it has and no join of it is under way.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`], [`SessionError::Store`].
    pub async fn remove_room(
        &self,
        sid: Sid,
        generation: u64,
        room: &RoomName,
    ) -> Result<(), SessionError> {
        self.records
            .change(sid, |session, _| session.remove_room(generation, room))
            .await
            .map(drop)
    }

    /// Notes what a newer token of the same user says (H6).
    ///
    /// # Errors
    /// [`SessionError::OtherUser`], [`SessionError::Superseded`], [`SessionError::Gone`],
    /// [`SessionError::Store`].
    pub async fn renew(
        &self,
        sid: Sid,
        generation: u64,
        identity: Identity,
    ) -> Result<(), SessionError> {
        self.records
            .change(sid, |session, _| {
                session.renew(generation, identity.clone())
            })
            .await
            .map(drop)
    }

    /// Notes that the session has lost its socket so long ago: grace and ttl began then (S2, S7). Waits for a
    /// store that is away, as long as it takes, which does not count; goes on in the background when the caller
    /// does not.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`]: there was nothing left to detach.
    pub async fn detach(
        &self,
        sid: Sid,
        generation: u64,
        ago: Duration,
    ) -> Result<(), SessionError> {
        let records = self.records.clone();
        let ago_ms = ago.as_millis() as u64;
        let detached = tokio::spawn(async move {
            let detach = |session: &mut Session, now_ms: u64| {
                session.detach(generation, now_ms.saturating_sub(ago_ms))
            };
            retry(|| records.change(sid, detach)).await
        });
        let stopping = || StoreError::Unavailable("this process is stopping".into());
        detached.await.map_err(|_| stopping())??;
        tracing::debug!(%sid, generation, "session detached");
        Ok(())
    }

    /// Ends the session for good, and tells its rooms (S6). Once the end is written down nothing stops it:
    /// what this process leaves undone, a keeper does. `None` ends it whatever its generation is, and
    /// nudges the gateway that holds its socket.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`], [`SessionError::Store`].
    pub async fn end(&self, sid: Sid, generation: Option<u64>) -> Result<(), SessionError> {
        let mut holder = None;
        let mut writing = false;
        let ended = self
            .records
            .change(sid, |session, _| {
                let gateway = session.gateway().cloned();
                session.end(generation)?;
                (holder, writing) = (gateway, true);
                Ok(())
            })
            .await;
        match ended {
            // Over since the first attempt, whose answer was lost; a keeper has seen to the rest.
            Err(SessionError::Gone) if writing => {}
            ended => drop(ended?),
        }
        tracing::debug!(%sid, "session ended");
        if let Err(error) = settle_due(&self.records, vec![sid]).await {
            tracing::debug!(%sid, %error, "ending a session is left to the sessions role");
        }
        if let (None, Some(holder)) = (generation, holder) {
            self.nudge(holder, Nudge::Over { sid });
        }
        Ok(())
    }

    /// Takes back a session whose socket never went away, after this gateway was taken for dead; its
    /// rooms are told that it is here, if they had been told otherwise. For a session that stands as it
    /// should this is one read, so it may be called at any time to find out what a lost nudge would have
    /// said.
    ///
    /// # Errors
    /// [`SessionError::Superseded`], [`SessionError::Gone`]: the socket has to go;
    /// [`SessionError::Store`].
    pub async fn reclaim(
        &self,
        sid: Sid,
        generation: u64,
        gateway: &NodeId,
    ) -> Result<(), SessionError> {
        let (mut told, mut decided_ms) = (false, 0);
        let session = self
            .records
            .change(sid, |session, now_ms| {
                told |= session.reclaim(generation, gateway, now_ms)?;
                decided_ms = now_ms;
                Ok(())
            })
            .await?;
        if told {
            let news = RoomNotice {
                sid,
                session: &session,
                tell: Notice::Attached,
                decided_ms,
            };
            // Rooms that do not take it are told by a keeper, a little later.
            self.records.tell([news]).await;
        }
        Ok(())
    }

    /// A session as its record stands.
    ///
    /// # Errors
    /// [`SessionError::Gone`] for one that is unknown or over; [`SessionError::Store`].
    pub async fn find(&self, sid: Sid) -> Result<SessionInfo, SessionError> {
        let loaded = self.records.read(sid).await?.ok_or(SessionError::Gone)?;
        let session = loaded.session;
        let presence = match session.life {
            Phase::Attached { gateway, .. } => Presence::Attached { gateway },
            Phase::Detached { since_ms, .. } => Presence::Detached { since_ms },
            Phase::Ending { .. } => return Err(SessionError::Gone),
        };
        Ok(SessionInfo {
            user: session.identity.user,
            generation: session.generation,
            presence,
            rooms: session.rooms.into_iter().collect(),
        })
    }

    /// The sessions of a user, up to as many as one may have (S8).
    ///
    /// # Errors
    /// [`SessionError::Store`].
    pub async fn of_user(&self, user: &str) -> Result<Vec<Sid>, SessionError> {
        let store = &self.records.store;
        let shard = store.layout().shard_of_user(user);
        let max = self.records.settings().per_user_max;
        Ok(store.grouped(shard, user, max).await?)
    }

    /// Best effort, and nobody waits for it: a gateway that misses it finds out when it next reclaims.
    fn nudge(&self, to: NodeId, nudge: Nudge) {
        let Ok(permit) = self.nudges.clone().try_acquire_owned() else {
            return tracing::debug!(%to, ?nudge, "too many nudges in flight; nudge dropped");
        };
        let store = self.records.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.nudge(Some(&to), &nudge).await {
                tracing::debug!(%to, ?nudge, %error, "delivering a nudge failed");
            }
            drop(permit);
        });
    }
}

fn attachment(sid: Sid, key: Key, session: Session) -> Attachment {
    Attachment {
        sid,
        key: key.into_text(),
        generation: session.generation,
        identity: session.identity,
        rooms: session.rooms.into_iter().collect(),
    }
}
