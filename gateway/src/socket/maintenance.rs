//! What a socket does with the store, besides what its client asks for: what has to be asked again, what
//! a room has to show anew, what the session's record has to know.

use std::time::Duration;

use outlast_protocol::CloseCode;
use outlast_sessions::SessionError;
use outlast_store::{Request, StoreError};
use tokio::time::Instant;

use super::{
    Socket,
    job::{Job, Jobs, What},
    room::Word,
};
use crate::{bye::Bye, hub::Subscription};

/// What has to be done next.
enum Task {
    /// Nothing, before something else happens.
    Never,
    /// Something, then.
    At(Instant),
    /// This.
    Now(Job),
    /// The connection ends.
    End(Bye),
}

/// Pause before a chore is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// When a client may come back whose room and log contradict each other, in milliseconds.
const CONTRADICTED_MS: u64 = 5_000;

impl Socket {
    /// Something that was under way with the store is done.
    pub(super) fn did(
        &mut self,
        what: What,
        did: Result<Option<Subscription>, SessionError>,
        now: Instant,
    ) -> Result<(), Bye> {
        let seat = match did {
            Ok(seat) => seat,
            Err(SessionError::Superseded) => return Err(Bye::taken_over()),
            Err(SessionError::Gone) if matches!(what, What::End) => return Err(Bye::ended()),
            Err(SessionError::Gone) => return Err(Bye::session_gone()),
            Err(error) => {
                tracing::debug!(sid = %self.who.sid, ?what, %error, "store operation failed");
                return self.failed(what, &error, now);
            }
        };
        match what {
            What::Enter { slot, n, join } => {
                if let (Some(room), Some(seat)) = (self.rooms.get(slot), seat) {
                    room.subscribe(seat);
                }
                self.forward(slot, n, join, now);
            }
            What::Forget { slot } => {
                if let Some(room) = self.rooms.get(slot) {
                    room.recorded = false;
                    room.seat = None;
                }
            }
            What::Reach { slot, room, .. } => {
                if let Some(room) = self.rooms.at(slot, &room) {
                    room.reached(seat, now);
                    self.ready |= 1 << slot;
                }
            }
            What::End => return Err(Bye::ended()),
            What::Act { .. } | What::AskAgain { .. } | What::View { .. } | What::Renew => {}
        }
        Ok(())
    }

    fn failed(&mut self, what: What, error: &SessionError, now: Instant) -> Result<(), Bye> {
        if let SessionError::Store(StoreError::Unavailable(_)) = error
            && let What::Enter { slot, .. }
            | What::Act { slot, .. }
            | What::AskAgain { slot }
            | What::View { slot } = what
            && let Some(room) = self.rooms.get(slot)
        {
            room.unreached(now);
        }
        match what {
            What::Enter { slot, n, .. } if matches!(error, SessionError::TooManyRooms { .. }) => {
                return self.refuse_room(slot, n);
            }
            What::Enter { slot, n, .. } | What::Act { slot, n } => {
                return self.refuse_busy(slot, n);
            }
            What::Renew => self.unsaved = Some(self.identity.clone()),
            What::Reach { slot, room, .. } => {
                if let Some(room) = self.rooms.at(slot, &room) {
                    room.asked.awaits_no_answer();
                    room.unreached(now);
                }
                return Ok(());
            }
            What::AskAgain { .. } | What::View { .. } | What::Forget { .. } | What::End => {}
        }
        self.chores_from = now + RETRY;
        Ok(())
    }

    /// Starts what has to be done besides what the client asks for, and notes when to look again.
    pub(super) fn look_after_rooms(&mut self, now: Instant) -> Result<(), Bye> {
        self.chore_at = self.look_at_rooms(now);
        if self.job.is_some() {
            return Ok(());
        }
        match self.next_chore(now) {
            Task::Never => {}
            Task::At(at) => self.chore_at = self.chore_at.into_iter().chain([at]).min(),
            Task::Now(job) => self.job = Some(job),
            Task::End(bye) => return Err(bye),
        }
        Ok(())
    }

    /// Does what waits for nothing that is under way: replays go on that have waited for the room to show itself (R3),
    /// and rooms that the store did not reach are tried again, so that they hold up no other (R6). Returns when to look
    /// again.
    fn look_at_rooms(&mut self, now: Instant) -> Option<Instant> {
        let layout = self.shared.store.layout();
        let jobs = Jobs {
            shared: &self.shared,
            who: self.who,
        };
        let mut next = None;
        for (slot, room) in self.rooms.iter() {
            if room.is_ready(now) {
                self.ready |= 1 << slot;
            }
            let mut reach_at = room.reach_at();
            if let Some(at) = reach_at {
                let here = layout.partition(&room.name);
                let tries = |job: &Job| matches!(job.what, What::Reach { partition, .. } if partition == here);
                if self.attempts.iter().any(tries) {
                    reach_at = None;
                } else if now >= at {
                    reach_at = None;
                    room.asked.awaits_answer();
                    let wake = room.seat.is_none().then(|| self.wake.clone());
                    self.attempts
                        .push(jobs.reach(slot, here, room.name.clone(), wake));
                }
            }
            next = [next, reach_at, room.shortcut_ends()]
                .into_iter()
                .flatten()
                .min();
        }
        next
    }

    fn next_chore(&mut self, now: Instant) -> Task {
        if now < self.chores_from {
            return Task::At(self.chores_from);
        }
        if let Some(identity) = self.unsaved.take() {
            return Task::Now(self.jobs().renew(identity));
        }
        let jobs = Jobs {
            shared: &self.shared,
            who: self.who,
        };
        // One room after the other shows itself, since that takes memory; but none holds up the others for long (R6).
        let showing = self.rooms.iter().filter_map(|(_, room)| room.shows_until());
        let showing = showing.filter(|until| now < *until).max();
        let mut shows: Option<(Instant, u8)> = None;
        let mut next = None;
        for (slot, room) in self.rooms.iter() {
            if room.is_over() {
                return Task::Now(jobs.forget(slot, room.name.clone()));
            }
            match room.word(now) {
                Some(Word::Frame(frame)) => self.wire.send(&frame),
                Some(Word::End) => {
                    let reason = "a room and its log contradict each other";
                    return Task::End(Bye::new(CloseCode::Busy, reason).retry(CONTRADICTED_MS));
                }
                None => {}
            }
            if room.reach_at().is_some() {
                continue;
            }
            let again = room.ask_again(now);
            if !again.is_empty() {
                return Task::Now(jobs.append(What::AskAgain { slot }, room.name.clone(), again));
            }
            if let Some(at) = room.shows_at(now)
                && shows.is_none_or(|(first, _)| at < first)
            {
                shows = Some((at, slot));
            }
            next = [next, room.next()].into_iter().flatten().min();
        }
        if let Some((at, slot)) = shows {
            let at = Some(at).max(showing).unwrap_or(at);
            if now >= at
                && let Some(room) = self.rooms.get(slot)
            {
                room.shows(now);
                let (name, view) = (room.name.clone(), vec![Request::View]);
                let jobs = Jobs {
                    shared: &self.shared,
                    who: self.who,
                };
                return Task::Now(jobs.append(What::View { slot }, name, view));
            }
            next = next.into_iter().chain([at]).min();
        }
        next.map_or(Task::Never, Task::At)
    }

    /// Replies may have been lost.
    pub(super) fn ask_again(&mut self, now: Instant) {
        for (_, room) in self.rooms.iter() {
            room.hurry(now);
        }
    }

    pub(super) fn jobs(&self) -> Jobs<'_> {
        Jobs {
            shared: &self.shared,
            who: self.who,
        }
    }
}
