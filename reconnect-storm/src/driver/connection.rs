use std::{future::Future, pin::Pin};

use outlast_protocol::{ClientFrame, ServerFrame};
use tokio_tungstenite::tungstenite::Error;

use super::socket::{Incoming, Socket};
use crate::SocketId;

/// One of a client's sockets, from its dialling on.
pub(super) struct Connection {
    socket: SocketId,
    state: State,
}

/// Something that happened on a socket.
pub(super) enum ConnectionEvent {
    Connected,
    Frame(ServerFrame),
    Garbled(String),
    Gone(Option<u16>),
}

enum State {
    Dialling(Pin<Box<dyn Future<Output = Result<Socket, Error>> + Send>>),
    Open(Box<Socket>),
}

impl Connection {
    pub(super) fn dialling(
        socket: SocketId,
        dial: impl Future<Output = Result<Socket, Error>> + Send + 'static,
    ) -> Connection {
        let state = State::Dialling(Box::pin(dial));
        Connection { socket, state }
    }

    pub(super) fn socket(&self) -> SocketId {
        self.socket
    }

    /// Waits for the next; cancel safe.
    pub(super) async fn event(&mut self) -> (SocketId, ConnectionEvent) {
        let event = match &mut self.state {
            State::Dialling(dial) => match dial.await {
                Ok(open) => {
                    self.state = State::Open(Box::new(open));
                    ConnectionEvent::Connected
                }
                Err(_) => ConnectionEvent::Gone(None),
            },
            State::Open(open) => match open.receive().await {
                Incoming::Frame(frame) => ConnectionEvent::Frame(frame),
                Incoming::Garbled(text) => ConnectionEvent::Garbled(text),
                Incoming::Gone(code) => ConnectionEvent::Gone(code),
            },
        };
        (self.socket, event)
    }

    /// False where the socket takes nothing any more.
    pub(super) async fn send(&mut self, frames: &[ClientFrame]) -> bool {
        match &mut self.state {
            State::Dialling(_) => true,
            State::Open(open) => open.send(frames).await.is_ok(),
        }
    }

    /// Ends it with RST.
    pub(super) fn cut(self) {
        if let State::Open(open) = self.state {
            open.cut();
        }
    }
}
