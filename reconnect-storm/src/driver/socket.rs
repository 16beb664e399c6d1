use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use outlast_protocol::{ClientFrame, Codec, DecodeError, ServerFrame};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

/// One WebSocket, with the frames of protocol 1 on it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
    codec: Codec,
}

/// What came from a socket.
pub(super) enum Heard {
    Frame(ServerFrame),
    Garbled(String),
    Gone(Option<u16>),
}

/// A peer that takes nothing for this long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

impl Socket {
    pub(super) async fn dial(gateway: String, codec: Codec) -> Result<Self, Error> {
        let mut request = format!("ws://{gateway}/v1/connect").into_client_request()?;
        let subprotocol = HeaderValue::from_static(codec.subprotocol());
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let tcp = TcpStream::connect(&gateway).await?;
        tcp.set_nodelay(true)?;
        // Small buffers: a storm holds thousands of these.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0);
        let (stream, _) = client_async_with_config(request, tcp, Some(config)).await?;
        Ok(Socket { stream, codec })
    }

    pub(super) async fn send(&mut self, frames: &[ClientFrame]) -> Result<(), Error> {
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
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            let bytes = match self.stream.next().await {
                Some(Ok(Message::Text(text))) if self.codec == Codec::Json => text.into(),
                Some(Ok(Message::Binary(bytes))) if self.codec == Codec::MsgPack => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Gone(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(other)) => {
                    return Heard::Garbled(format!("not a message of this codec: {other:?}"));
                }
                Some(Err(_)) | None => return Heard::Gone(None),
            };
            return match self.codec.decode_server(&bytes) {
                Ok(frame) => Heard::Frame(frame),
                // Later versions may say more; a client ignores what it does not know.
                Err(DecodeError::UnknownType(_)) => continue,
                Err(error) => {
                    Heard::Garbled(format!("{error}: {:?}", String::from_utf8_lossy(&bytes)))
                }
            };
        }
    }
}
