//! The client's socket: how it comes, goes and comes back.

use std::time::{Duration, Instant};

use outlast_protocol::{ClientFrame, CloseCode, RoomName, Welcome};

use super::{Client, Output, Room, Session};
use crate::record::Seen;

/// Where the client stands with its socket.
#[derive(Debug)]
pub(super) enum Link {
    /// None, until it is time to try again.
    Down { retry_at: Instant },
    /// Dialling.
    Dialling { until: Instant },
    /// `open` or `resume` was sent, and nothing has answered it.
    Greeting { until: Instant },
    /// `welcome` or `resumed` has come; the server is taken for dead when it is silent (F1).
    Up {
        silent_at: Instant,
        silence: Duration,
    },
    /// For good.
    Stopped,
}

impl Link {
    pub(super) fn has_socket(&self) -> bool {
        match self {
            Link::Greeting { .. } | Link::Up { .. } => true,
            Link::Down { .. } | Link::Dialling { .. } | Link::Stopped => false,
        }
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self {
            Link::Down { retry_at: at }
            | Link::Dialling { until: at }
            | Link::Greeting { until: at }
            | Link::Up { silent_at: at, .. } => Some(*at),
            Link::Stopped => None,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let Link::Up { silent_at, silence } = self {
            *silent_at = now + *silence;
        }
    }
}

impl Client {
    /// The socket is there: says who this is, and everything that has no outcome right behind it (A3).
    pub fn connected(&mut self, now: Instant) {
        let Link::Dialling { until } = self.link else {
            return;
        };
        self.link = Link::Greeting { until };
        let hello = match &self.session {
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
        if let ClientFrame::Resume { rooms, .. } = &hello {
            self.saw([Seen::Resuming {
                rooms: rooms.clone(),
            }]);
        }
        self.outputs.push_back(Output::Send(hello));
        self.rooms.values_mut().for_each(Room::forget_sent);
        self.flush(now);
    }

    /// The socket is gone, or dialling failed; with the close code, where there was one.
    pub fn lost(&mut self, now: Instant, code: Option<u16>) {
        match self.link {
            Link::Dialling { .. } | Link::Greeting { .. } | Link::Up { .. } => {
                self.part(now, code, None);
            }
            Link::Down { .. } | Link::Stopped => {}
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if self.link.wake_at().is_some_and(|at| at <= now) {
            match self.link {
                Link::Down { .. } => {
                    let gateway = self.gateway;
                    self.link = Link::Dialling {
                        until: now + self.settings.attach_timeout,
                    };
                    self.saw([Seen::Connecting { gateway }]);
                    self.outputs.push_back(Output::Connect { gateway });
                }
                Link::Dialling { .. } | Link::Greeting { .. } | Link::Up { .. } => {
                    self.outputs.push_back(Output::Disconnect);
                    self.part(now, None, None);
                }
                Link::Stopped => {}
            }
        }
        self.flush(now);
    }

    pub(super) fn attached(&mut self, now: Instant, welcome: Welcome) {
        let silence = Duration::from_millis(2 * welcome.heartbeat_ms);
        self.link = Link::Up {
            silent_at: now + silence,
            silence,
        };
        self.attempt = 0;
        self.session = Some(Session {
            sid: welcome.sid,
            key: welcome.key,
            generation: welcome.generation,
        });
    }

    /// The server said that it closes the socket, and perhaps when to come back.
    pub(super) fn told_to_go(&mut self, now: Instant, code: CloseCode, retry_ms: Option<u64>) {
        if self.link.has_socket() {
            self.outputs.push_back(Output::Disconnect);
            self.part(now, Some(code.code()), retry_ms.map(Duration::from_millis));
        }
    }

    /// What the close code asks for (SPEC section 9).
    fn part(&mut self, now: Instant, code: Option<u16>, retry: Option<Duration>) {
        self.saw([Seen::Lost { code }]);
        self.gateway = (self.gateway + 1) % self.settings.gateways.len().max(1);
        let close = code.and_then(|code| CloseCode::try_from(code).ok());
        if let Some(close) = close.filter(|close| !close.resumes()) {
            let mut seen = Vec::new();
            self.rooms.values_mut().for_each(|room| room.end(&mut seen));
            self.rooms.clear();
            self.session = None;
            self.saw(seen);
            if close != CloseCode::SessionGone {
                self.link = Link::Stopped;
                self.saw([Seen::Stopped { code: close.code() }]);
                return;
            }
            self.saw([Seen::SessionGone]);
        }
        let delay = self.settings.backoff.delay(self.attempt, &mut self.rng);
        self.attempt = self.attempt.saturating_add(1);
        self.link = Link::Down {
            retry_at: now + retry.unwrap_or(delay),
        };
    }
}
