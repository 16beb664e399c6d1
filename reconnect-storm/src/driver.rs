mod connection;
mod socket;
mod throttle;

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::OptionFuture;
use outlast_protocol::{Payload, RoomName};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use self::connection::{Connection, ConnectionEvent};
pub use self::socket::{Incoming, Socket};
use crate::{ActionId, Client, Output, Record, Seen, Settings};

/// A [`Client`] on real sockets, in a task of its own, with somebody who notes what it sees: a
/// [`Record`], if nothing else. Dropping it cuts the sockets without a word, as a crash would.
#[derive(Debug)]
pub struct Driver<W: Observer = Record> {
    shared: Arc<Shared<W>>,
    task: JoinHandle<()>,
}

/// Told of everything that a client does and sees, at once and in order.
pub trait Observer: Send + 'static {
    /// Something happened.
    fn saw(&mut self, at: Instant, seen: Seen);

    /// The last thing that it remembers, for who has waited in vain.
    fn last_seen(&self) -> String {
        "not remembered".into()
    }
}

impl Observer for Record {
    fn saw(&mut self, at: Instant, seen: Seen) {
        self.push(at, seen);
    }

    fn last_seen(&self) -> String {
        format!("{:?}", self.observations.last())
    }
}

/// A wait that ended in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {waited:?} for {what}; the last that was seen: {last}")]
pub struct TimedOut {
    what: String,
    waited: Duration,
    last: String,
}

#[derive(Debug)]
struct Shared<W> {
    state: Mutex<State<W>>,
    /// The application has asked for something.
    asked: Notify,
    /// Something was noted.
    noted: Notify,
    /// The sockets are to be cut.
    cut: AtomicBool,
    /// The bytes per second that are read; 0 for as many as come.
    read_bytes_per_s: Arc<AtomicU32>,
}

#[derive(Debug)]
struct State<W> {
    client: Client,
    observer: W,
}

impl Driver {
    /// Starts a client that dials at once, and keeps its record.
    pub fn start(settings: Settings) -> Self {
        Driver::start_with(settings, Record::default())
    }

    /// Looks at what was noted so far.
    pub fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.shared.state.lock().observer)
    }

    /// Stops the client, as a crash would, and gives its record away.
    pub async fn stop(mut self) -> Record {
        self.task.abort();
        // An aborted task answers with an error, which says nothing new.
        let _ = (&mut self.task).await;
        std::mem::take(&mut self.shared.state.lock().observer)
    }
}

impl<W: Observer> Driver<W> {
    /// Starts a client that dials at once, before the eyes of an observer.
    pub fn start_with(settings: Settings, observer: W) -> Self {
        let client = Client::new(settings.clone(), Instant::now());
        let shared = Arc::new(Shared {
            state: Mutex::new(State { client, observer }),
            asked: Notify::new(),
            noted: Notify::new(),
            cut: AtomicBool::new(false),
            read_bytes_per_s: Arc::default(),
        });
        let task = tokio::spawn(run(shared.clone(), Arc::new(settings)));
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

    /// Waits until something can be found in the client or with its observer.
    ///
    /// # Errors
    /// [`TimedOut`], which says what was waited for.
    pub async fn wait<T>(
        &self,
        what: impl std::fmt::Display,
        limit: Duration,
        mut find: impl FnMut(&Client, &W) -> Option<T>,
    ) -> Result<T, TimedOut> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let noted = self.shared.noted.notified();
            tokio::pin!(noted);
            noted.as_mut().enable();
            {
                let state = self.shared.state.lock();
                if let Some(found) = find(&state.client, &state.observer) {
                    return Ok(found);
                }
            }
            if tokio::time::timeout_at(deadline, noted).await.is_err() {
                let last = self.observer(|observer| observer.last_seen());
                return Err(TimedOut {
                    what: what.to_string(),
                    waited: limit,
                    last,
                });
            }
        }
    }

    /// Looks at the observer.
    pub fn observer<T>(&self, look: impl FnOnce(&mut W) -> T) -> T {
        look(&mut self.shared.state.lock().observer)
    }

    /// Cuts the sockets abruptly (RST), as a network does.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
        self.shared.asked.notify_one();
    }

    /// From now on reads no more than so many bytes a second; `None` for as many as come.
    pub fn read_at_most(&self, bytes_per_s: Option<u32>) {
        let bytes_per_s = bytes_per_s.unwrap_or(0);
        self.shared
            .read_bytes_per_s
            .store(bytes_per_s, Ordering::Relaxed);
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let answer = ask(&mut self.shared.state.lock().client, Instant::now());
        self.shared.asked.notify_one();
        answer
    }
}

impl<W: Observer> Drop for Driver<W> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<W: Observer>(shared: Arc<Shared<W>>, settings: Arc<Settings>) {
    // The session's socket and, while it moves, a second one.
    let mut connections: Vec<Connection> = Vec::with_capacity(2);
    loop {
        let (outputs, wake_at) = shared.take_outputs();
        shared.obey(outputs, &mut connections, &settings).await;
        if shared.cut.swap(false, Ordering::Relaxed) {
            for connection in connections.drain(..) {
                let socket = connection.socket();
                connection.cut();
                shared.feed(|client, now| client.lost(now, socket, None));
            }
        }
        if shared.has_outputs() {
            continue;
        }
        let wake_at = wake_at.map(|at| tokio::time::sleep_until(at.into()));
        let mut both = connections.iter_mut();
        let [first, second] = [both.next(), both.next()];
        tokio::select! {
            Some((socket, event)) = OptionFuture::from(first.map(Connection::event)) => {
                shared.take_event(&mut connections, socket, event);
            }
            Some((socket, event)) = OptionFuture::from(second.map(Connection::event)) => {
                shared.take_event(&mut connections, socket, event);
            }
            () = shared.asked.notified() => {}
            Some(()) = OptionFuture::from(wake_at) => shared.feed(|client, now| client.tick(now)),
        }
    }
}

impl<W: Observer> Shared<W> {
    /// Does what the client wants done on its sockets.
    async fn obey(
        &self,
        outputs: Vec<Output>,
        connections: &mut Vec<Connection>,
        settings: &Arc<Settings>,
    ) {
        let mut outputs = outputs.into_iter().peekable();
        while let Some(output) = outputs.next() {
            match output {
                Output::Connect { socket, gateway } => {
                    let gateway = settings.gateways[gateway].clone();
                    let (settings, pace) = (settings.clone(), self.read_bytes_per_s.clone());
                    let dial = async move { Socket::dial(gateway, &settings, pace).await };
                    connections.push(Connection::dialling(socket, dial));
                }
                Output::Send { socket, frame } => {
                    // Frames that follow each other go into one write.
                    let mut frames = vec![frame];
                    let follows = |next: &Output| matches!(next, Output::Send { socket: other, .. } if *other == socket);
                    while let Some(Output::Send { frame, .. }) = outputs.next_if(follows) {
                        frames.push(frame);
                    }
                    let mut all = connections.iter_mut();
                    if let Some(connection) = all.find(|one| one.socket() == socket)
                        && !connection.send(&frames).await
                    {
                        connections.retain(|one| one.socket() != socket);
                        self.feed(|client, now| client.lost(now, socket, None));
                    }
                }
                Output::Disconnect { socket } => connections.retain(|one| one.socket() != socket),
                Output::Saw(_) => {}
            }
        }
    }

    fn feed(&self, what: impl FnOnce(&mut Client, Instant)) {
        what(&mut self.state.lock().client, Instant::now());
    }

    fn take_event(&self, connections: &mut Vec<Connection>, socket: u64, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected => self.feed(|client, now| client.connected(now, socket)),
            ConnectionEvent::Frame(frame) => {
                self.feed(|client, now| client.heard(now, socket, frame))
            }
            ConnectionEvent::Garbled(text) => {
                let state = &mut *self.state.lock();
                state.observer.saw(Instant::now(), Seen::Garbled(text));
            }
            ConnectionEvent::Gone(code) => {
                connections.retain(|one| one.socket() != socket);
                self.feed(|client, now| client.lost(now, socket, code));
            }
        }
    }

    fn has_outputs(&self) -> bool {
        self.state.lock().client.has_outputs()
    }

    /// Takes the client's tasks, and tells the observer what it saw.
    fn take_outputs(&self) -> (Vec<Output>, Option<Instant>) {
        let state = &mut *self.state.lock();
        let mut outputs = Vec::new();
        while let Some(output) = state.client.poll() {
            match output {
                Output::Saw(seen) => state.observer.saw(Instant::now(), seen),
                Output::Connect { .. } | Output::Send { .. } | Output::Disconnect { .. } => {
                    outputs.push(output);
                }
            }
        }
        self.noted.notify_waiters();
        (outputs, state.client.wake_at())
    }
}
