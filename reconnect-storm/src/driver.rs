mod socket;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::OptionFuture;
use outlast_protocol::{Payload, RoomName};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use self::socket::{Heard, Socket};
use crate::{ActionId, Client, Output, Record, Seen, Settings};

/// A [`Client`] on a real socket, in a task of its own, with its [`Record`]. Dropping it cuts the
/// socket without a word, as a crash would.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What was waited for has not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {waited:?} for {what}; the last that was seen: {last}")]
pub struct TimedOut {
    what: String,
    waited: Duration,
    last: String,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The application has asked for something.
    asked: Notify,
    /// Something was noted.
    noted: Notify,
}

#[derive(Debug)]
struct State {
    client: Client,
    record: Record,
}

impl Driver {
    /// Starts a client that dials at once.
    pub fn start(settings: Settings) -> Self {
        let client = Client::new(settings.clone(), Instant::now());
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                client,
                record: Record::default(),
            }),
            asked: Notify::new(),
            noted: Notify::new(),
        });
        let task = tokio::spawn(run(shared.clone(), settings));
        Driver { shared, task }
    }

    /// Asks to become a member of a room.
    pub fn join(&self, room: &RoomName, data: &impl serde::Serialize) -> ActionId {
        let data = Payload::of(data).ok();
        self.ask(|client, now| client.join(now, room, data))
    }

    /// Asks something of a room.
    pub fn act(&self, room: &RoomName, data: &impl serde::Serialize) -> ActionId {
        let data = Payload::of(data).unwrap_or_else(|_| Payload::null());
        self.ask(|client, now| client.act(now, room, data))
    }

    /// Leaves a room.
    pub fn leave(&self, room: &RoomName) -> ActionId {
        self.ask(|client, now| client.leave(now, room))
    }

    /// Ends the session (S6).
    pub fn end(&self) {
        self.ask(|client, _| client.end());
    }

    /// Looks at the client.
    pub fn client<T>(&self, look: impl FnOnce(&Client) -> T) -> T {
        look(&self.shared.state.lock().client)
    }

    /// Looks at what was noted so far.
    pub fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.shared.state.lock().record)
    }

    /// Waits until something can be found in the client or its record.
    ///
    /// # Errors
    /// [`TimedOut`], which says what was waited for.
    pub async fn wait<T>(
        &self,
        what: impl std::fmt::Display,
        limit: Duration,
        mut find: impl FnMut(&Client, &Record) -> Option<T>,
    ) -> Result<T, TimedOut> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let noted = self.shared.noted.notified();
            tokio::pin!(noted);
            noted.as_mut().enable();
            {
                let state = self.shared.state.lock();
                if let Some(found) = find(&state.client, &state.record) {
                    return Ok(found);
                }
            }
            if tokio::time::timeout_at(deadline, noted).await.is_err() {
                let last = self.record(|record| format!("{:?}", record.sightings.last()));
                return Err(TimedOut {
                    what: what.to_string(),
                    waited: limit,
                    last,
                });
            }
        }
    }

    /// Stops the client, as a crash would, and gives its record away.
    pub async fn stop(mut self) -> Record {
        self.task.abort();
        // An aborted task answers with an error, which says nothing new.
        let _ = (&mut self.task).await;
        std::mem::take(&mut self.shared.state.lock().record)
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let answer = ask(&mut self.shared.state.lock().client, Instant::now());
        self.shared.asked.notify_one();
        answer
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>, settings: Settings) {
    let mut socket: Option<Socket> = None;
    let mut dialling = None;
    loop {
        let (outputs, wake_at) = shared.take_outputs();
        let mut frames = Vec::new();
        for output in outputs {
            match output {
                Output::Connect { gateway } => {
                    let dial = Socket::dial(settings.gateways[gateway].clone(), settings.codec);
                    (socket, dialling) = (None, Some(Box::pin(dial)));
                }
                Output::Send(frame) => frames.push(frame),
                Output::Disconnect => (socket, dialling) = (None, None),
                Output::Saw(_) => {}
            }
        }
        if let Some(open) = &mut socket
            && !frames.is_empty()
            && open.send(&frames).await.is_err()
        {
            socket = None;
            shared.feed(|client, now, _| client.lost(now, None));
            continue;
        }
        let wake_at = wake_at.map(|at| tokio::time::sleep_until(at.into()));
        tokio::select! {
            Some(heard) = OptionFuture::from(socket.as_mut().map(Socket::hear)) => match heard {
                Heard::Frame(frame) => shared.feed(|client, now, _| client.heard(now, frame)),
                Heard::Garbled(text) => {
                    shared.feed(|_, now, record| record.push(now, Seen::Garbled(text)));
                }
                Heard::Gone(code) => {
                    socket = None;
                    shared.feed(|client, now, _| client.lost(now, code));
                }
            },
            Some(dialled) = OptionFuture::from(dialling.as_mut()) => {
                dialling = None;
                match dialled {
                    Ok(open) => {
                        socket = Some(open);
                        shared.feed(|client, now, _| client.connected(now));
                    }
                    Err(_) => shared.feed(|client, now, _| client.lost(now, None)),
                }
            },
            () = shared.asked.notified() => {}
            Some(()) = OptionFuture::from(wake_at) => shared.feed(|client, now, _| client.tick(now)),
        }
    }
}

impl Shared {
    fn feed(&self, what: impl FnOnce(&mut Client, Instant, &mut Record)) {
        let state = &mut *self.state.lock();
        what(&mut state.client, Instant::now(), &mut state.record);
    }

    /// What the client wants done; what it saw is noted.
    fn take_outputs(&self) -> (Vec<Output>, Option<Instant>) {
        let state = &mut *self.state.lock();
        let mut outputs = Vec::new();
        while let Some(output) = state.client.poll() {
            match output {
                Output::Saw(seen) => state.record.push(Instant::now(), seen),
                Output::Connect { .. } | Output::Send(_) | Output::Disconnect => {
                    outputs.push(output);
                }
            }
        }
        self.noted.notify_waiters();
        (outputs, state.client.wake_at())
    }
}
