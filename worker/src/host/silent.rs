//! Members of whom nothing is heard, as they are held against their sessions' records (S10).

use outlast_store::Request;

use super::{Host, Life};
use crate::{WorkerSettings, batch::Requester, partition::Silent};

impl Host {
    /// Members who have done nothing here for so long.
    pub(crate) fn silent(&self, now_ms: u64, for_ms: u64) -> impl Iterator<Item = Silent> {
        let runs = matches!(self.life, Life::Running(_));
        let members = self.seats.all().filter(move |(_, seat)| {
            runs && seat.joined.is_some() && now_ms.saturating_sub(seat.at) >= for_ms
        });
        members.map(|(sid, seat)| Silent {
            room: self.name.clone(),
            sid: *sid,
            generation: seat.generation,
            away: seat.away,
        })
    }

    /// True if the session is over, so that the request counts no more (S6). That it is over is heard again where
    /// the room failed at it before.
    pub(super) fn is_over(&self, asker: &Requester, request: &Request) -> bool {
        let seat = self.seats.get(&asker.sid);
        let over = seat.filter(|seat| seat.over_at.is_some());
        let again = matches!(request, Request::Over { .. });
        over.is_some_and(|seat| !again || seat.joined.is_none())
    }

    /// When the room has to be in somebody's memory at the latest, so that its members are looked at.
    pub(super) fn look_at_ms(&mut self, now_ms: u64, settings: &WorkerSettings) -> Option<u64> {
        let every_ms = settings.look_ms().filter(|_| self.seats.members() > 0);
        self.look_ms = every_ms.map(|every_ms| {
            let next_ms = now_ms.saturating_add(every_ms);
            // The store's clock may be set back.
            let known = self.look_ms.filter(|at_ms| *at_ms > now_ms);
            known.map_or(next_ms, |at_ms| at_ms.min(next_ms))
        });
        self.look_ms
    }
}
