mod line;
mod socket;
mod trickle;

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::OptionFuture;
use outlast_protocol::{ClientFrame, Payload, RoomName};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use self::line::{Line, News};
pub use self::socket::{Heard, Socket};
use crate::{ActionId, Client, Output, Record, Seen, Settings};

/// A [`Client`] on real sockets, in a task of its own, with somebody who notes what it sees: a
/// [`Record`], if nothing else. Dropping it cuts the sockets without a word, as a crash would.
#[derive(Debug)]
pub struct Driver<W: Witness = Record> {
    shared: Arc<Shared<W>>,
    task: JoinHandle<()>,
}

/// Who is told what a client does and sees, at once and in order.
pub trait Witness: Send + 'static {
    /// Something happened.
    fn saw(&mut self, at: Instant, seen: Seen);

    /// The last thing that it remembers, for who has waited in vain.
    fn last_seen(&self) -> String {
        "not remembered".into()
    }
}

impl Witness for Record {
    fn saw(&mut self, at: Instant, seen: Seen) {
        self.push(at, seen);
    }

    fn last_seen(&self) -> String {
        format!("{:?}", self.sightings.last())
    }
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
struct Shared<W> {
    state: Mutex<State<W>>,
    /// The application has asked for something.
    asked: Notify,
    /// Something was noted.
    noted: Notify,
    /// The sockets are to be cut.
    cut: AtomicBool,
    /// How many bytes a second are read; 0 for as many as come.
    read_bytes_per_s: Arc<AtomicU32>,
}

#[derive(Debug)]
struct State<W> {
    client: Client,
    witness: W,
}

impl Driver {
    /// Starts a client that dials at once, and keeps its record.
    pub fn start(settings: Settings) -> Self {
        Driver::start_before(settings, Record::default())
    }

    /// Looks at what was noted so far.
    pub fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.shared.state.lock().witness)
    }

    /// Stops the client, as a crash would, and gives its record away.
    pub async fn stop(mut self) -> Record {
        self.task.abort();
        // An aborted task answers with an error, which says nothing new.
        let _ = (&mut self.task).await;
        std::mem::take(&mut self.shared.state.lock().witness)
    }
}

impl<W: Witness> Driver<W> {
    /// Starts a client that dials at once, before the eyes of a witness.
    pub fn start_before(settings: Settings, witness: W) -> Self {
        let client = Client::new(settings.clone(), Instant::now());
        let shared = Arc::new(Shared {
            state: Mutex::new(State { client, witness }),
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

    /// Waits until something can be found in the client or with its witness.
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
                if let Some(found) = find(&state.client, &state.witness) {
                    return Ok(found);
                }
            }
            if tokio::time::timeout_at(deadline, noted).await.is_err() {
                let last = self.witness(|witness| witness.last_seen());
                return Err(TimedOut {
                    what: what.to_string(),
                    waited: limit,
                    last,
                });
            }
        }
    }

    /// Looks at the witness.
    pub fn witness<T>(&self, look: impl FnOnce(&mut W) -> T) -> T {
        look(&mut self.shared.state.lock().witness)
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

impl<W: Witness> Drop for Driver<W> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<W: Witness>(shared: Arc<Shared<W>>, settings: Arc<Settings>) {
    // The session's socket and, while it moves, a second one.
    let mut lines: [Option<Line>; 2] = [None, None];
    loop {
        let (outputs, wake_at) = shared.take_outputs();
        for errand in errands(outputs) {
            match errand {
                Errand::Dial { socket, gateway } => {
                    let gateway = settings.gateways[gateway].clone();
                    let (settings, pace) = (settings.clone(), shared.read_bytes_per_s.clone());
                    let dial = async move { Socket::dial(gateway, &settings, pace).await };
                    let free = lines.iter_mut().find(|line| line.is_none());
                    if let Some(free) = free {
                        *free = Some(Line::dialling(socket, dial));
                    }
                }
                Errand::Send { socket, frames } => {
                    if let Some(line) = find(&mut lines, socket)
                        && !line.send(&frames).await
                    {
                        hang_up(&mut lines, socket);
                        shared.feed(|client, now| client.lost(now, socket, None));
                    }
                }
                Errand::Drop { socket } => hang_up(&mut lines, socket),
            }
        }
        if shared.cut.swap(false, Ordering::Relaxed) {
            for line in lines.iter_mut().filter_map(Option::take) {
                let socket = line.socket();
                line.cut();
                shared.feed(|client, now| client.lost(now, socket, None));
            }
        }
        if shared.has_outputs() {
            continue;
        }
        let wake_at = wake_at.map(|at| tokio::time::sleep_until(at.into()));
        let [first, second] = &mut lines;
        tokio::select! {
            Some((socket, news)) = OptionFuture::from(first.as_mut().map(Line::news)) => {
                shared.take_news(&mut lines, socket, news);
            }
            Some((socket, news)) = OptionFuture::from(second.as_mut().map(Line::news)) => {
                shared.take_news(&mut lines, socket, news);
            }
            () = shared.asked.notified() => {}
            Some(()) = OptionFuture::from(wake_at) => shared.feed(|client, now| client.tick(now)),
        }
    }
}

/// What the client wants done on its sockets.
enum Errand {
    Dial {
        socket: u64,
        gateway: usize,
    },
    Send {
        socket: u64,
        frames: Vec<ClientFrame>,
    },
    Drop {
        socket: u64,
    },
}

/// Frames that follow each other go into one write.
fn errands(outputs: Vec<Output>) -> Vec<Errand> {
    let mut errands: Vec<Errand> = Vec::new();
    for output in outputs {
        match output {
            Output::Connect { socket, gateway } => errands.push(Errand::Dial { socket, gateway }),
            Output::Send { socket, frame } => match errands.last_mut() {
                Some(Errand::Send {
                    socket: last,
                    frames,
                }) if *last == socket => frames.push(frame),
                Some(_) | None => errands.push(Errand::Send {
                    socket,
                    frames: vec![frame],
                }),
            },
            Output::Disconnect { socket } => errands.push(Errand::Drop { socket }),
            Output::Saw(_) => {}
        }
    }
    errands
}

fn find(lines: &mut [Option<Line>], socket: u64) -> Option<&mut Line> {
    let mut lines = lines.iter_mut().flatten();
    lines.find(|line| line.socket() == socket)
}

fn hang_up(lines: &mut [Option<Line>], socket: u64) {
    for line in lines {
        line.take_if(|line| line.socket() == socket);
    }
}

impl<W: Witness> Shared<W> {
    fn feed(&self, what: impl FnOnce(&mut Client, Instant)) {
        what(&mut self.state.lock().client, Instant::now());
    }

    fn take_news(&self, lines: &mut [Option<Line>], socket: u64, news: News) {
        match news {
            News::Connected => self.feed(|client, now| client.connected(now, socket)),
            News::Frame(frame) => self.feed(|client, now| client.heard(now, socket, frame)),
            News::Garbled(text) => {
                let state = &mut *self.state.lock();
                state.witness.saw(Instant::now(), Seen::Garbled(text));
            }
            News::Gone(code) => {
                hang_up(lines, socket);
                self.feed(|client, now| client.lost(now, socket, code));
            }
        }
    }

    fn has_outputs(&self) -> bool {
        self.state.lock().client.has_outputs()
    }

    /// What the client wants done; what it saw is told.
    fn take_outputs(&self) -> (Vec<Output>, Option<Instant>) {
        let state = &mut *self.state.lock();
        let mut outputs = Vec::new();
        while let Some(output) = state.client.poll() {
            match output {
                Output::Saw(seen) => state.witness.saw(Instant::now(), seen),
                Output::Connect { .. } | Output::Send { .. } | Output::Disconnect { .. } => {
                    outputs.push(output);
                }
            }
        }
        self.noted.notify_waiters();
        (outputs, state.client.wake_at())
    }
}
