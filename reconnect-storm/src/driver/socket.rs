use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use outlast_protocol::{ClientFrame, Codec, DecodeError, ServerFrame};
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use tokio_util::either::Either;

use super::throttle::ThrottledStream;
use crate::Settings;

/// One WebSocket, with the frames of protocol 1 on it.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<Wire>,
    codec: Codec,
}

/// Boxed where TLS is spoken, since that is large and rare.
type Wire = Either<ThrottledStream, Box<TlsStream<ThrottledStream>>>;

/// Something that came from a socket.
#[derive(Debug)]
pub enum Incoming {
    /// A frame.
    Frame(ServerFrame),
    /// Something that is none.
    Garbled(String),
    /// The end, with its close code.
    Gone(Option<u16>),
}

/// A peer that takes nothing for this long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

impl Socket {
    /// Connects and upgrades. Reads at most that many bytes a second; 0 for as many as come.
    ///
    /// # Errors
    /// Nobody listens there, or what listens refuses to upgrade.
    pub async fn dial(
        gateway: String,
        settings: &Settings,
        read_bytes_per_s: Arc<AtomicU32>,
    ) -> Result<Self, Error> {
        let (scheme, host) = match gateway.strip_prefix("wss://") {
            Some(host) => ("wss", host),
            None => ("ws", gateway.as_str()),
        };
        let mut request = format!("{scheme}://{host}/v1/connect").into_client_request()?;
        let codec = settings.codec;
        let subprotocol = HeaderValue::from_static(codec.subprotocol());
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let tcp = connect(host, settings).await?;
        tcp.set_nodelay(true)?;
        let tcp = ThrottledStream::new(tcp, read_bytes_per_s);
        // Small buffers: a storm holds thousands of these.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0);
        let wire = if scheme == "wss" {
            Either::Right(Box::new(settings.trust.connect(host, tcp).await?))
        } else {
            Either::Left(tcp)
        };
        let (stream, _) = client_async_with_config(request, wire, Some(config)).await?;
        Ok(Socket { stream, codec })
    }

    /// Ends it with RST, as a network does that is cut.
    pub fn cut(self) {
        let tcp = match self.stream.get_ref() {
            Either::Left(tcp) => tcp,
            Either::Right(tls) => tls.get_ref().0,
        };
        // Where it fails, the connection is gone already.
        let _ = SockRef::from(tcp.tcp()).set_linger(Some(Duration::ZERO));
    }

    /// Sends frames in one write.
    ///
    /// # Errors
    /// The socket takes nothing any more.
    pub async fn send(&mut self, frames: &[ClientFrame]) -> Result<(), Error> {
        let sending = async {
            for frame in frames {
                let bytes = self.codec.encode_client(frame);
                let message = match self.codec {
                    Codec::Json => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
                    Codec::MsgPack => Message::binary(bytes),
                };
                self.stream.feed(message).await?;
            }
            self.stream.flush().await
        };
        match timeout(SEND_TIMEOUT, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(Error::ConnectionClosed),
        }
    }

    /// Waits for the next; cancel safe.
    pub async fn receive(&mut self) -> Incoming {
        loop {
            let bytes = match self.stream.next().await {
                Some(Ok(Message::Text(text))) if self.codec == Codec::Json => text.into(),
                Some(Ok(Message::Binary(bytes))) if self.codec == Codec::MsgPack => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    return Incoming::Gone(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(other)) => {
                    return Incoming::Garbled(format!("not a message of this codec: {other:?}"));
                }
                Some(Err(_)) | None => return Incoming::Gone(None),
            };
            return match self.codec.decode_server(&bytes) {
                Ok(frame) => Incoming::Frame(frame),
                // Later versions may say more; a client ignores what it does not know.
                Err(DecodeError::UnknownType(_)) => continue,
                Err(error) => {
                    Incoming::Garbled(format!("{error}: {:?}", String::from_utf8_lossy(&bytes)))
                }
            };
        }
    }
}

async fn connect(gateway: &str, settings: &Settings) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    let addresses = match gateway.parse::<SocketAddr>() {
        Ok(address) => vec![address],
        Err(_) => lookup_host(gateway).await?.collect(),
    };
    for address in addresses {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = settings.source {
            socket.bind((source, 0).into())?;
        }
        if let Some(bytes) = settings.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        match socket.connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
