//! Clients by the thousand.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes},
};

use crate::client::{self, Frame, OPEN, PONG};

/// The longest time that an answer may take. Longer is an error, not a figure.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// One session among many.
#[derive(Debug)]
pub(crate) struct Member {
    socket: WebSocketStream<TcpStream>,
    /// Its member number; 0 before it has joined.
    pub(crate) number: u32,
}

impl Member {
    /// Opens a session.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let tcp = connect(address).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let url = format!("ws://{address}/v1/connect");
        let upgrade = client_async_with_config(url, tcp, Some(client::buffers()));
        let (socket, _) = timeout(ANSWER_WITHIN, upgrade)
            .await
            .context("no answer")??;
        let mut member = Member { socket, number: 0 };
        member.send(OPEN.to_owned()).await?;
        member.until("welcome").await?;
        Ok(member)
    }

    /// Joins a room, as the session's first action there.
    pub(crate) async fn join(&mut self, room: &str, name: &str) -> anyhow::Result<()> {
        self.send(client::join(room, name)).await?;
        self.number = self
            .until("joined")
            .await?
            .context("a member without a number")?;
        Ok(())
    }

    pub(crate) async fn send(&mut self, text: String) -> anyhow::Result<()> {
        let sent = timeout(ANSWER_WITHIN, self.socket.send(Message::text(text))).await;
        Ok(sent.context("the gateway does not read")??)
    }

    /// Sends several frames at once.
    pub(crate) async fn send_all(
        &mut self,
        texts: impl Iterator<Item = String>,
    ) -> anyhow::Result<()> {
        for text in texts {
            self.socket.feed(Message::text(text)).await?;
        }
        let sent = timeout(ANSWER_WITHIN, self.socket.flush()).await;
        Ok(sent.context("the gateway does not read")??)
    }

    /// The next text; pings are answered. Cancel safe.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self
                .socket
                .next()
                .await
                .context("the connection was lost")??
            {
                Message::Text(text) if text.as_str() == r#"{"t":"ping"}"# => {
                    self.send(PONG.to_owned()).await?;
                }
                Message::Text(text) => return Ok(text),
                Message::Close(why) => bail!("closed: {why:?}"),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn until(&mut self, t: &str) -> anyhow::Result<Option<u32>> {
        let until = async {
            loop {
                let text = self.receive().await?;
                let frame: Frame = serde_json::from_str(&text)?;
                match frame.t {
                    found if found == t => return Ok(frame.member),
                    "event" | "live" => {}
                    _ => bail!("{text}, where {t} was expected"),
                }
            }
        };
        timeout(ANSWER_WITHIN, until)
            .await
            .with_context(|| format!("{t} does not come"))?
    }
}

/// Connects from 127.0.0.1, and from 127.0.0.2 and so on where that has no ports left.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    const ADDRESSES: u8 = 8;
    let mut last = TcpStream::connect(to).await;
    for address in 2..=ADDRESSES {
        match &last {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            _ => break,
        }
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, address), 0).into())?;
        last = socket.connect(to).await;
    }
    last
}
