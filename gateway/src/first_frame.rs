use std::{
    collections::BTreeMap,
    future::poll_fn,
    task::{Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use outlast_protocol::{ClientFrame, Pos, RoomName};
use tokio::time::Instant;

use crate::{
    bye::{Bye, End},
    wire::{Incoming, Wire},
};

/// What a client begins with (H2).
pub(crate) enum FirstFrame {
    /// It wants a session.
    Open {
        token: Option<String>,
        /// True if it sits at this machine.
        local: bool,
    },
    /// It comes back to one.
    Resume {
        sid: String,
        key: String,
        token: Option<String>,
        rooms: BTreeMap<RoomName, Option<Pos>>,
    },
}

/// What the headers of a request to connect said of who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Its token.
    pub(crate) bearer: Option<String>,
    /// True if it came from this machine itself.
    pub(crate) local: bool,
}

impl FirstFrame {
    /// What the frame is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            FirstFrame::Open { .. } => "open",
            FirstFrame::Resume { .. } => "resume",
        }
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        const ROOM: usize = 64;
        let token = |token: &Option<String>| token.as_ref().map_or(0, String::len);
        match self {
            FirstFrame::Open { token: text, .. } => token(text),
            FirstFrame::Resume {
                sid,
                key,
                token: text,
                rooms,
            } => {
                let rooms = rooms.keys().map(|room| ROOM + room.as_str().len());
                sid.len() + key.len() + token(text) + rooms.sum::<usize>()
            }
        }
    }

    /// What the request's headers said counts, too: a token, where the frame brings none (H5).
    pub(crate) fn with(mut self, sent: Sent) -> Self {
        if let FirstFrame::Open { local, .. } = &mut self {
            *local = sent.local;
        }
        let (FirstFrame::Open { token, .. } | FirstFrame::Resume { token, .. }) = &mut self;
        *token = token.take().or(sent.bearer);
        self
    }
}

/// Waits for the first frame.
pub(crate) async fn read_first_frame(
    wire: &mut Wire,
    since: Instant,
    within: Duration,
) -> Result<FirstFrame, End> {
    let message = match tokio::time::timeout_at(since + within, first_message(wire)).await {
        Ok(message) => message?,
        Err(_) => {
            let within = within.as_secs_f64();
            let reason = format!("the first frame must come within {within} s of the connection");
            return Err(Bye::protocol_error(reason).into());
        }
    };
    match wire.codec().decode_client(&message) {
        Ok(ClientFrame::Open { token, client: _ }) => Ok(FirstFrame::Open {
            token,
            local: false,
        }),
        Ok(ClientFrame::Resume {
            sid,
            key,
            token,
            rooms,
        }) => Ok(FirstFrame::Resume {
            sid,
            key,
            token,
            rooms,
        }),
        Ok(
            ClientFrame::Join { .. }
            | ClientFrame::Act { .. }
            | ClientFrame::Leave { .. }
            | ClientFrame::Token { .. }
            | ClientFrame::Pong {}
            | ClientFrame::End {},
        ) => Err(Bye::protocol_error("the first frame is `open` or `resume`").into()),
        Err(error) => Err(Bye::protocol_error(error.to_string()).into()),
    }
}

async fn first_message(wire: &mut Wire) -> Result<Bytes, End> {
    /// A client may ping first; it does not get to fill our memory with pongs.
    const UNSENT_MAX: usize = 4096;
    poll_fn(|cx| {
        if wire.unsent() > 0
            && let Poll::Ready(Err(_)) = wire.poll_write(cx)
        {
            return Poll::Ready(Err(End::Closed));
        }
        if wire.unsent() > UNSENT_MAX {
            return Poll::Pending;
        }
        match ready!(wire.poll_receive(cx)) {
            Incoming::Message(message) => Poll::Ready(Ok(message)),
            Incoming::Wrong(bye) => Poll::Ready(Err(bye.into())),
            Incoming::Closed => Poll::Ready(Err(End::Closed)),
            Incoming::Sign => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}
