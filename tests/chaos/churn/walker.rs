//! A client by the letter on real sockets, that acts, leaves, joins and comes back without waiting.

mod socket;
mod whims;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::Record;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::socket::{Came, Socket};
use super::{
    history::{History, What},
    letter::{Letter, Start, Then},
};

/// The phase of a walker's life: what it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Whatever comes to their minds.
    Churn,
    /// No more but what brings them into their rooms.
    Calm,
    /// The session is ended.
    End,
    /// The socket is dropped without a word, and nobody comes back.
    Vanish,
}

/// The record of what a walker did and saw so far.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) letter: Letter,
    pub(crate) history: History,
    /// Of sessions that it has ended, or that were gone.
    pub(crate) records: Vec<Record>,
    pub(crate) sids: BTreeSet<String>,
    pub(crate) actions: usize,
    /// A code after which a client stops.
    pub(crate) stopped: Option<u64>,
}

impl Notes {
    /// True if nothing is open, and it is in all its rooms.
    pub(crate) fn is_calm(&self, rooms: &[String]) -> bool {
        let inside = |room: &String| self.letter.is_inside(room);
        self.letter.is_attached() && self.letter.pending() == 0 && rooms.iter().all(inside)
    }
}

pub(crate) struct Walker {
    pub(crate) who: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

impl Walker {
    pub(crate) fn start(
        number: usize,
        rooms: Vec<String>,
        address: String,
        seed: u64,
        hasty: bool,
        begun: Instant,
        phase: watch::Receiver<Phase>,
    ) -> Walker {
        let who = format!("walker {number}");
        let notes = Arc::new(Mutex::new(Notes {
            history: History::of(who.clone()),
            ..Notes::default()
        }));
        let (into, came) = mpsc::unbounded_channel();
        let run = Run {
            who: who.clone(),
            rooms: rooms.clone(),
            address,
            rng: StdRng::seed_from_u64(seed),
            hasty,
            begun,
            phase,
            notes: notes.clone(),
            into,
            came,
            sockets: 0,
            current: None,
            older: BTreeMap::new(),
            tries: 0,
            dial_at: Instant::now(),
            move_at: None,
            ending: false,
        };
        let task = tokio::spawn(run.run());
        Walker {
            who,
            rooms,
            notes,
            task,
        }
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Notes) -> T) -> T {
        look(&mut self.notes.lock().unwrap())
    }
}

impl Drop for Walker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Run {
    who: String,
    rooms: Vec<String>,
    address: String,
    rng: StdRng,
    /// True if it joins without waiting for the leave before.
    hasty: bool,
    begun: Instant,
    phase: watch::Receiver<Phase>,
    notes: Arc<Mutex<Notes>>,
    into: mpsc::UnboundedSender<(u64, Came)>,
    came: mpsc::UnboundedReceiver<(u64, Came)>,
    sockets: u64,
    current: Option<Socket>,
    /// Sockets that another has taken over from, or is about to.
    older: BTreeMap<u64, Socket>,
    tries: u32,
    dial_at: Instant,
    move_at: Option<Instant>,
    /// `end` was sent, and nobody knows whether it was taken.
    ending: bool,
}

/// The number of actions that are open at most.
const PENDING_MAX: usize = 8;

impl Run {
    async fn run(mut self) {
        let mut whim_at = Instant::now();
        loop {
            let phase = *self.phase.borrow();
            match phase {
                Phase::Vanish => return,
                Phase::End if self.has_ended().await => return,
                Phase::Churn | Phase::Calm | Phase::End => {}
            }
            if self.look(|notes| notes.stopped.is_some()) {
                return;
            }
            let now = Instant::now();
            if self.current.is_none() && now >= self.dial_at {
                self.dial().await;
            }
            if self.move_at.is_some_and(|at| now >= at) {
                self.move_at = None;
                self.dial().await;
            }
            let due = self.look(|notes| notes.letter.tick(now));
            self.send(due).await;
            if now >= whim_at && self.current.is_some() {
                whim_at = now + Duration::from_millis(self.rng.random_range(40..250));
                self.whim(phase).await;
            }
            let silence = self.look(|notes| 2 * notes.letter.heartbeat());
            if self
                .current
                .as_ref()
                .is_some_and(|socket| socket.heard.elapsed() > silence)
            {
                self.drop_current("silent (F1)");
            }
            let wait = tokio::time::timeout(Duration::from_millis(20), self.came.recv());
            if let Ok(Some((socket, came))) = wait.await {
                self.heard(socket, came).await;
            }
        }
    }

    /// Opens a socket, and goes on there at once: whatever is open is sent right after the first frame.
    async fn dial(&mut self) {
        let (number, address) = (self.sockets, self.address.clone());
        self.sockets += 1;
        let Some(socket) = Socket::dial(number, &address, self.into.clone()).await else {
            self.note(number, What::Closed("cannot connect".into()));
            return self.again(None);
        };
        if let Some(before) = self.current.replace(socket) {
            self.gave_up(before.answered);
            self.older.insert(before.number, before);
            while self.older.len() > 1 {
                self.older.pop_first();
            }
        }
        let nulls = self.rng.random_range(0..10) < 3;
        let (rng, hasty) = (&mut self.rng, self.hasty);
        let null = |_: &str| match rng.random_range(0..4) {
            0 if nulls => Start::Null,
            1 if nulls && hasty => Start::LeftOut,
            _ => Start::Known,
        };
        let frames = self
            .notes
            .lock()
            .unwrap()
            .letter
            .greet(Instant::now(), null);
        self.send(frames).await;
    }

    async fn send(&mut self, frames: Vec<Value>) {
        for frame in frames {
            let Some(socket) = &mut self.current else {
                return;
            };
            let number = socket.number;
            let sent = socket.send(&frame).await;
            self.note(number, What::Out(frame));
            if !sent {
                return self.drop_current("takes nothing");
            }
        }
    }

    async fn heard(&mut self, number: u64, came: Came) {
        let is_current = self
            .current
            .as_ref()
            .is_some_and(|socket| socket.number == number);
        if !is_current && !self.older.contains_key(&number) {
            return; // it was given up before this came
        }
        let text = match came {
            Came::Frame(text) => text,
            Came::Closed(why) => {
                self.note(number, What::Closed(why));
                self.older.remove(&number);
                if self
                    .current
                    .as_ref()
                    .is_some_and(|socket| socket.number == number)
                {
                    let answered = self.current.take().is_none_or(|socket| socket.answered);
                    self.gave_up(answered);
                    self.look(|notes| notes.letter.lost());
                    self.again(None);
                }
                return;
            }
        };
        let frame = serde_json::from_str(&text).unwrap_or(Value::Null);
        self.note(number, What::In(frame.clone()));
        let Some(socket) = self
            .current
            .as_mut()
            .filter(|socket| socket.number == number)
        else {
            // Another socket has asked to go on from where this one was.
            return;
        };
        socket.heard = Instant::now();
        let then = self.look(|notes| {
            let then = notes.letter.heard(Instant::now(), &text);
            if let Some(sid) = notes.letter.sid() {
                let sid = sid.to_owned();
                notes.sids.insert(sid);
            }
            then
        });
        let t = frame["t"].as_str();
        if matches!(t, Some("welcome" | "resumed")) {
            (self.tries, self.ending) = (0, false);
        }
        if matches!(t, Some("welcome" | "resumed" | "busy" | "bye"))
            && let Some(socket) = &mut self.current
        {
            socket.answered = true;
        }
        for then in then {
            match then {
                Then::Send(frame) => self.send(vec![frame]).await,
                Then::Resume(after) => {
                    self.drop_current("told to come again");
                    self.again(after);
                }
                Then::Move(after) => self.move_at = Some(Instant::now() + after),
                // One of its own that it gave up without an answer may have come late (SPEC section 9).
                Then::Gone | Then::Stop(4002)
                    if !self.ending
                        && self
                            .look(|notes| notes.letter.is_back_to_a_stray(then == Then::Gone)) =>
                {
                    self.drop_current("overtaken by an earlier socket of its own");
                    self.again(None);
                }
                Then::Gone => {
                    self.over(!self.ending);
                    self.drop_current("the session is gone");
                }
                Then::Stop(code) => {
                    self.drop_current("told to stop");
                    self.look(|notes| notes.stopped = Some(code));
                }
            }
        }
    }

    /// The session is over; what follows belongs to another.
    fn over(&mut self, told: bool) {
        self.look(|notes| {
            let record = notes.letter.over(Instant::now(), told);
            notes.records.push(record);
        });
    }

    /// D2, but faster.
    fn again(&mut self, after: Option<Duration>) {
        self.tries = (self.tries + 1).min(4);
        let most = 100 << self.tries;
        let drawn = Duration::from_millis(self.rng.random_range(0..most));
        self.dial_at = Instant::now() + after.unwrap_or(drawn);
    }

    /// A socket is given up; whether it was answered.
    fn gave_up(&mut self, answered: bool) {
        if !answered {
            self.look(|notes| notes.letter.strayed());
        }
    }

    fn drop_current(&mut self, why: &str) {
        if let Some(socket) = self.current.take() {
            self.gave_up(socket.answered);
            self.note(socket.number, What::Closed(format!("by us: {why}")));
        }
        self.look(|notes| notes.letter.lost());
    }

    /// Sends `end`, and waits for the word.
    async fn has_ended(&mut self) -> bool {
        if self.current.is_none() || !self.look(|notes| notes.letter.is_attached()) {
            return false;
        }
        self.send(vec![json!({"t": "end"})]).await;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && self.current.is_some() {
            self.ending = true;
            let wait = tokio::time::timeout(Duration::from_secs(1), self.came.recv());
            let Ok(Some((number, came))) = wait.await else {
                continue;
            };
            match over(&came) {
                Some(bye) => {
                    self.note(number, What::In(bye));
                    self.over(false);
                    return true;
                }
                // It goes on: what comes meanwhile counts as ever.
                None => self.heard(number, came).await,
            }
        }
        // Whether it was taken nobody knows: the next resume tells.
        self.ending = true;
        self.drop_current("no answer to end");
        self.dial_at = Instant::now();
        false
    }

    fn note(&self, socket: u64, what: What) {
        let at = self.begun.elapsed();
        self.look(|notes| {
            let action = matches!(&what, What::Out(frame) if frame["n"].is_u64());
            notes.actions += usize::from(action);
            notes.history.push(at, socket, what);
        });
    }

    fn look<T>(&self, look: impl FnOnce(&mut Notes) -> T) -> T {
        look(&mut self.notes.lock().unwrap())
    }
}

/// The word that the session is over, if that came.
fn over(came: &Came) -> Option<Value> {
    let Came::Frame(text) = came else {
        return None;
    };
    let frame: Value = serde_json::from_str(text).ok()?;
    (frame["code"] == 4010).then_some(frame)
}
