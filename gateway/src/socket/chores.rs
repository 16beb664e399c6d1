//! What a socket does with the store, besides what its client asks for: what has to be asked again, what
//! a room has to show anew, what the session's record has to know.

use std::time::Duration;

use outlast_broker::Request;
use outlast_sessions::SessionError;
use tokio::time::Instant;

use super::{
    Socket,
    job::{Job, Jobs, What},
    room::Stand,
};
use crate::{bye::Bye, hub::Seat};

/// What has to be done next.
pub(super) enum Chore {
    /// Nothing, before something else happens.
    Never,
    /// Something, then.
    At(Instant),
    /// This.
    Now(Job),
}

/// How long to wait until a chore is tried again.
const RETRY: Duration = Duration::from_millis(500);

impl Socket {
    /// Something that was under way with the store is done.
    pub(super) fn did(
        &mut self,
        what: What,
        did: Result<Option<Seat>, SessionError>,
        now: Instant,
    ) -> Result<(), Bye> {
        let seat = match did {
            Ok(seat) => seat,
            Err(SessionError::Superseded) => return Err(Bye::taken_over()),
            Err(SessionError::Gone) if matches!(what, What::End) => return Err(Bye::ended()),
            Err(SessionError::Gone) => return Err(Bye::session_gone()),
            Err(error) => {
                tracing::debug!(sid = %self.who.sid, ?what, %error, "the store did not do it");
                return self.failed(what, &error, now);
            }
        };
        match what {
            What::Enter { slot, n, join } => {
                if let Some(room) = self.rooms.get(slot) {
                    room.seat = seat;
                }
                self.forward(slot, n, join, now);
            }
            What::Forget { slot } => {
                if let Some(room) = self.rooms.get(slot) {
                    room.recorded = false;
                    room.seat = None;
                }
            }
            What::End => return Err(Bye::ended()),
            What::Act { .. } | What::AskAgain | What::View { .. } | What::Renew => {}
        }
        Ok(())
    }

    fn failed(&mut self, what: What, error: &SessionError, now: Instant) -> Result<(), Bye> {
        match what {
            What::Enter { slot, n, .. } if matches!(error, SessionError::TooManyRooms { .. }) => {
                return self.refuse_room(slot, n);
            }
            What::Enter { slot, n, .. } | What::Act { slot, n } => {
                return self.refuse_busy(slot, n);
            }
            What::View { slot } => {
                if let Some(room) = self.rooms.get(slot)
                    && let Stand::Lost(lost) = &mut room.stand
                {
                    lost.asked_at = None;
                }
            }
            What::Renew => self.unsaved = Some(self.identity.clone()),
            What::AskAgain | What::Forget { .. } | What::End => {}
        }
        self.chores_from = now + RETRY;
        Ok(())
    }

    /// What has to be done with the store besides what the client asks for.
    pub(super) fn next_chore(&mut self, now: Instant) -> Chore {
        if self.job.is_some() {
            return Chore::Never;
        }
        if now < self.chores_from {
            return Chore::At(self.chores_from);
        }
        if let Some(identity) = self.unsaved.take() {
            return Chore::Now(self.jobs().renew(identity));
        }
        let jobs = Jobs {
            shared: &self.shared,
            who: self.who,
        };
        // One room at a time shows itself: that takes memory.
        let showing = self
            .rooms
            .iter()
            .filter_map(|(_, room)| room.shows_until())
            .max();
        let mut next = showing;
        for (slot, room) in self.rooms.iter() {
            if room.is_over() {
                return Chore::Now(jobs.forget(slot, room.name.clone()));
            }
            let again = room.asked.again(now);
            if !again.is_empty() {
                return Chore::Now(jobs.append(What::AskAgain, room.name.clone(), again));
            }
            if showing.is_none_or(|until| now >= until)
                && let Stand::Lost(lost) = &mut room.stand
            {
                lost.asked_at = Some(now);
                let view = vec![Request::View];
                return Chore::Now(jobs.append(What::View { slot }, room.name.clone(), view));
            }
            next = [next, room.asked.next()].into_iter().flatten().min();
        }
        next.map_or(Chore::Never, Chore::At)
    }

    /// Replies may have been lost.
    pub(super) fn ask_again(&mut self, now: Instant) {
        for (_, room) in self.rooms.iter() {
            room.asked.hurry(now);
            if let Stand::Lost(lost) = &mut room.stand {
                lost.asked_at = None;
            }
        }
    }

    pub(super) fn jobs(&self) -> Jobs<'_> {
        Jobs {
            shared: &self.shared,
            who: self.who,
        }
    }
}
