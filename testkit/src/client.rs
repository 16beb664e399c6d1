//! A client that sends and reads raw frames, and knows nothing of the rules.

use std::{fmt::Display, panic::Location, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    frames::{join, resume, say},
    patience::PATIENCE,
};

/// The header that asks for frames in JSON.
pub const JSON: (&str, &str) = ("sec-websocket-protocol", "outlast.v1.json");

/// A WebSocket.
pub type Socket = WebSocketStream<TcpStream>;

/// One socket of a client; dropped, it is cut.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    /// The newest `welcome` or `resumed`.
    pub welcome: Value,
    /// The member number of the newest `joined`.
    pub member: u64,
    /// The newest position seen.
    pub pos: String,
}

/// Makes a WebSocket with these headers.
///
/// # Errors
/// Where the connection or the upgrade fails.
pub async fn dial(
    address: impl Display,
    headers: &[(&'static str, &str)],
) -> Result<Socket, tungstenite::Error> {
    let tcp = TcpStream::connect(address.to_string()).await?;
    tcp.set_nodelay(true)?;
    upgrade(tcp, headers).await
}

async fn upgrade(
    tcp: TcpStream,
    headers: &[(&'static str, &str)],
) -> Result<Socket, tungstenite::Error> {
    let url = format!("ws://{}/v1/connect", tcp.peer_addr()?);
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    Ok(client_async(request, tcp).await?.0)
}

impl Client {
    /// Connects.
    pub async fn connect(address: impl Display) -> Client {
        Client::connect_with(address, &[JSON]).await.unwrap()
    }

    /// Connects with these headers.
    ///
    /// # Errors
    /// Where the connection or the upgrade fails.
    pub async fn connect_with(
        address: impl Display,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, tungstenite::Error> {
        Ok(Client::of(dial(address, headers).await?))
    }

    /// Connects over a TCP connection.
    pub async fn over(tcp: TcpStream) -> Client {
        Client::of(upgrade(tcp, &[JSON]).await.unwrap())
    }

    /// Returns the HTTP status with which a connection with these headers is refused; `None` where it is made.
    pub async fn refusal(address: impl Display, headers: &[(&'static str, &str)]) -> Option<u16> {
        match dial(address, headers).await {
            Ok(_) => None,
            Err(tungstenite::Error::Http(response)) => Some(response.status().as_u16()),
            Err(error) => panic!("cannot connect: {error}"),
        }
    }

    fn of(socket: Socket) -> Client {
        Client {
            socket,
            welcome: Value::Null,
            member: 0,
            pos: String::new(),
        }
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Value) {
        self.send_message(Message::text(frame.to_string())).await;
    }

    /// Sends a message.
    pub async fn send_message(&mut self, message: Message) {
        let sent = self.socket.send(message).await;
        sent.expect("the socket takes a message");
    }

    /// Sends what may find the socket closed already.
    pub async fn try_send(&mut self, frame: Value) {
        let message = Message::text(frame.to_string());
        self.socket.send(message).await.ok();
    }

    /// The next message.
    pub async fn message(&mut self) -> Message {
        let next = self.try_message().await;
        next.expect("the connection ended")
            .expect("the connection broke")
    }

    /// The next message, or how the connection ended.
    pub async fn try_message(&mut self) -> Option<tungstenite::Result<Message>> {
        let next = timeout(PATIENCE, self.socket.next()).await;
        next.unwrap_or_else(|_| panic!("nothing came in {PATIENCE:?}"))
    }

    /// The next frame; an ended socket is `{"t": "closed", "code": …}`.
    pub async fn next(&mut self) -> Value {
        let next = timeout(PATIENCE, self.read()).await;
        next.unwrap_or_else(|_| panic!("nothing more came in {PATIENCE:?}"))
    }

    /// The next frame, if one comes within this time. For proving silence only where no later marker can.
    pub async fn next_within(&mut self, wait: Duration) -> Option<Value> {
        timeout(wait, self.read()).await.ok()
    }

    /// The next frame of a socket that stays.
    pub async fn frame(&mut self) -> Value {
        let frame = self.next().await;
        assert_ne!(frame["t"], "closed", "{frame} where a frame was expected");
        frame
    }

    async fn read(&mut self) -> Value {
        loop {
            let frame = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    serde_json::from_str(&text).expect("a frame is JSON")
                }
                Some(Ok(Message::Binary(bytes))) => {
                    rmp_serde::from_slice(&bytes).expect("a frame is MessagePack")
                }
                Some(Ok(Message::Close(close))) => {
                    return json!({"t": "closed", "code": close.map(|close| u16::from(close.code))});
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(_)) | None => return json!({"t": "closed", "code": null}),
            };
            self.note(&frame);
            return frame;
        }
    }

    fn note(&mut self, frame: &Value) {
        if let Some(pos) = frame["pos"].as_str() {
            self.pos = pos.to_owned();
        }
        match frame["t"].as_str() {
            Some("welcome" | "resumed") => self.welcome = frame.clone(),
            Some("joined") => self.member = frame["member"].as_u64().unwrap(),
            _ => {}
        }
    }

    /// The next frame, which is of this type; pings are passed over.
    #[track_caller]
    pub fn expect(&mut self, t: &str) -> impl Future<Output = Value> {
        let caller = Location::caller();
        async move {
            loop {
                let frame = self.next().await;
                if frame["t"] == "ping" && t != "ping" {
                    continue;
                }
                assert_eq!(frame["t"], t, "{frame} at {caller}");
                return frame;
            }
        }
    }

    /// Reads on until a frame of this type.
    pub async fn find(&mut self, t: &str) -> Value {
        self.until(t, |_| true).await.pop().unwrap()
    }

    /// Reads on until a frame of this type for which the condition holds; returns all that came.
    pub async fn until(&mut self, t: &str, holds: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut came = Vec::new();
        loop {
            let frame = self.next().await;
            let found = frame["t"] == t && holds(&frame);
            let ended = frame["t"] == "closed";
            came.push(frame);
            if found {
                return came;
            }
            assert!(!ended, "the socket ended before {t:?}: {came:#?}");
        }
    }

    /// Nothing comes for this long, however late this test looks.
    pub async fn expect_nothing(&mut self, wait: Duration) {
        if let Ok(message) = timeout(wait, self.socket.next()).await {
            panic!("{message:?} where nothing was expected");
        }
    }

    /// Reads on until the server closes: its `bye`, and the code of the close.
    pub async fn bye(&mut self) -> (Value, u64) {
        let bye = self.find("bye").await;
        let closed = self.expect("closed").await;
        (bye, closed["code"].as_u64().unwrap_or(0))
    }

    /// Reads on until the server closes with this code, and says so before.
    pub async fn closes_with(&mut self, code: u64) -> Value {
        let (bye, closed) = self.bye().await;
        assert_eq!((bye["code"].as_u64(), closed), (Some(code), code), "{bye}");
        bye
    }

    /// `bye`, the close frame and the end of the connection, in this order and nothing else but `busy`.
    #[track_caller]
    pub fn expect_bye(&mut self, code: u16) -> impl Future<Output = Value> {
        let caller = Location::caller();
        async move {
            let bye = loop {
                let frame = self.next().await;
                if frame["t"] != "busy" {
                    break frame;
                }
            };
            let said = (&bye["t"], &bye["code"]);
            assert_eq!(said, (&json!("bye"), &json!(code)), "{bye} at {caller}");
            let Message::Close(Some(close)) = self.message().await else {
                panic!("no close frame at {caller}")
            };
            assert_eq!(u16::from(close.code), code, "{close:?} at {caller}");
            let end = self.try_message().await;
            assert!(!matches!(end, Some(Ok(_))), "{end:?} at {caller}");
            bye
        }
    }

    /// Opens a session; returns its `welcome`.
    pub async fn open(&mut self) -> Value {
        self.send(json!({"t": "open"})).await;
        self.expect("welcome").await
    }

    /// Joins a chat room, and waits for the outcome.
    pub async fn join(&mut self, room: &str, n: u64, name: &str) -> Value {
        let is_outcome = |frame: &Value| frame["t"] == "joined" && frame["n"] == n;
        let mut came = self.insist(join(room, n, name), is_outcome).await;
        came.pop().unwrap()
    }

    /// Joins a chat room; the outcome is the next frame.
    pub async fn join_at_once(&mut self, room: &str, n: u64, name: &str) -> Value {
        self.send(join(room, n, name)).await;
        self.expect("joined").await
    }

    /// Says something, and waits for its event; returns everything that came, the event last.
    pub async fn say(&mut self, room: &str, n: u64, text: &str) -> Vec<Value> {
        let member = self.member;
        let is_outcome =
            |frame: &Value| frame["t"] == "event" && frame["by"] == member && frame["n"] == n;
        self.insist(say(room, n, text), is_outcome).await
    }

    /// Asks for something until it is taken, as a client does that is told to come again (A5): a machine that is
    /// busy with other things may take too long for a store's answer. Returns everything else that came.
    async fn insist(&mut self, frame: Value, is_outcome: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.send(frame.clone()).await;
        let refused = |told: &Value| {
            (&told["t"], &told["code"], &told["n"])
                == (&json!("error"), &json!("busy"), &frame["n"])
        };
        let mut came = Vec::new();
        loop {
            let told = self.next().await;
            if refused(&told) {
                let retry_ms = told["retry_ms"].as_u64().unwrap();
                tokio::time::sleep(Duration::from_millis(retry_ms)).await;
                self.send(frame.clone()).await;
                continue;
            }
            let (found, ended) = (is_outcome(&told), told["t"] == "closed");
            came.push(told);
            if found {
                return came;
            }
            assert!(!ended, "the socket ended before {frame}: {came:#?}");
        }
    }

    /// Asks to resume the session of a `welcome`.
    pub async fn resume(&mut self, welcome: &Value, rooms: Value) {
        self.send(resume(welcome, rooms)).await;
    }

    /// Comes back on a new socket.
    pub async fn resume_at(&self, address: impl Display, rooms: Value) -> Client {
        let mut again = Client::connect(address).await;
        again.resume(&self.welcome, rooms).await;
        again.expect("resumed").await;
        again.member = self.member;
        again
    }

    /// Ends the socket without a word.
    pub fn cut(self) {
        drop(self);
    }
}
