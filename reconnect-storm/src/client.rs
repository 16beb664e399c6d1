mod link;
mod room;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use outlast_protocol::{ClientFrame, CloseCode, Payload, RoomName, ServerFrame, Sid};
use rand::{SeedableRng, rngs::StdRng};

use self::{link::Link, room::Room};
use crate::{
    Settings,
    record::{ActionId, Ask, Seen},
};

/// A client of outlast without IO and without a clock.
///
/// Feed it what happens (`connected`, `heard`, `lost`, `tick` at [`Client::wake_at`]) and what the
/// application wants (`join`, `act`, `leave`, `end`); do what [`Client::poll`] says until it says
/// nothing more.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    rng: StdRng,
    link: Link,
    session: Option<Session>,
    rooms: BTreeMap<RoomName, Room>,
    outputs: VecDeque<Output>,
    actions: ActionId,
    gateway: usize,
    /// Attempts since the last that succeeded.
    attempt: u32,
}

/// What the client wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Dial this one of the settings' gateways; answer with `connected` or `lost`.
    Connect {
        /// Which.
        gateway: usize,
    },
    /// Send a frame on the socket.
    Send(ClientFrame),
    /// Drop the socket, without an answer.
    Disconnect,
    /// Note this down.
    Saw(Seen),
}

#[derive(Debug)]
struct Session {
    sid: Sid,
    key: String,
    generation: u64,
}

impl Client {
    /// A client that dials at once.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let rng = StdRng::seed_from_u64(settings.seed);
        let gateway = settings.first_gateway % settings.gateways.len().max(1);
        let mut client = Client {
            settings,
            rng,
            link: Link::Down { retry_at: now },
            session: None,
            rooms: BTreeMap::new(),
            outputs: VecDeque::new(),
            actions: 0,
            gateway,
            attempt: 0,
        };
        client.tick(now);
        client
    }

    /// Asks to become a member of a room.
    pub fn join(&mut self, now: Instant, room: &RoomName, data: Option<Payload>) -> ActionId {
        self.ask(now, room, Ask::Join(data))
    }

    /// Asks something of a room.
    pub fn act(&mut self, now: Instant, room: &RoomName, data: Payload) -> ActionId {
        self.ask(now, room, Ask::Act(data))
    }

    /// Leaves a room.
    pub fn leave(&mut self, now: Instant, room: &RoomName) -> ActionId {
        self.ask(now, room, Ask::Leave)
    }

    /// Ends the session (S6), if a socket is there to say it on.
    pub fn end(&mut self) {
        if self.link.has_socket() {
            self.outputs.push_back(Output::Send(ClientFrame::End {}));
        }
    }

    /// How many actions have no outcome yet.
    pub fn pending(&self) -> usize {
        self.rooms.values().map(Room::pending).sum()
    }

    /// Whether `welcome` or `resumed` has come on the present socket.
    pub fn is_attached(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Whether the client is a member of a room, as far as it knows.
    pub fn is_member(&self, room: &RoomName) -> bool {
        self.rooms.get(room).is_some_and(Room::is_member)
    }

    /// The session's name and generation, once there is one.
    pub fn session(&self) -> Option<(Sid, u64)> {
        self.session
            .as_ref()
            .map(|session| (session.sid, session.generation))
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `tick` is wanted, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        let rooms = self
            .link
            .has_socket()
            .then(|| self.rooms.values().filter_map(Room::wake_at));
        self.link
            .wake_at()
            .into_iter()
            .chain(rooms.into_iter().flatten())
            .min()
    }

    /// A frame came.
    pub fn heard(&mut self, now: Instant, frame: ServerFrame) {
        self.link.heard(now);
        let mut seen = vec![Seen::Heard(frame.clone())];
        let mut goodbye = None;
        match frame {
            ServerFrame::Welcome { welcome } => self.attached(now, welcome),
            ServerFrame::Resumed { welcome, rooms } => {
                self.attached(now, welcome);
                for (room, catch_up) in rooms {
                    self.room(&room).resumed(catch_up, &mut seen);
                }
            }
            ServerFrame::Joined {
                room,
                n,
                member,
                pos,
                ..
            } => {
                self.room(&room).joined(n, member, pos, &mut seen);
            }
            ServerFrame::Event {
                room, pos, by, n, ..
            } => {
                self.room(&room).event(by, n, pos, &mut seen);
            }
            ServerFrame::Notice { room, pos, .. } | ServerFrame::Live { room, pos } => {
                self.room(&room).passed(pos);
            }
            ServerFrame::Result {
                room,
                n,
                pos,
                ok,
                code,
                ..
            } => {
                let refused = (!ok).then(|| code.unwrap_or_default());
                self.room(&room).result(n, pos, refused, &mut seen);
            }
            ServerFrame::Snapshot {
                room,
                pos,
                member,
                n,
                reason,
                ..
            } => {
                self.room(&room).snapshot(pos, member, n, reason, &mut seen);
            }
            ServerFrame::Left { room, n, .. } => self.room(&room).left(n, &mut seen),
            ServerFrame::Gap { room, expect } => self.room(&room).gap(expect, &mut seen),
            ServerFrame::Error {
                room: Some(room),
                n: Some(n),
                code,
                retry_ms,
                ..
            } => {
                let retry_at = retry_ms.map(|ms| now + Duration::from_millis(ms));
                if let Ok(room) = room.parse() {
                    self.room(&room).not_taken(n, code, retry_at, &mut seen);
                }
            }
            ServerFrame::Ping {} => self.outputs.push_back(Output::Send(ClientFrame::Pong {})),
            ServerFrame::Error { .. } | ServerFrame::Signal { .. } | ServerFrame::Move { .. } => {}
            ServerFrame::Busy { retry_ms } => goodbye = Some((CloseCode::Busy, Some(retry_ms))),
            ServerFrame::Bye { code, retry_ms, .. } => goodbye = Some((code, retry_ms)),
        }
        self.saw(seen);
        if let Some((code, retry_ms)) = goodbye {
            self.told_to_go(now, code, retry_ms);
        }
        self.flush(now);
    }

    fn ask(&mut self, now: Instant, room: &RoomName, ask: Ask) -> ActionId {
        let id = self.actions;
        self.actions += 1;
        let seen = self.room(room).ask(id, ask);
        self.saw([seen]);
        self.flush(now);
        id
    }

    fn room(&mut self, name: &RoomName) -> &mut Room {
        self.rooms
            .entry(name.clone())
            .or_insert_with(|| Room::new(name.clone()))
    }

    fn saw(&mut self, seen: impl IntoIterator<Item = Seen>) {
        self.outputs.extend(seen.into_iter().map(Output::Saw));
    }

    /// Sends what may be sent. Behind `open`, only after `welcome`: a session whose name never arrived
    /// cannot be resumed, and what it did would be done again by the next one.
    fn flush(&mut self, now: Instant) {
        if self.link.has_socket() && self.session.is_some() {
            let frames = self.rooms.values_mut().flat_map(|room| room.flush(now));
            self.outputs.extend(frames.map(Output::Send));
        }
    }
}
