use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use outlast_gateway::{Auth, Gateway, GatewaySettings};
use outlast_sessions::Sessions;
use outlast_store::{Layout, SharedStore, embedded::Embedded};
use outlast_worker::Registry;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};
use tokio_util::sync::CancellationToken;

use crate::redis::Server;

/// How long anything may take that happens at once, on a machine that is busy with other things.
pub const SOON: Duration = Duration::from_secs(60);

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
        Embedded::memory(Layout {
            partitions: 2,
            shards: 2,
        })
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
            let read = self.store.read_topic(partition, after, 1, SOON).await;
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
        Client::connect(self.address(), &[]).await.unwrap()
    }

    pub async fn open(&self) -> (Client, Value) {
        let mut client = self.connect().await;
        let welcome = client.open().await;
        (client, welcome)
    }

    /// A client that is in a chat under this name.
    pub async fn in_chat(&self, room: &str, name: &str) -> (Client, Value) {
        let (mut client, welcome) = self.open().await;
        client.join(room, 1, name).await;
        (client, welcome)
    }
}

/// Who acts as fast as it can is not slowed down.
pub fn quick() -> Setup {
    Setup {
        settings: GatewaySettings {
            actions_per_s: 100_000,
            ..GatewaySettings::default()
        },
        ..Setup::default()
    }
}

/// The same on both stores.
pub async fn on_both(test: impl AsyncFn(&mut World)) {
    test(&mut World::with(quick()).await).await;
    let server = Server::start().await;
    test(&mut World::on(server.connect().await, quick()).await).await;
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        for gateway in &self.gateways {
            gateway.serving.abort();
        }
    }
}

/// A client that sends what it is told to, and nothing else.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Frames that were read while another was looked for.
    kept: std::collections::VecDeque<Value>,
}

impl Client {
    pub async fn connect(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/v1/connect")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_str(value).unwrap());
        }
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (socket, _) = client_async(request, MaybeTlsStream::Plain(tcp)).await?;
        Ok(Client {
            socket,
            kept: Default::default(),
        })
    }

    pub async fn send(&mut self, frame: Value) {
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .unwrap();
    }

    pub async fn open(&mut self) -> Value {
        self.send(json!({"t": "open"})).await;
        self.expect("welcome").await
    }

    pub async fn join(&mut self, room: &str, n: u64, name: &str) -> Value {
        self.send(json!({"t": "join", "room": room, "n": n, "data": {"name": name}}))
            .await;
        self.expect("joined").await
    }

    pub async fn say(&mut self, room: &str, n: u64, text: &str) {
        self.send(json!({"t": "act", "room": room, "n": n, "data": {"say": text}}))
            .await;
    }

    pub async fn resume(&mut self, welcome: &Value, rooms: Value) {
        let (sid, key) = (&welcome["sid"], &welcome["key"]);
        self.send(json!({"t": "resume", "sid": sid, "key": key, "rooms": rooms}))
            .await;
    }

    /// The next message.
    pub async fn message(&mut self) -> Message {
        let next = timeout(SOON, self.socket.next())
            .await
            .expect("nothing came");
        next.expect("the connection ended")
            .expect("the connection broke")
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Value {
        if let Some(frame) = self.kept.pop_front() {
            return frame;
        }
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} where a frame was expected"),
            }
        }
    }

    /// The next frame, which has to be of this type.
    #[track_caller]
    pub fn expect(&mut self, t: &'static str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.frame().await;
            assert_eq!(frame["t"], t, "{frame} at {caller}");
            frame
        }
    }

    /// The next frame of this type; what comes before is lost.
    pub async fn until(&mut self, t: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["t"] == t {
                return frame;
            }
        }
    }

    /// `bye`, the close frame and the end of the connection, in this order and nothing else.
    #[track_caller]
    pub fn expect_bye(&mut self, code: u16) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let bye = loop {
                let frame = self.frame().await;
                if frame["t"] != "busy" {
                    break frame;
                }
            };
            assert_eq!(
                (&bye["t"], &bye["code"]),
                (&json!("bye"), &json!(code)),
                "{bye} at {caller}"
            );
            let Message::Close(Some(close)) = self.message().await else {
                panic!("no close frame at {caller}")
            };
            assert_eq!(u16::from(close.code), code, "{close:?} at {caller}");
            let end = timeout(SOON, self.socket.next())
                .await
                .expect("the connection stays");
            assert!(!matches!(end, Some(Ok(_))), "{end:?} at {caller}");
            bye
        }
    }

    /// Nothing comes for this long, however late this test looks.
    pub async fn expect_nothing(&mut self, wait: Duration) {
        if let Ok(message) = timeout(wait, self.socket.next()).await {
            panic!("{message:?} where nothing was expected");
        }
        assert!(self.kept.is_empty());
    }
}
