//! A store, and what acts on it.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use outlast_protocol::{RoomName, Sid};
use outlast_sessions::{Attachment, Identity, SessionError, SessionSettings, Sessions, run_keeper};
use outlast_store::{
    Input, Layout, NodeId, Nudge, RecordRead, Request, Role, ShardId, SharedStore, StoreEvent,
    TopicEntry, TopicId, conformance::Lost, embedded::Embedded, redis,
};
use outlast_testkit::{PATIENCE, RedisServer};
use rand::{Rng, rngs::StdRng};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// As much as there is.
pub(crate) const MANY: usize = 1_000_000;

/// As long as one waits for a topic where one takes what there is.
pub(crate) const NO_WAIT: Duration = Duration::from_millis(1);

/// Everything short, and in the proportions of the defaults.
pub(crate) fn quick() -> SessionSettings {
    SessionSettings {
        ttl_ms: 2_500,
        grace_ms: 500,
        per_user_max: 16,
        lease_ms: 1_000,
        audit_ms: 300,
    }
}

pub(crate) fn user(name: &str) -> Identity {
    Identity {
        user: name.into(),
        expires_at: None,
        rooms: None,
        admin: false,
    }
}

pub(crate) fn room(name: &str) -> RoomName {
    format!("chat/{name}").parse().unwrap()
}

/// Connects to a Redis, with this much patience for each command.
pub(crate) async fn connect(address: &str, patience: Duration) -> SharedStore {
    let settings = redis::RedisSettings {
        command_timeout_ms: patience.as_millis() as u64,
        ..redis::RedisSettings::default()
    };
    let url = format!("redis://{address}");
    let store = redis::Redis::connect(&url, Layout::default(), settings).await;
    store.unwrap()
}

/// Runs a future until it has been polled `polls` times, and drops it then: as if its process had been
/// killed there. Answers what it answered, if it got that far.
pub(crate) async fn kill_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

pub(crate) struct World {
    pub(crate) store: SharedStore,
    /// The same, where it is one whose clock can be moved.
    embedded: Option<Arc<Embedded>>,
    pub(crate) sessions: Sessions,
    pub(crate) settings: SessionSettings,
}

impl World {
    /// On a store in memory.
    pub(crate) fn new(settings: SessionSettings) -> Self {
        let embedded = Embedded::memory(Layout::default());
        let world = World::on(embedded.clone(), settings);
        World {
            embedded: Some(embedded),
            ..world
        }
    }

    /// On any store.
    pub(crate) fn on(store: SharedStore, settings: SessionSettings) -> Self {
        let sessions = Sessions::new(store.clone(), settings.clone());
        World {
            store,
            embedded: None,
            sessions,
            settings,
        }
    }

    /// Loses a part of a session's record.
    pub(crate) async fn lose(&self, server: Option<&RedisServer>, sid: Sid, what: Lost) {
        let shard @ ShardId(s) = self.store.layout().shard(&sid);
        if let Some(embedded) = &self.embedded {
            return embedded.lose(shard, sid, what).await.unwrap();
        }
        let key = |name: &str| format!("ol:{{s{s}}}:{name}");
        let command = match what {
            Lost::Record => vec!["DEL".into(), key(&format!("session:{sid}"))],
            Lost::Due => vec!["ZREM".into(), key("due"), sid.to_string()],
            Lost::Owner(owner) => vec!["ZREM".into(), key("owned"), format!("{owner} {sid}")],
            Lost::Group(user) => {
                let member = format!("{}:{user} {sid}", user.len());
                vec!["ZREM".into(), key("groups"), member]
            }
        };
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let lost: u64 = server.expect("a Redis").run(&command);
        assert_eq!(lost, 1, "{command:?}");
    }

    /// Moves the store's clock.
    pub(crate) fn jump_ahead(&self, by: Duration) {
        self.embedded
            .as_ref()
            .expect("a store in memory")
            .advance(by);
    }

    /// The record of a session, as the store has it.
    pub(crate) async fn record(&self, sid: Sid) -> RecordRead {
        let shard = self.store.layout().shard(&sid);
        self.store.read(shard, &sid).await.unwrap()
    }

    pub(crate) async fn exists(&self, sid: Sid) -> bool {
        self.record(sid).await.record.is_some()
    }

    /// The store's clock.
    pub(crate) async fn now_ms(&self) -> u64 {
        self.store.nodes().await.unwrap().0
    }

    /// True if the store counts a session among those of a gateway.
    pub(crate) async fn holds(&self, gateway: &NodeId, sid: Sid) -> bool {
        let shard = self.store.layout().shard(&sid);
        let owned = self.store.owned(shard, gateway, MANY).await.unwrap();
        owned.contains(&sid)
    }

    /// Opens a session that is in these rooms.
    pub(crate) async fn open(&self, gateway: &NodeId, rooms: &[RoomName]) -> Attachment {
        let name = rand::random::<u64>().to_string();
        let mut opened = self.sessions.open(user(&name), gateway).await.unwrap();
        for room in rooms {
            self.sessions.add_room(opened.sid, 1, room).await.unwrap();
        }
        opened.rooms = rooms.to_vec();
        opened
    }

    pub(crate) async fn resume(
        &self,
        of: &Attachment,
        gateway: &NodeId,
    ) -> Result<Attachment, SessionError> {
        self.sessions
            .resume(&of.sid.to_string(), &of.key, None, gateway)
            .await
    }

    /// Returns the inputs that a room was told, with when, by the store's clock.
    pub(crate) async fn told(&self, room: &RoomName) -> Vec<(u64, Input)> {
        let partition = self.store.layout().partition(room);
        let start = TopicId::default();
        let topic = self.store.read_topic(partition, start, MANY, NO_WAIT);
        let inputs = topic
            .await
            .unwrap()
            .into_iter()
            .map(|TopicEntry { id, input }| (id.ms, input.unwrap()));
        inputs.filter(|(_, input)| input.room == *room).collect()
    }

    /// Returns a session's seat in a room, by what the room was told.
    pub(crate) async fn seat(&self, room: &RoomName, sid: Sid) -> Seat {
        let mut seat = Seat::default();
        for (_, input) in self.told(room).await {
            if input.sid == sid {
                seat.hear(input);
            }
        }
        seat
    }

    /// When a room was told for the first time that a session is away.
    pub(crate) async fn told_away(&self, room: &RoomName, sid: Sid) -> Option<u64> {
        let told = self.told(room).await;
        let mut away = told
            .iter()
            .filter(|(_, input)| input.request == Request::Detached);
        away.find(|(_, input)| input.sid == sid)
            .map(|(at_ms, _)| *at_ms)
    }

    pub(crate) fn keeper(&self) -> Keeper {
        let shutdown = CancellationToken::new();
        let task = run_keeper(self.store.clone(), self.settings.clone(), shutdown.clone());
        Keeper {
            task: tokio::spawn(task),
            shutdown,
        }
    }
}

/// A session's seat in a room: as much of a worker as matters here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) generation: u64,
    pub(crate) away: bool,
    pub(crate) over: Option<String>,
    /// The number of times that it went away and came back.
    pub(crate) turns: u32,
}

impl Seat {
    fn hear(&mut self, input: Input) {
        let Input {
            generation,
            request,
            ..
        } = input;
        match request {
            _ if self.over.is_some() => {}
            Request::Over { reason } => self.over = Some(reason),
            _ if generation < self.generation => {}
            Request::Detached | Request::Attached { .. } => {
                let away = request == Request::Detached;
                self.generation = generation;
                self.turns += u32::from(away != self.away);
                self.away = away;
            }
            Request::Join { .. }
            | Request::Act { .. }
            | Request::Leave { .. }
            | Request::Arrived
            | Request::View
            | Request::Look
            | Request::Post { .. }
            | Request::Reload
            | Request::Inspect
            | Request::Report { .. } => panic!("sessions never say {request:?}"),
        }
    }
}

/// A keeper that runs.
pub(crate) struct Keeper {
    pub(crate) task: JoinHandle<Result<(), outlast_store::StoreError>>,
    pub(crate) shutdown: CancellationToken,
}

impl Keeper {
    /// Kills it wherever it is.
    pub(crate) async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}

/// The delay of everything in this process, since the machine has other things to do.
pub(crate) struct Lateness {
    late_ms: Arc<AtomicU64>,
    looks: JoinHandle<()>,
}

impl Lateness {
    pub(crate) fn watch() -> Self {
        let late_ms = Arc::new(AtomicU64::new(0));
        let sum = late_ms.clone();
        let looks = tokio::spawn(async move {
            loop {
                let due = Instant::now() + Duration::from_millis(20);
                sleep_until(due).await;
                let late = due.elapsed().as_millis() as u64;
                sum.fetch_add(late.saturating_sub(2), Ordering::Relaxed);
            }
        });
        Lateness { late_ms, looks }
    }

    /// Returns the time that may pass here for what takes so long on an idle machine: what has to be done in
    /// between takes a few steps, each of which may have been late.
    pub(crate) fn stretch(&self, ms: u64) -> u64 {
        ms + 10 * self.late_ms.load(Ordering::Relaxed)
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.looks.abort();
    }
}

/// A gateway that is alive, as far as the store can tell.
pub(crate) struct Gateway {
    beats: JoinHandle<()>,
}

impl Gateway {
    /// Starts to beat. Like every gateway it reclaims these sessions when it was struck off.
    pub(crate) async fn start(world: &World, id: &NodeId, sessions: Vec<(Sid, u64)>) -> Self {
        world.store.heartbeat(id, Role::Gateway).await.unwrap();
        let (store, here, id) = (world.store.clone(), world.sessions.clone(), id.clone());
        let beats = tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(400)).await;
                let beat = store.heartbeat(&id, Role::Gateway).await;
                if beat.is_ok_and(|beat| beat.unknown) {
                    for (sid, generation) in &sessions {
                        here.reclaim(*sid, *generation, &id).await.ok();
                    }
                }
            }
        });
        Gateway { beats }
    }

    pub(crate) fn die(self) {
        self.beats.abort();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

/// The nudges that reach a process.
pub(crate) struct Ear(Box<dyn outlast_store::Listener>);

impl Ear {
    pub(crate) async fn of(world: &World, id: &NodeId) -> Self {
        Ear(world.store.listen(id).await.unwrap().1)
    }

    /// The next nudge.
    pub(crate) async fn hear(&mut self) -> Nudge {
        let next = async {
            loop {
                if let StoreEvent::Nudge(nudge) = self.0.next().await {
                    return nudge;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a nudge")
    }
}

/// A random moment within `longest`.
pub(crate) async fn a_while(random: &mut StdRng, longest: Duration) {
    let micros = random.next_u64() % longest.as_micros() as u64;
    sleep(Duration::from_micros(micros)).await;
}
