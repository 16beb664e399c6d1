//! The client's sockets: how they come, go and come back, and how one takes over from the other.

use std::time::{Duration, Instant};

use outlast_protocol::{ClientFrame, CloseCode, RoomName, Welcome};

use super::{Client, Output, Room, Session, SocketId};
use crate::record::Seen;

/// Where the client stands with a socket.
#[derive(Debug)]
pub(super) enum Link {
    /// None, until it is time to try.
    Down { retry_at: Instant },
    /// Dialling.
    Dialling { socket: SocketId, until: Instant },
    /// `open` or `resume` was sent, and nothing has answered it.
    Greeting { socket: SocketId, until: Instant },
    /// `welcome` or `resumed` has come; the server is taken for dead when it is silent (F1).
    Up {
        socket: SocketId,
        silent_at: Instant,
        silence: Duration,
    },
    /// For good.
    Stopped,
}

/// Which of two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that serves, or is to.
    First,
    /// The one that the session moves to (D3).
    Second,
}

/// The number of slots in a row that a client waits for at one gateway.
const SLOTS_MAX: u32 = 3;

impl Link {
    /// The one that is dialled or open.
    pub(super) fn socket(&self) -> Option<SocketId> {
        match self {
            Link::Dialling { socket, .. }
            | Link::Greeting { socket, .. }
            | Link::Up { socket, .. } => Some(*socket),
            Link::Down { .. } | Link::Stopped => None,
        }
    }

    /// The one that frames can be sent on.
    fn open(&self) -> Option<SocketId> {
        match self {
            Link::Greeting { socket, .. } | Link::Up { socket, .. } => Some(*socket),
            Link::Down { .. } | Link::Dialling { .. } | Link::Stopped => None,
        }
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self {
            Link::Down { retry_at: at }
            | Link::Dialling { until: at, .. }
            | Link::Greeting { until: at, .. }
            | Link::Up { silent_at: at, .. } => Some(*at),
            Link::Stopped => None,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let Link::Up {
            silent_at, silence, ..
        } = self
        {
            *silent_at = now + *silence;
        }
    }
}

impl Client {
    /// The socket is there: says who this is, and right after it everything that has no outcome (A3).
    pub fn connected(&mut self, now: Instant, socket: SocketId) {
        let link = match self.side(socket) {
            Some(Side::First) => &mut self.link,
            Some(Side::Second) => self.successor.get_or_insert(Link::Stopped),
            None => return,
        };
        let Link::Dialling { until, .. } = *link else {
            return;
        };
        *link = Link::Greeting { socket, until };
        let frame = match &self.session {
            None => ClientFrame::Open {
                token: self.settings.token.clone(),
                client: Some("reconnect-storm".into()),
            },
            Some(session) => {
                let claim = |(name, room): (&RoomName, &Room)| Some((name.clone(), room.claim()?));
                ClientFrame::Resume {
                    sid: session.sid.to_string(),
                    key: session.key.clone(),
                    token: self.settings.token.clone(),
                    rooms: self.rooms.iter().filter_map(claim).collect(),
                }
            }
        };
        if let ClientFrame::Resume { rooms, .. } = &frame {
            self.saw([Seen::Resuming {
                rooms: rooms.clone(),
            }]);
        }
        self.outputs.push_back(Output::Send { socket, frame });
        self.rooms.values_mut().for_each(Room::forget_sent);
        self.flush(now);
    }

    /// A socket is gone, or dialling failed; with the close code, where there was one.
    pub fn lost(&mut self, now: Instant, socket: SocketId, code: Option<u16>) {
        if let Some(side) = self.side(socket) {
            self.part(now, side, code, None);
            self.flush(now);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let due = |link: &Link| link.wake_at().is_some_and(|at| at <= now);
        if due(&self.link) {
            match self.link.socket() {
                Some(socket) => self.drop_socket(now, Side::First, socket),
                None => self.link = self.dial(now),
            }
        }
        if let Some(successor) = self.successor.as_ref().filter(|link| due(link)) {
            match successor.socket() {
                Some(socket) => self.drop_socket(now, Side::Second, socket),
                None => {
                    self.has_tried_successor = true;
                    self.successor = Some(self.dial(now));
                }
            }
        }
        self.flush(now);
    }

    /// Which of the two a socket is; `None` for one that was dropped.
    pub(super) fn side(&self, socket: SocketId) -> Option<Side> {
        if self.link.socket() == Some(socket) {
            return Some(Side::First);
        }
        let second = self.successor.as_ref().and_then(Link::socket);
        (second == Some(socket)).then_some(Side::Second)
    }

    /// Where actions go: from `resume` on, the second socket.
    pub(super) fn speaking(&self) -> Option<SocketId> {
        let second = self.successor.as_ref().and_then(Link::open);
        second.or_else(|| self.link.open())
    }

    pub(super) fn attached(
        &mut self,
        now: Instant,
        side: Side,
        welcome: Welcome,
        seen: &mut Vec<Seen>,
    ) {
        let silence = Duration::from_millis(2 * welcome.heartbeat_ms);
        if side == Side::Second {
            if let Some(socket) = self.link.socket() {
                self.outputs.push_back(Output::Disconnect { socket });
            }
            self.link = self.successor.take().unwrap_or(Link::Stopped);
        }
        if let Some(socket) = self.link.socket() {
            self.link = Link::Up {
                socket,
                silent_at: now + silence,
                silence,
            };
        }
        if std::mem::take(&mut self.has_tried_successor) {
            // What the first socket delivered after the positions of `resume` comes again on the second.
            self.rooms.values_mut().for_each(Room::overlap);
            seen.push(Seen::Moved);
        }
        (self.attempt, self.slots) = (0, 0);
        self.session = Some(Session {
            sid: welcome.sid,
            key: welcome.key,
        });
    }

    /// D3: the gateway asks for a second socket elsewhere, in its time.
    pub(super) fn told_to_move(&mut self, now: Instant, side: Side, after_ms: u64) {
        if side == Side::First && self.successor.is_none() {
            self.turn_to_the_next_gateway();
            let retry_at = now + Duration::from_millis(after_ms);
            self.successor = Some(Link::Down { retry_at });
        }
    }

    /// A socket is over: what its close code asks for (SPEC section 9).
    pub(super) fn part(
        &mut self,
        now: Instant,
        side: Side,
        code: Option<u16>,
        retry: Option<Duration>,
    ) {
        let close = code.and_then(|code| CloseCode::try_from(code).ok());
        let link = match side {
            Side::First => Some(&self.link),
            Side::Second => self.successor.as_ref(),
        };
        if code.is_none() && matches!(link, Some(Link::Greeting { .. })) {
            self.keep_stray(now);
        }
        let taken_over = close == Some(CloseCode::TakenOver);
        let is_gone = close == Some(CloseCode::SessionGone);
        let ours = (taken_over && self.has_tried_successor)
            || ((taken_over || is_gone) && self.is_back_to_a_stray(now, is_gone));
        if let Some(close) = close.filter(|close| !close.resumes() && !ours) {
            return self.end_session(now, close);
        }
        let retry = retry.filter(|_| self.settings.is_polite);
        // A slot is worth nothing elsewhere. But a gateway that says so again and again may have lost its store.
        let busy = close == Some(CloseCode::Busy) && retry.is_some();
        self.slots = if busy { self.slots + 1 } else { 0 };
        let keeps_gateway = busy && !self.slots.is_multiple_of(SLOTS_MAX);
        match (side, self.successor.take()) {
            (Side::Second, second) => {
                if !keeps_gateway {
                    self.turn_to_the_next_gateway();
                }
                self.successor = Some(self.down(now, retry));
                if matches!(second, Some(Link::Greeting { .. })) {
                    // What was sent on it may not have arrived; the first goes on.
                    self.rooms.values_mut().for_each(Room::forget_sent);
                }
            }
            (Side::First, Some(second @ Link::Greeting { .. })) => {
                self.saw([Seen::Silenced]);
                self.link = second;
            }
            (Side::First, second) => {
                self.has_tried_successor = false;
                self.saw([Seen::Lost { code }]);
                self.link = match second {
                    Some(second @ Link::Dialling { .. }) => second,
                    Some(_) => self.down(now, retry),
                    None => {
                        if !keeps_gateway {
                            self.turn_to_the_next_gateway();
                        }
                        self.down(now, retry)
                    }
                };
            }
        }
    }

    /// A socket is given up whose `resume` may still arrive.
    fn keep_stray(&mut self, now: Instant) {
        if let Some(session) = &self.session {
            self.strays.retain(|(_, key)| *key != session.key);
            self.strays.push((now, session.key.clone()));
        }
    }

    /// A `resume` of its own may have come late, and have made its newer key void: then the key of that one works, unless
    /// the session is gone for that very key.
    fn is_back_to_a_stray(&mut self, now: Instant, is_gone: bool) -> bool {
        const STRAYS_FOR: Duration = Duration::from_secs(60);
        let Some(session) = &mut self.session else {
            return false;
        };
        let refused = is_gone.then_some(&session.key);
        self.strays
            .retain(|(since, key)| now < *since + STRAYS_FOR && Some(key) != refused);
        let stray = self.strays.pop();
        stray.map(|(_, key)| session.key = key).is_some()
    }

    /// The session is over, and with it both sockets.
    fn end_session(&mut self, now: Instant, close: CloseCode) {
        let sockets: Vec<SocketId> = self.sockets().collect();
        for socket in sockets {
            self.outputs.push_back(Output::Disconnect { socket });
        }
        self.successor = None;
        let mut seen = vec![Seen::Lost {
            code: Some(close.code()),
        }];
        self.rooms.values_mut().for_each(|room| room.end(&mut seen));
        self.rooms.clear();
        self.session = None;
        self.link = if close == CloseCode::SessionGone {
            seen.push(Seen::SessionGone);
            self.turn_to_the_next_gateway();
            self.down(now, None)
        } else {
            seen.push(Seen::Stopped { code: close.code() });
            Link::Stopped
        };
        self.saw(seen);
    }

    fn drop_socket(&mut self, now: Instant, side: Side, socket: SocketId) {
        self.outputs.push_back(Output::Disconnect { socket });
        self.part(now, side, None, None);
    }

    fn dial(&mut self, now: Instant) -> Link {
        let (socket, gateway) = (self.sockets, self.gateway);
        self.sockets += 1;
        self.saw([Seen::Connecting { gateway }]);
        self.outputs.push_back(Output::Connect { socket, gateway });
        let until = now + self.settings.attach_timeout;
        Link::Dialling { socket, until }
    }

    fn down(&mut self, now: Instant, retry: Option<Duration>) -> Link {
        let wait = retry.unwrap_or_else(|| {
            let delay = self.settings.backoff.delay(self.attempt, &mut self.rng);
            self.attempt = self.attempt.saturating_add(1);
            delay
        });
        Link::Down {
            retry_at: now + wait,
        }
    }

    fn turn_to_the_next_gateway(&mut self) {
        self.gateway = (self.gateway + 1) % self.settings.gateways.len().max(1);
    }
}
