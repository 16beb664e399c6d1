use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use outlast_protocol::{Limits, RoomName, Sid, Welcome};
use outlast_sessions::{Attachment, Audit, SessionError, Sessions};
use outlast_store::{
    Deadline, Health, Input, Listener, NodeId, PartitionId, Request, Role, SeatRead, SharedStore,
    StoreError, Throttle,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admission::Queue,
    auth::Auth,
    bye::{Bye, End},
    connection_limit::ConnectionLimit,
    hub::{Effect, Hub, Registration, Wake},
    ip_limit::IpLimit,
    outage::Outage,
    settings::GatewaySettings,
    telemetry,
};

/// A gateway: holds sockets, and nothing that another gateway could not rebuild from the store.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

/// What all of a gateway's sockets share.
pub(crate) struct Shared {
    pub(crate) me: NodeId,
    pub(crate) store: SharedStore,
    pub(crate) sessions: Sessions,
    pub(crate) auth: Auth,
    pub(crate) settings: GatewaySettings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) ip_limit: IpLimit,
    /// Those who wait for their turn to attach (D1).
    pub(crate) queue: Arc<Queue>,
    /// Those who have no session yet.
    pub(crate) connection_limit: ConnectionLimit,
    /// Cancelled when the gateway goes: nobody is let in any more.
    pub(crate) closing: CancellationToken,
    /// The sockets, and what is left to do for those that are gone.
    pub(crate) sockets: TaskTracker,
    /// The store's clock at the last heartbeat that it answered.
    heard_at_ms: AtomicU64,
    /// Rung when sessions may have been taken from this gateway without a word.
    doubt: Notify,
    /// Permits to look after a session.
    chores: Semaphore,
    /// Permits to clear a lost socket away.
    pub(crate) farewells: Semaphore,
}

/// A session, and which of its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttachId {
    pub(crate) sid: Sid,
    pub(crate) generation: u64,
}

/// Interval between heartbeats.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(400);
/// After how many of them it sees how long sessions live (L10).
const AGREE_EVERY_HEARTBEATS: u64 = 4;
/// Time after its last heartbeat in which a gateway may still append (S6).
const APPEND_WITHIN_MS: u64 = 30_000;
/// Most sessions looked after at once.
const CHORES_MAX: usize = 64;
/// Most lost sockets cleared away at once.
const FAREWELLS_MAX: usize = 4;
/// Sessions verified at once.
const VERIFY_AT_ONCE: usize = 16;
/// Pause before the store is asked again.
const RETRY: Duration = Duration::from_millis(500);
/// Time that a lost socket's session may go without a word in its record.
const LINGERS: Duration = Duration::from_secs(1);
/// Time that it may go on so after anybody else has come back, and the longest: should the gateway die before it
/// wrote that word, then whoever finds out tells its rooms in time all the same (S7).
const LINGERS_ON: Duration = Duration::from_millis(200);
const LINGERS_MAX: Duration = Duration::from_millis(1_500);

/// What befalls one session befalls many.
static UNNOTED: Throttle = Throttle::every(Duration::from_secs(60));

impl Gateway {
    /// A gateway that does nothing yet; see [`Gateway::serve`].
    pub fn new(
        store: SharedStore,
        sessions: Sessions,
        auth: Auth,
        settings: GatewaySettings,
    ) -> Self {
        let shared = Shared {
            me: NodeId::random(),
            hub: Hub::new(store.clone(), settings.log_entries),
            ip_limit: IpLimit::new(settings.sockets_per_address),
            queue: Queue::new(settings.limits()),
            connection_limit: ConnectionLimit::new(settings.guests_max()),
            closing: CancellationToken::new(),
            sockets: TaskTracker::new(),
            heard_at_ms: AtomicU64::new(0),
            doubt: Notify::new(),
            chores: Semaphore::new(CHORES_MAX),
            farewells: Semaphore::new(FAREWELLS_MAX),
            store,
            sessions,
            auth,
            settings,
        };
        Gateway {
            shared: Arc::new(shared),
        }
    }

    /// The name under which the store knows this gateway.
    pub fn id(&self) -> &NodeId {
        &self.shared.me
    }
}

impl Shared {
    /// Starts to listen, and says for the first time that this gateway is alive. A store that is away is
    /// waited for.
    ///
    /// # Errors
    /// When the store refuses for good to be listened to.
    pub(crate) async fn start(&self) -> Result<Box<dyn Listener>, StoreError> {
        telemetry::describe();
        let mut outage = Outage::default();
        let listener = loop {
            match self.hub.listen(&self.me).await {
                Err(error @ StoreError::Unavailable(_)) => outage.begins(&error),
                listening => break listening?,
            }
            tokio::time::sleep(RETRY).await;
        };
        loop {
            match self.store.heartbeat(&self.me, Role::Gateway).await {
                Ok(heartbeat) => {
                    outage.ends();
                    self.heard_at_ms.store(heartbeat.now_ms, Ordering::Release);
                    break;
                }
                Err(error @ StoreError::Unavailable(_)) => outage.begins(&error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY).await;
        }
        self.agree().await;
        Ok(listener)
    }

    /// Everything that goes on besides the sockets, for as long as it is polled.
    pub(crate) async fn run(&self, listener: Box<dyn Listener>) {
        tokio::join!(
            self.hear(listener),
            self.send_heartbeats(),
            self.reclaim(),
            self.verify(),
            self.audit(),
            self.hub.age(),
            self.queue.run()
        );
    }

    /// Leaves the store's list of those who are alive. No session is attached here any more.
    pub(crate) async fn stop(&self) {
        if let Err(error) = self.store.deregister(&self.me, None).await {
            tracing::warn!(%error, "deregistering from the store failed");
        }
    }

    /// Appends inputs to a partition's topic.
    pub(crate) async fn append(
        &self,
        partition: PartitionId,
        inputs: Vec<Input>,
    ) -> Result<(), StoreError> {
        let deadline = self.append_until()?;
        self.store.append(partition, deadline, inputs).await
    }

    /// Appends inputs to a partition's topic, and looks where their sessions stand.
    pub(crate) async fn arrive(
        &self,
        partition: PartitionId,
        inputs: Vec<Input>,
    ) -> Result<Vec<Option<SeatRead>>, StoreError> {
        let deadline = self.append_until()?;
        self.store.arrive(partition, deadline, inputs).await
    }

    /// Until when this gateway may append what it has to say now (S6).
    fn append_until(&self) -> Result<Deadline, StoreError> {
        if self.is_down() {
            return Err(StoreError::Unavailable(
                "it has not come back yet".to_owned(),
            ));
        }
        let heard_at_ms = self.heard_at_ms.load(Ordering::Acquire);
        Ok(Deadline(heard_at_ms + APPEND_WITHIN_MS))
    }

    /// What a session says to a room.
    pub(crate) fn input(&self, who: AttachId, room: &RoomName, request: Request) -> Input {
        Input {
            room: room.clone(),
            sid: who.sid,
            generation: who.generation,
            gateway: Some(self.me.clone()),
            request,
        }
    }

    /// True if the store is known not to answer.
    pub(crate) fn is_down(&self) -> bool {
        *self.store.health().borrow() == Health::Down
    }

    /// What a client is told of its session.
    pub(crate) fn welcome(&self, session: &Attachment) -> Welcome {
        Welcome {
            sid: session.sid,
            key: session.key.clone(),
            generation: session.generation,
            ttl_ms: self.sessions.ttl().as_millis() as u64,
            heartbeat_ms: self.settings.heartbeat_ms,
            limits: Limits {
                frame_bytes: self.settings.frame_bytes,
                actions_per_s: self.settings.actions_per_s,
            },
        }
    }

    /// Leaves a session that has `lost` its socket to whoever has it next. Most clients of a herd are back
    /// within a moment, here or elsewhere, or while others still come: then nothing is written.
    pub(crate) async fn part(
        &self,
        who: AttachId,
        lost: Instant,
        wake: &Wake,
        registration: Registration,
    ) {
        let longest = LINGERS_MAX.min(self.sessions.grace() / 2);
        let mut pause = LINGERS.min(longest).mul_f64(rand::random_range(0.5..=1.0));
        let gone = loop {
            tokio::select! {
                biased;
                bye = wake.bye() => break End::Bye(bye),
                () = self.closing.cancelled() => break End::Closed,
                () = sleep(pause) => {}
            }
            pause = LINGERS_ON.mul_f64(rand::random_range(0.5..=1.0));
            if lost.elapsed() + pause > longest
                || self.hub.sockets.registered().elapsed() > LINGERS_ON
            {
                break End::Closed;
            }
        };
        // Before that is noted: nobody shall take back what has no socket any more.
        drop(registration);
        if gone.keeps_session() {
            Box::pin(self.detach(who, lost)).await;
        }
    }

    /// Notes when a session lost its socket, however long a store that is away takes (S2). What no waiting mends is left
    /// to the audit (S9).
    async fn detach(&self, AttachId { sid, generation }: AttachId, lost: Instant) {
        let Ok(_permit) = self.chores.acquire().await else {
            return;
        };
        match self.sessions.detach(sid, generation, lost.elapsed()).await {
            Ok(()) | Err(SessionError::Gone | SessionError::Superseded) => {}
            Err(error) if UNNOTED.passes() => {
                tracing::warn!(%sid, %error, "lost socket not noted in its session's record, maybe others; left to the audit");
            }
            Err(_) => {}
        }
    }

    async fn hear(&self, mut listener: Box<dyn Listener>) {
        loop {
            match self.hub.hear(listener.next().await) {
                Effect::Told => {}
                Effect::Missed => {
                    metrics::counter!(telemetry::ANNOUNCEMENTS_MISSED).increment(1);
                    self.doubt.notify_one();
                }
            }
        }
    }

    async fn send_heartbeats(&self) {
        let mut ticks = tokio::time::interval(HEARTBEAT_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut outage = Outage::default();
        for beats in 1_u64.. {
            ticks.tick().await;
            if beats.is_multiple_of(AGREE_EVERY_HEARTBEATS) {
                self.agree().await;
            }
            match self.store.heartbeat(&self.me, Role::Gateway).await {
                Ok(heartbeat) => {
                    outage.ends();
                    self.heard_at_ms.store(heartbeat.now_ms, Ordering::Release);
                    if heartbeat.unknown {
                        tracing::warn!("gateway was declared dead; reclaiming its sessions");
                        self.doubt.notify_one();
                    }
                }
                Err(error) => outage.begins(&error),
            }
        }
    }

    /// Looks after every session, whenever some may have been taken away without a word.
    async fn reclaim(&self) {
        loop {
            self.doubt.notified().await;
            let sessions = self.hub.sockets.all();
            stream::iter(sessions)
                .for_each_concurrent(CHORES_MAX, |who| self.reclaim_one(who))
                .await;
        }
    }

    /// Looks after every session now and then, a few at a time: one that was taken over or ended has a
    /// nudge for its socket, but whoever was to send it may have died first (S5).
    async fn verify(&self) {
        let every = Duration::from_millis(self.settings.verify_ms);
        loop {
            let sessions = self.hub.sockets.all();
            let turns = sessions.len().div_ceil(VERIFY_AT_ONCE).max(1) as u32;
            for some in sessions.chunks(VERIFY_AT_ONCE) {
                stream::iter(some)
                    .for_each_concurrent(None, |who| self.reclaim_one(*who))
                    .await;
                tokio::time::sleep(every / turns).await;
            }
            if sessions.is_empty() {
                tokio::time::sleep(every).await;
            }
        }
    }

    /// Holds the records that name this gateway against its sockets, now and then (S9).
    async fn audit(&self) {
        let mut audit = Audit::new(self.sessions.clone(), self.me.clone());
        loop {
            let pause = audit.every().mul_f64(rand::random_range(0.9..1.1));
            tokio::time::sleep(pause).await;
            let sockets = &self.hub.sockets;
            let here = sockets.all().into_iter().map(|who| who.sid).collect();
            if let Err(error) = audit.pass(here, |sid| sockets.has(sid)).await {
                tracing::debug!(%error, "session audit failed; retrying later");
            }
        }
    }

    /// Goes by the ttl and the grace that count in the store (L10).
    async fn agree(&self) {
        if let Err(error) = self.sessions.agree().await {
            tracing::debug!(%error, "reading session ttl and grace failed; retrying");
        }
    }

    async fn reclaim_one(&self, who: AttachId) {
        let AttachId { sid, generation } = who;
        let bye = loop {
            // It may have gone since it was listed: then its session is no longer this gateway's to take back.
            if !self.hub.sockets.holds(who) {
                return;
            }
            match self.sessions.reclaim(sid, generation, &self.me).await {
                Ok(()) if self.hub.sockets.holds(who) => return,
                // Its socket went while the session was taken back.
                Ok(()) => return self.detach(who, Instant::now()).await,
                Err(SessionError::Superseded) => break Bye::taken_over(),
                Err(SessionError::Gone) => break Bye::session_gone(),
                Err(SessionError::Store(
                    error @ (StoreError::Unavailable(_) | StoreError::Full(_)),
                )) => tracing::debug!(%sid, %error, "reclaiming sessions failed; retrying"),
                // It is looked after again with all others.
                Err(error) => {
                    if UNNOTED.passes() {
                        tracing::warn!(%sid, %error, "session not reclaimed, maybe others; tried again later");
                    }
                    return;
                }
            }
            tokio::time::sleep(RETRY).await;
        };
        self.hub.sockets.close(who, bye);
    }
}
