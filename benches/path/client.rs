//! A client that waits: it does nothing but what is measured.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{
    self, Message, WebSocket, client::client_with_config, protocol::WebSocketConfig,
};

/// The longest time that an answer may take. Longer is an error, not a figure.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A WebSocket whose calls block.
#[derive(Debug)]
pub(crate) struct Wire(WebSocket<TcpStream>);

/// A session in a room.
#[derive(Debug)]
pub(crate) struct Talker {
    wire: Wire,
    room: String,
    n: u64,
}

/// As much of a frame as the bench looks at.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<'a> {
    pub(crate) t: &'a str,
    pub(crate) n: Option<u64>,
    pub(crate) by: Option<u32>,
    pub(crate) member: Option<u32>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER_WITHIN))?;
        tcp.set_write_timeout(Some(ANSWER_WITHIN))?;
        let url = format!("ws://{address}{path}");
        let (socket, _) = client_with_config(url, tcp, Some(buffers()))
            .map_err(|error| anyhow::anyhow!("cannot upgrade: {error}"))?;
        Ok(Wire(socket))
    }

    pub(crate) fn send(&mut self, text: String) -> tungstenite::Result<()> {
        self.0.send(Message::text(text))
    }

    /// The next text.
    pub(crate) fn receive(&mut self) -> anyhow::Result<tungstenite::Utf8Bytes> {
        loop {
            match self.0.read().context("no answer")? {
                Message::Text(text) => return Ok(text),
                Message::Close(why) => bail!("closed: {why:?}"),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }
}

impl Talker {
    /// Opens a session and joins a room.
    pub(crate) fn join(address: SocketAddr, room: &str) -> anyhow::Result<Self> {
        let mut wire = Wire::connect(address, "/v1/connect")?;
        wire.send(OPEN.to_owned())?;
        wire.send(join(room, "bench"))?;
        let mut talker = Talker {
            wire,
            room: room.to_owned(),
            n: 1,
        };
        talker.until("joined", 1)?;
        Ok(talker)
    }

    /// Says something, and waits for the event that it becomes.
    pub(crate) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.n += 1;
        self.wire.send(say(&self.room, self.n, text))?;
        self.until("event", self.n)
    }

    fn until(&mut self, t: &str, n: u64) -> anyhow::Result<()> {
        loop {
            let text = self.wire.receive()?;
            let frame: Frame = serde_json::from_str(&text)?;
            match frame.t {
                found if found == t && frame.n == Some(n) => return Ok(()),
                "ping" => self.wire.send(PONG.to_owned())?,
                "welcome" | "event" | "live" => {}
                _ => bail!("{text}, where {t} {n} was expected"),
            }
        }
    }
}

pub(crate) const OPEN: &str = r#"{"t":"open"}"#;
pub(crate) const PONG: &str = r#"{"t":"pong"}"#;

/// Asks to join a room, as its first action.
pub(crate) fn join(room: &str, name: &str) -> String {
    format!(r#"{{"t":"join","room":"{room}","n":1,"data":{{"name":"{name}"}}}}"#)
}

/// Says something in a room.
pub(crate) fn say(room: &str, n: u64, text: &str) -> String {
    format!(r#"{{"t":"act","room":"{room}","n":{n},"data":{{"say":"{text}"}}}}"#)
}

/// Small ones: nothing here is large, and there are many.
pub(crate) fn buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
}
