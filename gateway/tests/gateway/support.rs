use std::net::SocketAddr;

use outlast_gateway::{Auth, Gateway, GatewaySettings};
use outlast_sessions::Sessions;
use outlast_store::{Layout, SharedStore, embedded::Embedded, redis};
use outlast_testkit::{Client, PATIENCE, RedisServer};
use outlast_worker::Registry;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const LAYOUT: Layout = Layout {
    partitions: 2,
    shards: 2,
};

/// A Redis that writes to disk only when it is told to: killed, it comes back with what was last saved, or with
/// nothing.
pub fn forgetful() -> RedisServer {
    RedisServer::start_with(&["--appendonly", "no"])
}

pub async fn connect(server: &RedisServer) -> SharedStore {
    let settings = redis::RedisSettings {
        // Long, so that a busy machine is not taken for a store that is away.
        command_timeout_ms: 4_000,
        ..redis::RedisSettings::default()
    };
    let store = redis::Redis::connect(&server.url(), LAYOUT, settings).await;
    store.unwrap()
}

/// A store with everything that works on it.
pub struct World {
    pub store: SharedStore,
    pub gateways: Vec<Running>,
    sessions: outlast_sessions::SessionSettings,
    worker_settings: outlast_worker::WorkerSettings,
    worker: Option<(CancellationToken, JoinHandle<()>)>,
    shutdown: CancellationToken,
}

/// A gateway that serves.
pub struct Running {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub serving: JoinHandle<()>,
}

/// What a test wants to be otherwise.
pub struct Setup {
    pub settings: GatewaySettings,
    pub sessions: outlast_sessions::SessionSettings,
    pub worker: outlast_worker::WorkerSettings,
    pub auth: Auth,
    pub gateways: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            settings: GatewaySettings::default(),
            sessions: outlast_sessions::SessionSettings::default(),
            worker: outlast_worker::WorkerSettings::default(),
            auth: Auth::anonymous(),
            gateways: 1,
        }
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with_settings(settings: GatewaySettings) -> Self {
        Self::with(Setup {
            settings,
            ..Setup::default()
        })
        .await
    }

    pub async fn with(setup: Setup) -> Self {
        Self::on(Self::store(), setup).await
    }

    pub fn store() -> SharedStore {
        Embedded::memory(LAYOUT)
    }

    pub async fn on(store: SharedStore, setup: Setup) -> Self {
        let shutdown = CancellationToken::new();
        let keeper = setup.sessions.clone();
        tokio::spawn(outlast_sessions::run_keeper(
            store.clone(),
            keeper,
            shutdown.clone(),
        ));
        let mut world = World {
            store,
            gateways: Vec::new(),
            sessions: setup.sessions,
            worker_settings: setup.worker,
            worker: None,
            shutdown,
        };
        world.start_worker();
        for _ in 0..setup.gateways {
            world
                .add_gateway(setup.auth.clone(), setup.settings.clone())
                .await;
        }
        world
    }

    pub fn start_worker(&mut self) {
        let stop = self.shutdown.child_token();
        let (store, settings) = (self.store.clone(), self.worker_settings.clone());
        let run = outlast_worker::run(store, Registry::bundled(), settings, stop.clone());
        let running = tokio::spawn(async move { run.await.unwrap() });
        self.worker = Some((stop, running));
    }

    /// From now on nobody runs rooms.
    pub async fn stop_worker(&mut self) {
        let (stop, running) = self.worker.take().unwrap();
        stop.cancel();
        running.await.unwrap();
    }

    /// Waits until the room's topic holds so many inputs that no worker has taken up.
    pub async fn appended(&self, room: &str, count: usize) {
        let partition = self.store.layout().partition(&room.parse().unwrap());
        let mut after = self.store.cursor(partition).await.unwrap().topic;
        for _ in 0..count {
            let read = self.store.read_topic(partition, after, 1, PATIENCE).await;
            after = read.unwrap().first().expect("it was appended").id;
        }
    }

    pub async fn add_gateway(&mut self, auth: Auth, mut settings: GatewaySettings) {
        // Nobody here has to answer pings who did not ask for them, however long a test takes.
        if settings.heartbeat_ms == GatewaySettings::default().heartbeat_ms {
            settings.heartbeat_ms = 3_600_000;
        }
        let listener = outlast_gateway::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Sessions::new(self.store.clone(), self.sessions.clone());
        let gateway = Gateway::new(self.store.clone(), sessions, auth, settings);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let pages = axum::Router::new().route("/", axum::routing::get(|| async { "pages" }));
        let serving =
            tokio::spawn(async move { gateway.serve(listener, pages, stop).await.unwrap() });
        self.gateways.push(Running {
            address,
            shutdown,
            serving,
        });
    }

    pub fn address(&self) -> SocketAddr {
        self.gateways[0].address
    }

    pub async fn connect(&self) -> Client {
        Client::connect_with(self.address(), &[]).await.unwrap()
    }

    pub async fn open(&self) -> (Client, Value) {
        let mut client = self.connect().await;
        let welcome = client.open().await;
        (client, welcome)
    }

    /// A client that is in a chat under this name.
    pub async fn in_chat(&self, room: &str, name: &str) -> (Client, Value) {
        let (mut client, welcome) = self.open().await;
        client.join_at_once(room, 1, name).await;
        (client, welcome)
    }
}

/// A setup in which nobody who acts fast is slowed down.
pub fn quick() -> Setup {
    Setup {
        settings: GatewaySettings {
            actions_per_s: 100_000,
            ..GatewaySettings::default()
        },
        ..Setup::default()
    }
}

/// Another room, of the same partition or of another.
pub fn another(world: &World, room: &str, same: bool) -> String {
    let layout = world.store.layout();
    let partition = |name: &str| layout.partition(&name.parse().unwrap());
    let mut names = (0..).map(|number| format!("chat/room-{number}"));
    let found = names.find(|name| (partition(name) == partition(room)) == same);
    found.unwrap()
}

/// The same on both stores.
pub async fn on_both(test: impl AsyncFn(&mut World)) {
    test(&mut World::with(quick()).await).await;
    let server = forgetful();
    test(&mut World::on(connect(&server).await, quick()).await).await;
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        for gateway in &self.gateways {
            gateway.serving.abort();
        }
    }
}
