//! A client by the letter of SPEC: it knows what stands there, and nothing else. Without IO.

mod book;
#[cfg(test)]
mod rules;
mod told;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use outlast_protocol::{Codec, Payload, RoomName};
use reconnect_storm::{Ask, Record, Seen};
use serde_json::{Map, Value, json};

use self::book::Book;

/// One session, as its client knows it.
#[derive(Debug, Default)]
pub(crate) struct Letter {
    session: Option<(String, String)>,
    /// The key that a `resume` without an answer bore (SPEC section 9, 4002).
    strays: Vec<String>,
    rooms: BTreeMap<String, Book>,
    record: Record,
    actions: usize,
    /// F1, from `welcome`.
    heartbeat: Option<Duration>,
    /// True if a socket takes actions.
    attached: bool,
}

/// The client's next step besides sending.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Then {
    Send(Value),
    /// Come back after so long: `busy`, or `bye` with `resume`.
    Resume(Option<Duration>),
    /// Open another socket and resume there, after so long (D3).
    Move(Duration),
    /// The session is gone (4001): open another.
    Gone,
    /// A code of section 9 after which a client stops.
    Stop(u64),
}

impl Letter {
    /// The frames that a new socket begins with: H2, R1, A3. `null` says of which rooms the position is left
    /// out or null.
    pub(crate) fn greet(
        &mut self,
        now: Instant,
        mut null: impl FnMut(&str) -> Start,
    ) -> Vec<Value> {
        self.attached = self.session.is_some();
        let Some((sid, key)) = &self.session else {
            return vec![json!({"t": "open"})];
        };
        let (mut asked, mut seen) = (Map::new(), BTreeMap::new());
        for (room, book) in self.rooms.iter().filter(|(_, book)| book.is_open()) {
            let pos = match null(room) {
                Start::Known => book.resumes_from().map(str::to_owned),
                Start::Null => None,
                // A11.
                Start::LeftOut if book.pending() == 0 => continue,
                Start::LeftOut => None,
            };
            seen.insert(name(room), pos.as_deref().and_then(|pos| pos.parse().ok()));
            asked.insert(room.clone(), pos.into());
        }
        let mut frames = vec![json!({"t": "resume", "sid": sid, "key": key, "rooms": asked})];
        self.record.push(now, Seen::Resuming { rooms: seen });
        for (room, book) in &mut self.rooms {
            frames.extend(book.resend_all(room));
        }
        frames
    }

    /// Asks something of a room; the frame, if a socket takes it.
    pub(crate) fn ask(&mut self, now: Instant, room: &str, kind: Kind, data: Value) -> Vec<Value> {
        let id = self.actions;
        self.actions += 1;
        let payload = Payload::of(&data).unwrap();
        let ask = match kind {
            Kind::Join => Ask::Join(Some(payload)),
            Kind::Act => Ask::Act(payload),
            Kind::Leave => Ask::Leave,
        };
        let attached = self.attached;
        let book = self.rooms.entry(room.to_owned()).or_default();
        let (n, frame) = book.ask(id, kind, data, room, attached);
        let room = name(room);
        self.record.push(now, Seen::Asked { id, room, n, ask });
        frame.into_iter().collect()
    }

    /// Returns the frames that are due to be sent again (A5).
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Value> {
        if !self.attached {
            return Vec::new();
        }
        let books = self.rooms.iter_mut();
        books
            .flat_map(|(room, book)| book.tick(room, now))
            .collect()
    }

    /// A frame came.
    pub(crate) fn heard(&mut self, now: Instant, text: &str) -> Vec<Then> {
        let frame: Value = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(_) => {
                self.record.push(now, Seen::Garbled(text.to_owned()));
                return Vec::new();
            }
        };
        match Codec::Json.decode_server(text.as_bytes()) {
            Ok(heard) => self.record.push(now, Seen::Heard(heard)),
            Err(_) => self.record.push(now, Seen::Garbled(text.to_owned())),
        }
        let then = self.take(now, &frame);
        let mut seen = Vec::new();
        for book in self.rooms.values_mut() {
            seen.extend(book.take_seen());
        }
        for what in seen {
            self.record.push(now, what);
        }
        then
    }

    /// The last socket is gone.
    pub(crate) fn lost(&mut self) {
        self.attached = false;
    }

    /// A socket was given up before its first frame was answered: that may still arrive.
    pub(crate) fn strayed(&mut self) {
        if let Some((_, key)) = &self.session {
            self.strays.retain(|stray| stray != key);
            self.strays.push(key.clone());
        }
    }

    /// True if that is why the newest key is void, or the session is another socket's: then the stray's key works.
    /// After 4001 (`gone`) the key that was refused is not tried again.
    pub(crate) fn is_back_to_a_stray(&mut self, gone: bool) -> bool {
        let Some((_, key)) = &mut self.session else {
            return false;
        };
        self.strays.retain(|stray| !gone || stray != key);
        let stray = self.strays.pop();
        stray.map(|stray| *key = stray).is_some()
    }

    /// The session is over, by `end` or 4001, and with it every room. What it did and saw.
    pub(crate) fn over(&mut self, now: Instant, told: bool) -> Record {
        if told {
            self.record.push(now, Seen::SessionGone);
        }
        for (room, book) in std::mem::take(&mut self.rooms) {
            if book.is_inside() {
                self.record.push(now, left(&room));
            }
        }
        *self = Letter {
            record: std::mem::take(&mut self.record),
            ..Letter::default()
        };
        std::mem::take(&mut self.record)
    }

    /// Returns the number of actions that have no outcome.
    pub(crate) fn pending(&self) -> usize {
        self.rooms.values().map(Book::pending).sum()
    }

    /// Returns the actions that have no outcome.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let books = self.rooms.iter();
        books.flat_map(|(room, book)| book.waiting(room)).collect()
    }

    pub(crate) fn sid(&self) -> Option<&str> {
        self.session.as_ref().map(|(sid, _)| sid.as_str())
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.attached && self.session.is_some()
    }

    /// True if it is a member, and no action says otherwise.
    pub(crate) fn is_inside(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(Book::is_inside)
    }

    /// True if it is one once all that was asked has happened.
    pub(crate) fn will_be_inside(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(Book::will_be_inside)
    }

    /// True if a join or a leave has no outcome.
    pub(crate) fn is_turning(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(Book::is_turning)
    }

    /// The rooms that it is in, and as which member.
    pub(crate) fn inside(&self) -> BTreeMap<String, u64> {
        let books = self.rooms.iter();
        let inside = books.filter_map(|(room, book)| Some((room.clone(), book.member()?)));
        inside.collect()
    }

    /// Where it stands in a room.
    pub(crate) fn off(&self, room: &str) -> u64 {
        let pos = self.rooms.get(room).and_then(|book| book.pos());
        pos.and_then(|pos| pos.split('-').next()?.parse().ok())
            .unwrap_or(0)
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        self.heartbeat.unwrap_or(Duration::from_secs(10))
    }

    pub(crate) fn record(&mut self) -> Record {
        std::mem::take(&mut self.record)
    }
}

/// The kind of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Join,
    Act,
    Leave,
}

/// The position of a room in a `resume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Known,
    Null,
    LeftOut,
}

/// Returns the observation that the checker of logs takes for the end of a membership.
pub(crate) fn left(room: &str) -> Seen {
    let left = json!({"t": "left", "room": room, "reason": "over"}).to_string();
    Seen::Heard(Codec::Json.decode_server(left.as_bytes()).unwrap())
}

fn name(room: &str) -> RoomName {
    room.parse().unwrap()
}
