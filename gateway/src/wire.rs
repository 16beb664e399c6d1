//! The one place that touches a socket.
//!
//! Tungstenite reads: it unmasks, joins fragments, checks UTF-8 and lengths, and answers pings and
//! closes. What the gateway sends goes past it: frames are encoded once for all their receivers
//! (`hub/encoded.rs`), and written from there with as few system calls as the socket allows, so that a
//! socket has no write buffer of its own.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use outlast_protocol::{CloseCode, Codec, ServerFrame};
use tokio::{
    io::{AsyncReadExt, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::CapacityError,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use crate::{bye::Bye, frame};

/// A WebSocket connection, the server's side.
pub(crate) struct Wire {
    tcp: TcpStream,
    protocol: WebSocketContext,
    codec: Codec,
    outbox: Outbox,
}

/// What a client sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message in the socket's codec.
    Message(Bytes),
    /// A WebSocket ping or pong: a sign of life.
    Sign,
    /// Something that it may not send (F2).
    Wrong(Bye),
    /// Nothing more: it closed the connection, or lost it.
    Closed,
}

/// What waits to be written.
#[derive(Default)]
struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

/// Holds what arrives in one piece. Most frames are small, every idle socket holds one of these, and a
/// larger frame gets what it needs.
const READ_BUFFER_BYTES: usize = 512;
/// Frames that one system call takes.
const SLICES_MAX: usize = 64;
/// Time for the client to read the close frame, and the most that is read meanwhile: a socket
/// that is closed with unread input is reset, and the client may never see what was sent last.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;
const LINGER_READ_BYTES: usize = 1024;

impl Wire {
    /// Takes a connection over after its upgrade. `read` has been read from it already.
    pub(crate) fn new(tcp: TcpStream, read: Vec<u8>, codec: Codec, frame_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(frame_bytes))
            .max_frame_size(Some(frame_bytes));
        let protocol = WebSocketContext::from_partially_read(read, Role::Server, Some(config));
        Wire {
            tcp,
            protocol,
            codec,
            outbox: Outbox::default(),
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Queues a frame for this socket alone.
    pub(crate) fn send(&mut self, frame: &ServerFrame) {
        self.send_encoded(frame::encode(self.codec, frame));
    }

    /// Queues an encoded frame.
    pub(crate) fn send_encoded(&mut self, frame: Bytes) {
        self.outbox.push(frame);
    }

    /// What waits to be written, in bytes.
    pub(crate) fn unsent(&self) -> usize {
        self.outbox.bytes
    }

    /// Waits for what the client sends next. A pong that it asked for is queued.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            let mut stream = Stream {
                tcp: &self.tcp,
                outbox: &mut self.outbox,
            };
            return Poll::Ready(match self.protocol.read(&mut stream) {
                Ok(Message::Close(_)) => {
                    // Its close is answered, if the socket takes that at once.
                    let _ = self.protocol.flush(&mut stream);
                    let _ = self.outbox.write(&self.tcp);
                    Incoming::Closed
                }
                Ok(message) => self.sort(message),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    match ready!(self.tcp.poll_read_ready(cx)) {
                        Ok(()) => continue,
                        Err(_) => Incoming::Closed,
                    }
                }
                Err(error) => self.blame(error),
            });
        }
    }

    /// Ready when the client is known to have gone. What it has sent before is left unread, and hides that.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match ready!(self.tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    /// Writes what is queued. Ready when something was written; [`Wire::unsent`] tells whether that was
    /// everything.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.outbox.write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    /// Says why, closes, and waits a moment for the client to have read it.
    pub(crate) async fn close(mut self: Box<Self>, bye: &Bye) {
        if let CloseCode::Busy = bye.code {
            self.send(&ServerFrame::Busy {
                retry_ms: bye.retry_ms.unwrap_or_default(),
            });
        }
        self.send(&bye.frame());
        self.send_encoded(frame::close(bye.code));
        let _ = tokio::time::timeout(LINGER, self.linger()).await;
    }

    async fn linger(mut self: Box<Self>) -> io::Result<()> {
        while self.outbox.bytes > 0 {
            std::future::poll_fn(|cx| self.poll_write(cx)).await?;
        }
        tokio::io::AsyncWriteExt::shutdown(&mut self.tcp).await?;
        let mut scratch = vec![0; LINGER_READ_BYTES];
        let mut read = 0;
        while read < LINGER_BYTES_MAX {
            match self.tcp.read(&mut scratch).await? {
                0 => break,
                bytes => read += bytes,
            }
        }
        Ok(())
    }

    fn sort(&self, message: Message) -> Incoming {
        match (message, self.codec) {
            (Message::Text(text), Codec::Json) => Incoming::Message(text.into()),
            (Message::Binary(bytes), Codec::MsgPack) => Incoming::Message(bytes),
            (Message::Binary(_), Codec::Json) => Incoming::Wrong(Bye::protocol_error(
                "a binary frame, where text was agreed on",
            )),
            (Message::Text(_), Codec::MsgPack) => Incoming::Wrong(Bye::protocol_error(
                "a text frame, where MessagePack was agreed on",
            )),
            (Message::Ping(_) | Message::Pong(_), _) => Incoming::Sign,
            (Message::Close(_) | Message::Frame(_), _) => Incoming::Closed,
        }
    }

    fn blame(&self, error: Error) -> Incoming {
        use tokio_tungstenite::tungstenite::error::ProtocolError;
        match error {
            Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                let reason = format!("a frame has at most {max_size} bytes");
                Incoming::Wrong(Bye::new(CloseCode::TooBig, reason))
            }
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_) => Incoming::Closed,
            Error::Utf8(_) => Incoming::Wrong(Bye::protocol_error("a text frame is no UTF-8")),
            Error::Protocol(error) => Incoming::Wrong(Bye::protocol_error(error.to_string())),
            Error::Capacity(_)
            | Error::Tls(_)
            | Error::WriteBufferFull(_)
            | Error::AttackAttempt
            | Error::Url(_)
            | Error::Http(_)
            | Error::HttpFormat(_) => Incoming::Wrong(Bye::protocol_error("no WebSocket frame")),
        }
    }
}

impl Outbox {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Writes as much as one system call takes.
    fn write(&mut self, tcp: &TcpStream) -> io::Result<()> {
        let written = match self.frames.as_slices() {
            ([frame], []) => tcp.try_write(frame)?,
            _ => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                    *slice = IoSlice::new(frame);
                }
                let count = self.frames.len().min(SLICES_MAX);
                tcp.try_write_vectored(&slices[..count])?
            }
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(frame) = self.frames.front_mut() {
            if written < frame.len() {
                frame.advance(written);
                break;
            }
            written -= frame.len();
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }
}

/// What tungstenite sees of a connection. It reads from the socket; what it writes, which is pongs and
/// close frames, is queued with everything else, so that no frame is written into another.
struct Stream<'a> {
    tcp: &'a TcpStream,
    outbox: &'a mut Outbox,
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.tcp.try_read(into)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.outbox.push(Bytes::copy_from_slice(frame));
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
