mod link;
mod room;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use outlast_protocol::{
    ClientFrame, CloseCode, Payload, RoomName, ServerFrame, Sid, SnapshotReason,
};
use rand::{SeedableRng, rngs::StdRng};

use self::{
    link::{Link, Side},
    room::Room,
};
use crate::{
    Settings,
    record::{ActionId, Ask, Seen},
};

/// A client of outlast without IO and without a clock.
///
/// Feed it what happens (`connected`, `heard`, `lost`, `tick` at [`Client::wake_at`]) and what the
/// application wants (`join`, `act`, `leave`, `end`); do what [`Client::poll`] says until it says
/// nothing more. It has one socket, and two while a gateway asks it to move (D3).
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    rng: StdRng,
    link: Link,
    /// The second socket, while the session moves to it (D3).
    successor: Option<Link>,
    /// A second socket of this attachment has been dialled: then it was we who took over.
    has_tried_successor: bool,
    /// When a socket was lost before its `resume` was answered, which may still arrive, and the key that it bore: the newest
    /// of each key last (SPEC section 9, 4002).
    strays: Vec<(Instant, String)>,
    session: Option<Session>,
    rooms: BTreeMap<RoomName, Room>,
    outputs: VecDeque<Output>,
    actions: ActionId,
    /// The gateway of the newest attempt.
    gateway: usize,
    sockets: SocketId,
    /// Attempts since the last that succeeded.
    attempt: u32,
    /// Slots that it was given in a row.
    slots: u32,
}

/// A client's own name for one of its sockets: 0, 1, 2 … in the order in which it dials them.
pub type SocketId = u64;

/// Something that the client wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Dial this one of the settings' gateways; answer with `connected` or `lost`.
    Connect {
        /// The name of the socket.
        socket: SocketId,
        /// Which gateway.
        gateway: usize,
    },
    /// Send a frame.
    Send {
        /// On which socket.
        socket: SocketId,
        /// The event.
        frame: ClientFrame,
    },
    /// Drop a socket, without an answer.
    Disconnect {
        /// Which.
        socket: SocketId,
    },
    /// Note this down.
    Saw(Seen),
}

#[derive(Debug)]
struct Session {
    sid: Sid,
    key: String,
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
            successor: None,
            has_tried_successor: false,
            strays: Vec::new(),
            session: None,
            rooms: BTreeMap::new(),
            outputs: VecDeque::new(),
            actions: 0,
            gateway,
            sockets: 0,
            attempt: 0,
            slots: 0,
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
        self.send(ClientFrame::End {});
    }

    /// Returns the number of actions that have no outcome yet.
    pub fn pending(&self) -> usize {
        self.rooms.values().map(Room::pending).sum()
    }

    /// Returns true once `welcome` or `resumed` has come on the present socket.
    pub fn is_attached(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// The sockets that are dialled or open.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> {
        let links = [Some(&self.link), self.successor.as_ref()];
        links.into_iter().flatten().filter_map(Link::socket)
    }

    /// Returns true if the client is a member of a room, as far as it knows.
    pub fn is_member(&self, room: &RoomName) -> bool {
        self.rooms.get(room).is_some_and(Room::is_member)
    }

    /// Returns the next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns true if there is something to be done.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// When `tick` is wanted, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        let rooms = self
            .speaking()
            .map(|_| self.rooms.values().filter_map(Room::wake_at));
        let links = [Some(&self.link), self.successor.as_ref()];
        let links = links.into_iter().flatten().filter_map(Link::wake_at);
        links.chain(rooms.into_iter().flatten()).min()
    }

    /// A frame came.
    pub fn heard(&mut self, now: Instant, socket: SocketId, frame: ServerFrame) {
        let Some(side) = self.side(socket) else {
            return;
        };
        if side == Side::First {
            self.link.heard(now);
        }
        if self.is_moot(side, &frame) {
            return;
        }
        let mut seen = vec![Seen::Heard(frame.clone())];
        let mut goodbye = None;
        match frame {
            ServerFrame::Welcome { welcome } => self.attached(now, side, welcome, &mut seen),
            ServerFrame::Resumed { welcome, rooms } => {
                self.attached(now, side, welcome, &mut seen);
                for (room, catch_up) in rooms {
                    self.room(&room).resumed(catch_up, &mut seen);
                }
            }
            ServerFrame::Joined { ref room, .. }
            | ServerFrame::Event { ref room, .. }
            | ServerFrame::Notice { ref room, .. }
            | ServerFrame::Live { ref room, .. }
            | ServerFrame::Result { ref room, .. }
            | ServerFrame::Snapshot { ref room, .. }
            | ServerFrame::Left { ref room, .. }
            | ServerFrame::Gap { ref room, .. } => self.room(room).heard(&frame, &mut seen),
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
            ServerFrame::Ping {} => {
                let frame = ClientFrame::Pong {};
                self.outputs.push_back(Output::Send { socket, frame });
            }
            ServerFrame::Error { .. } | ServerFrame::Signal { .. } => {}
            ServerFrame::Move { after_ms, .. } => self.told_to_move(now, side, after_ms),
            ServerFrame::Busy { retry_ms } => goodbye = Some((CloseCode::Busy, Some(retry_ms))),
            ServerFrame::Bye { code, retry_ms, .. } => goodbye = Some((code, retry_ms)),
        }
        self.saw(seen);
        if let Some((code, retry_ms)) = goodbye {
            let retry = retry_ms.map(Duration::from_millis);
            self.outputs.push_back(Output::Disconnect { socket });
            self.part(now, side, Some(code.code()), retry);
        }
        self.flush(now);
    }

    /// The frame says nothing that counts, because two sockets overlap.
    fn is_moot(&mut self, side: Side, frame: &ServerFrame) -> bool {
        if let ServerFrame::Gap { .. } | ServerFrame::Error { n: Some(_), .. } = frame {
            // Whatever has no outcome is under way on the second socket by now (A3).
            side == Side::First && self.speaking() != self.link.socket()
        } else if let ServerFrame::Event { room, pos, .. }
        | ServerFrame::Notice { room, pos, .. }
        | ServerFrame::Result { room, pos, .. } = frame
        {
            self.room(room).has_passed(*pos)
        } else if let ServerFrame::Snapshot {
            room, pos, reason, ..
        } = frame
        {
            *reason != SnapshotReason::Diverged && self.room(room).has_passed_state(*pos)
        } else {
            false
        }
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

    /// Sends what may be sent. After `open`, only once `welcome` has come: a session whose name never arrived
    /// cannot be resumed, and what it did would be done again by the next one.
    fn flush(&mut self, now: Instant) {
        if let Some(socket) = self.speaking().filter(|_| self.session.is_some()) {
            let frames = self.rooms.values_mut().flat_map(|room| room.flush(now));
            let sends = frames.map(|frame| Output::Send { socket, frame });
            self.outputs.extend(sends);
        }
    }

    fn send(&mut self, frame: ClientFrame) {
        if let Some(socket) = self.speaking() {
            self.outputs.push_back(Output::Send { socket, frame });
        }
    }
}
