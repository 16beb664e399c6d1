use std::time::{Duration, Instant};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use outlast_testkit::client;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_tungstenite::tungstenite::Message;

/// One socket; dropped, it is cut.
pub(super) struct Socket {
    pub(super) number: u64,
    /// When something came last.
    pub(super) heard: Instant,
    /// Its first frame has an answer.
    pub(super) answered: bool,
    sink: SplitSink<client::Socket, Message>,
    reader: JoinHandle<()>,
}

/// A frame from it, or its end.
pub(super) enum Came {
    Frame(String),
    Closed(String),
}

const DIAL: Duration = Duration::from_secs(10);
const SEND: Duration = Duration::from_secs(5);

impl Socket {
    pub(super) async fn dial(
        number: u64,
        address: &str,
        into: mpsc::UnboundedSender<(u64, Came)>,
    ) -> Option<Socket> {
        let dialled = timeout(DIAL, client::dial(address, &[client::JSON])).await;
        let (sink, stream) = dialled.ok()?.ok()?.split();
        let reader = tokio::spawn(read(number, stream, into));
        let heard = Instant::now();
        Some(Socket {
            number,
            heard,
            answered: false,
            sink,
            reader,
        })
    }

    /// True if it takes a frame.
    pub(super) async fn send(&mut self, frame: &Value) -> bool {
        let sent = self.sink.send(Message::text(frame.to_string()));
        matches!(timeout(SEND, sent).await, Ok(Ok(())))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(
    number: u64,
    mut stream: SplitStream<client::Socket>,
    into: mpsc::UnboundedSender<(u64, Came)>,
) {
    let closed = loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                into.send((number, Came::Frame(text.to_string()))).ok();
            }
            Some(Ok(Message::Close(close))) => {
                let code = close.map(|close| u16::from(close.code));
                break format!("closed with {code:?}");
            }
            Some(Ok(
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
            )) => {}
            Some(Err(error)) => break error.to_string(),
            None => break "ended".to_owned(),
        }
    };
    into.send((number, Came::Closed(closed))).ok();
}
