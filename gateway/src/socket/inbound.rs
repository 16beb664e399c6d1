//! What a client's frames ask for.

use outlast_protocol::{BadRoomName, ClientFrame, DecodeError, RoomName, ServerFrame};
use outlast_store::Request;
use tokio::time::Instant;

use super::{Socket, job::What};
use crate::{
    auth::allows,
    bye::Bye,
    rate::TooFast,
    sequencer::{Sequencer, Verdict},
    telemetry,
};

/// An action that was not taken (A5).
struct Refusal {
    code: &'static str,
    message: String,
    retry_ms: Option<u64>,
}

/// When a client is asked to come back with what the store cannot take now.
const BUSY_RETRY_MS: u64 = 500;

impl Socket {
    /// Does what one message asks for.
    pub(super) fn take(&mut self, message: &[u8], now: Instant) -> Result<(), Bye> {
        match self.wire.codec().decode_client(message) {
            Ok(ClientFrame::Join { room, n, data }) => {
                let user = self.identity.user.clone();
                self.act(room, n, Request::Join { n, user, data }, now)
            }
            Ok(ClientFrame::Act { room, n, data }) => {
                self.act(room, n, Request::Act { n, data }, now)
            }
            Ok(ClientFrame::Leave { room, n }) => self.act(room, n, Request::Leave { n }, now),
            Ok(ClientFrame::Token { token }) => self.renew(&token),
            Ok(ClientFrame::Pong {}) => Ok(()),
            Ok(ClientFrame::End {}) => {
                self.job = Some(self.jobs().end());
                Ok(())
            }
            Ok(ClientFrame::Open { .. } | ClientFrame::Resume { .. }) => {
                Err(Bye::protocol_error("this socket has its session already"))
            }
            Err(DecodeError::Malformed(reason)) => Err(Bye::protocol_error(reason)),
            Err(error @ DecodeError::UnknownType(_)) => {
                self.complain("unknown_type", error.to_string(), None, now)
            }
            Err(DecodeError::BadRoom { room, n }) => {
                let message = BadRoomName.to_string();
                self.complain("bad_room", message, Some((room, n)), now)
            }
        }
    }

    fn act(&mut self, name: RoomName, n: u64, request: Request, now: Instant) -> Result<(), Bye> {
        if n == 0 {
            return Err(Bye::protocol_error("actions are numbered from 1 on"));
        }
        let joins = matches!(request, Request::Join { .. });
        let slot = self.rooms.find(&name);
        let verdict = match slot.and_then(|slot| self.rooms.get(slot)) {
            Some(room) => judge(&room.sequencer, &request, n),
            None => judge(&Sequencer::default(), &request, n),
        };
        match verdict {
            Verdict::Duplicate => return Ok(()),
            Verdict::Early => {
                if let Some(room) = slot.and_then(|slot| self.rooms.get(slot)) {
                    room.ignore(now);
                }
                return self.rate.ignored(now).or_else(enough);
            }
            Verdict::Forward | Verdict::NotJoined => {}
        }
        if let Err(too_fast) = self.rate.take(now) {
            let TooFast::Later { retry_ms } = too_fast else {
                return enough(too_fast);
            };
            return self.refuse(name, n, Refusal::rate_limited(self.rate.per_s(), retry_ms));
        }
        if verdict == Verdict::NotJoined {
            return self.refuse(name, n, Refusal::not_joined());
        }
        let inside = slot
            .and_then(|slot| self.rooms.get(slot))
            .is_some_and(|room| room.seat.is_some());
        if joins
            && !inside
            && let Some(refusal) = self.forbids(&name)
        {
            return self.refuse(name, n, refusal);
        }
        let Some(slot) = self.rooms.place(&name, Sequencer::default()) else {
            return self.refuse(name, n, Refusal::too_many_rooms());
        };
        let too_much = self.rooms.asked_too_much();
        let Some(room) = self.rooms.get(slot) else {
            return Ok(());
        };
        let unreached = room.is_out_of_reach(now);
        if self.shared.is_down() || unreached || too_much || room.asked.is_full() {
            return self.refuse(name, n, Refusal::busy());
        }
        if joins {
            room.sequencer.ask();
            if !(room.recorded && room.seat.is_some()) {
                room.recorded = true;
                let wake = self.wake.clone();
                self.job = Some(self.jobs().enter(slot, name, n, request, wake));
                return Ok(());
            }
        }
        self.forward(slot, n, request, now);
        Ok(())
    }

    /// The reason for which the session may not join a room.
    fn forbids(&self, name: &RoomName) -> Option<Refusal> {
        if !allows(self.identity.rooms.as_deref(), name) {
            return Some(Refusal::forbidden());
        }
        let is_barred = name.is_for_operators() && !self.identity.admin;
        is_barred.then(|| Refusal::operators_only(self.shared.auth.has_keys()))
    }

    /// Sends an action on its way.
    pub(super) fn forward(&mut self, slot: u8, n: u64, request: Request, now: Instant) {
        let Some(room) = self.rooms.get(slot) else {
            return;
        };
        let waits = room.must_wait(&request);
        room.forward(n, &request, now);
        if waits {
            return;
        }
        let name = room.name.clone();
        self.job = Some(
            self.jobs()
                .append(What::Act { slot, n }, name, vec![request]),
        );
    }

    /// The store did not take an action (W7).
    pub(super) fn refuse_busy(&mut self, slot: u8, n: u64) -> Result<(), Bye> {
        let Some(room) = self.rooms.get(slot) else {
            return Ok(());
        };
        if room.sequencer.has_told(n) {
            // A later one has its outcome, so this was applied; it is asked again until it has its own.
            return Ok(());
        }
        room.asked.drop_from(n);
        let name = room.name.clone();
        self.refuse(name, n, Refusal::busy())
    }

    /// A room was found to be one too many (A5).
    pub(super) fn refuse_room(&mut self, slot: u8, n: u64) -> Result<(), Bye> {
        let Some(room) = self.rooms.get(slot) else {
            return Ok(());
        };
        let name = room.name.clone();
        self.refuse(name, n, Refusal::too_many_rooms())
    }

    fn renew(&mut self, token: &str) -> Result<(), Bye> {
        let identity = self.shared.auth.verify(token).and_then(|identity| {
            let same = identity.user == self.identity.user;
            if same {
                Ok(identity)
            } else {
                Err(crate::auth::AuthError::OtherUser)
            }
        });
        let identity = identity.map_err(|error| Bye::unauthorized(error.to_string()))?;
        self.identity = identity.clone();
        self.unsaved = Some(identity);
        Ok(())
    }

    fn refuse(&mut self, name: RoomName, n: u64, refusal: Refusal) -> Result<(), Bye> {
        if let Some(slot) = self.rooms.place(&name, Sequencer::default())
            && let Some(room) = self.rooms.get(slot)
        {
            match refusal.retry_ms {
                Some(_) if !room.sequencer.refuse(n) => return Ok(()),
                Some(_) => {}
                None => room.sequencer.free(n),
            }
        }
        self.wire
            .send(&refusal.frame(Some(name.to_string()), Some(n)));
        Ok(())
    }

    /// Returns something that concerns no room; that counts as an action, so that it is not free.
    fn complain(
        &mut self,
        code: &'static str,
        message: String,
        action: Option<(String, u64)>,
        now: Instant,
    ) -> Result<(), Bye> {
        let refusal = match self.rate.take(now) {
            Ok(()) => Refusal::new(code, message),
            Err(TooFast::Later { retry_ms }) => Refusal::rate_limited(self.rate.per_s(), retry_ms),
            Err(too_fast) => return enough(too_fast),
        };
        let (room, n) = action.unzip();
        self.wire.send(&refusal.frame(room, n));
        Ok(())
    }
}

impl Refusal {
    fn not_joined() -> Self {
        Refusal::new(
            "not_joined",
            "the session has not joined this room".to_owned(),
        )
    }

    fn forbidden() -> Self {
        Refusal::new("forbidden", "the token does not allow this room".to_owned())
    }

    fn operators_only(has_keys: bool) -> Self {
        let message = if has_keys {
            "this room is for operators: it needs a token with the claim \"admin\": true"
        } else {
            "this room is for operators, and this server has no key to check their tokens with: start it with \
             --token-secret-file, --token-key-file or --token-jwks-file"
        };
        Refusal::new("forbidden", message.to_owned())
    }

    fn too_many_rooms() -> Self {
        let max = outlast_protocol::ROOMS_MAX;
        Refusal::new(
            "too_many_rooms",
            format!("a session is in {max} rooms at most"),
        )
    }

    fn rate_limited(per_s: u32, retry_ms: u64) -> Self {
        let message = format!("more than {per_s} actions a second");
        Refusal {
            retry_ms: Some(retry_ms),
            ..Refusal::new("rate_limited", message)
        }
    }

    fn busy() -> Self {
        let message = "the store cannot take it now".to_owned();
        Refusal {
            retry_ms: Some(BUSY_RETRY_MS),
            ..Refusal::new("busy", message)
        }
    }

    fn new(code: &'static str, message: String) -> Self {
        Refusal {
            code,
            message,
            retry_ms: None,
        }
    }

    fn frame(self, room: Option<String>, n: Option<u64>) -> ServerFrame {
        let Refusal {
            code,
            message,
            retry_ms,
        } = self;
        metrics::counter!(telemetry::REFUSED, "code" => code).increment(1);
        ServerFrame::Error {
            code: code.to_owned(),
            message,
            room,
            n,
            retry_ms,
        }
    }
}

fn judge(sequencer: &Sequencer, request: &Request, n: u64) -> Verdict {
    if matches!(request, Request::Act { .. }) {
        sequencer.act(n)
    } else {
        sequencer.any(n)
    }
}

fn enough(_: TooFast) -> Result<(), Bye> {
    const RETRY_MS: u64 = 5_000;
    let reason = "too many actions, and they do not stop";
    Err(Bye::new(outlast_protocol::CloseCode::RateLimited, reason).retry(RETRY_MS))
}
