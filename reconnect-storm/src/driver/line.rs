use std::{future::Future, pin::Pin};

use outlast_protocol::{ClientFrame, ServerFrame};
use tokio_tungstenite::tungstenite::Error;

use super::socket::{Heard, Socket};
use crate::SocketId;

/// One of a client's sockets, from its dialling on.
pub(super) struct Line {
    socket: SocketId,
    state: State,
}

/// What happened on a socket.
pub(super) enum News {
    Connected,
    Frame(ServerFrame),
    Garbled(String),
    Gone(Option<u16>),
}

enum State {
    Dialling(Pin<Box<dyn Future<Output = Result<Socket, Error>> + Send>>),
    Open(Box<Socket>),
}

impl Line {
    pub(super) fn dialling(
        socket: SocketId,
        dial: impl Future<Output = Result<Socket, Error>> + Send + 'static,
    ) -> Line {
        let state = State::Dialling(Box::pin(dial));
        Line { socket, state }
    }

    pub(super) fn socket(&self) -> SocketId {
        self.socket
    }

    /// Waits for the next; cancel safe.
    pub(super) async fn news(&mut self) -> (SocketId, News) {
        let news = match &mut self.state {
            State::Dialling(dial) => match dial.await {
                Ok(open) => {
                    self.state = State::Open(Box::new(open));
                    News::Connected
                }
                Err(_) => News::Gone(None),
            },
            State::Open(open) => match open.hear().await {
                Heard::Frame(frame) => News::Frame(frame),
                Heard::Garbled(text) => News::Garbled(text),
                Heard::Gone(code) => News::Gone(code),
            },
        };
        (self.socket, news)
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
