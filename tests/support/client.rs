use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use super::PATIENCE;

/// A client that sends and reads raw frames, and knows nothing of the rules.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The newest `welcome` or `resumed`.
    pub(crate) welcome: Value,
    /// The member number of the newest `joined`.
    pub(crate) member: u64,
    /// The newest position seen.
    pub(crate) pos: String,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Client {
        Client::connect_with(address, &[("sec-websocket-protocol", "outlast.v1.json")])
            .await
            .unwrap()
    }

    /// Connects with these headers; the HTTP status when it is refused.
    pub(crate) async fn connect_with(
        address: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, u16> {
        let mut request = format!("ws://{address}/v1/connect")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(Client {
                socket,
                welcome: Value::Null,
                member: 0,
                pos: String::new(),
            }),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("cannot connect: {error}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket
            .send(message)
            .await
            .expect("the socket takes a frame");
    }

    /// Sends what may find the socket closed already.
    pub(crate) async fn try_send(&mut self, frame: Value) {
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .ok();
    }

    /// The next frame; an ended socket is `{"t": "closed", "code": …}`.
    pub(crate) async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(PATIENCE, self.read()).await;
        next.unwrap_or_else(|_| panic!("nothing more came in {PATIENCE:?}"))
    }

    /// The next frame, if one comes within this time. For proving silence only where no later marker can.
    pub(crate) async fn next_within(&mut self, wait: Duration) -> Option<Value> {
        tokio::time::timeout(wait, self.read()).await.ok()
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
    pub(crate) async fn expect(&mut self, t: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["t"] == "ping" && t != "ping" {
                continue;
            }
            assert_eq!(frame["t"], t, "{frame}");
            return frame;
        }
    }

    /// Reads on until a frame of this type.
    pub(crate) async fn find(&mut self, t: &str) -> Value {
        self.until(t, |_| true).await.pop().unwrap()
    }

    /// Reads on until a frame of this type for which the condition holds; answers all that came.
    pub(crate) async fn until(&mut self, t: &str, holds: impl Fn(&Value) -> bool) -> Vec<Value> {
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

    /// Reads on until the server closes: its `bye`, and the code of the close.
    pub(crate) async fn bye(&mut self) -> (Value, u64) {
        let bye = self.find("bye").await;
        let closed = self.expect("closed").await;
        (bye, closed["code"].as_u64().unwrap_or(0))
    }

    /// Reads on until the server closes with this code, and says so before.
    pub(crate) async fn closes_with(&mut self, code: u64) -> Value {
        let (bye, closed) = self.bye().await;
        assert_eq!((bye["code"].as_u64(), closed), (Some(code), code), "{bye}");
        bye
    }

    pub(crate) async fn open(&mut self) {
        self.send(json!({"t": "open"})).await;
        self.expect("welcome").await;
    }

    /// Joins a chat room and waits for the outcome.
    pub(crate) async fn join(&mut self, room: &str, n: u64, name: &str) -> Value {
        let is_outcome = |frame: &Value| frame["t"] == "joined" && frame["n"] == n;
        let came = self.insist(join(room, n, name), is_outcome).await;
        came.last().unwrap().clone()
    }

    /// Says something and waits for its event; answers everything that came, the event last.
    pub(crate) async fn say(&mut self, room: &str, n: u64, text: &str) -> Vec<Value> {
        let member = self.member;
        let is_outcome =
            |frame: &Value| frame["t"] == "event" && frame["by"] == member && frame["n"] == n;
        self.insist(act(room, n, json!({"say": text})), is_outcome)
            .await
    }

    /// Asks for something until it is taken, as a client does that is told to come again (A5): a machine that is
    /// busy with other things may take too long for a store's answer. Answers everything else that came.
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

    /// A `resume` frame for this session.
    pub(crate) fn resume_frame(&self, rooms: Value) -> Value {
        json!({"t": "resume", "sid": self.welcome["sid"], "key": self.welcome["key"], "rooms": rooms})
    }

    /// Comes back on a new socket.
    pub(crate) async fn resume_at(&self, address: &str, rooms: Value) -> Client {
        let mut again = Client::connect(address).await;
        again.send(self.resume_frame(rooms)).await;
        again.expect("resumed").await;
        again.member = self.member;
        again
    }

    /// Ends the socket without a word.
    pub(crate) fn cut(self) {
        drop(self);
    }
}

pub(crate) fn join(room: &str, n: u64, name: &str) -> Value {
    json!({"t": "join", "room": room, "n": n, "data": {"name": name}})
}

pub(crate) fn act(room: &str, n: u64, data: Value) -> Value {
    json!({"t": "act", "room": room, "n": n, "data": data})
}

pub(crate) fn leave(room: &str, n: u64) -> Value {
    json!({"t": "leave", "room": room, "n": n})
}

/// What `resume.rooms` says of one room.
pub(crate) fn room_of(room: &str, pos: &str) -> Value {
    json!({ room: pos })
}

/// What was said, in order.
pub(crate) fn said(frames: &[Value]) -> Vec<String> {
    let text = |frame: &Value| frame["data"]["said"].as_str().map(str::to_owned);
    frames
        .iter()
        .filter(|frame| frame["t"] == "event")
        .filter_map(text)
        .collect()
}
