//! One attached socket: its loop.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use outlast_protocol::{CloseCode, ServerFrame};
use outlast_sessions::{Identity, SessionError};
use outlast_store::Answer;
use tokio::time::{Instant, Sleep};

mod inbound;
mod job;
mod maintenance;
mod patience;
mod pending_actions;
pub(crate) mod room;
mod rooms;

pub(crate) use self::rooms::Rooms;
use self::{
    job::{Job, What},
    room::{TURN_BYTES, Turn},
};
use crate::{
    auth,
    bye::{Bye, End},
    drain::Moving,
    gateway::{AttachId, Shared},
    heartbeat::{Due, Heartbeat},
    hub::{Command, Registration, Subscription, Wake},
    rate::Rate,
    telemetry,
    wire::{Incoming, Wire},
};

/// One attached socket.
///
/// It has no queue: what its rooms say lies in their feeds, and it writes from there whenever the client
/// has read what was written before (F3).
pub(crate) struct Socket {
    pub(crate) wire: Box<Wire>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) who: AttachId,
    pub(crate) identity: Identity,
    pub(crate) wake: Arc<Wake>,
    pub(crate) rooms: Rooms,
    /// Rooms that may have something for the client, a bit for each.
    pub(crate) ready: u128,
    /// The room that had the last turn.
    last_slot: u8,
    /// What the newest token said and the session's record does not know yet.
    unsaved: Option<Identity>,
    job: Option<Job>,
    /// Attempts to reach rooms that the store did not reach, one for each partition at most.
    attempts: Vec<Job>,
    /// When the store may be asked for the next chore, after it did not do one.
    chores_from: Instant,
    /// When the next chore is due, if one is known of.
    chore_at: Option<Instant>,
    rate: Rate,
    heartbeat: Heartbeat,
    /// Since when the client has not read what waits for it.
    blocked: Option<Instant>,
    /// True if the client was asked to move (D3).
    moving: bool,
    timer: Pin<Box<Sleep>>,
    registration: Registration,
}

/// What the loop wakes up for.
enum Event {
    /// Something came from the client.
    Came(Incoming),
    /// Something was written.
    Wrote,
    /// The connection is broken.
    Broken,
    /// What was under way with the store is done.
    Did(What, Result<Option<Subscription>, SessionError>),
    /// The gateway has something to say.
    Ordered(Command),
    /// The client is asked to go on at another gateway (D3).
    Moves(Moving),
    /// There may be something for the client.
    News,
    /// It is time for something.
    Tick,
}

/// While more than this waits to be written, nothing is read: answers to a client that does not read are
/// not piled up.
const UNSENT_MAX: usize = TURN_BYTES + 16 * 1024;

impl Socket {
    pub(crate) fn new(
        wire: Box<Wire>,
        shared: Arc<Shared>,
        who: AttachId,
        identity: Identity,
        wake: Arc<Wake>,
        registration: Registration,
    ) -> Self {
        let now = Instant::now();
        let heartbeat = Duration::from_millis(shared.settings.heartbeat_ms);
        Socket {
            rate: Rate::new(shared.settings.actions_per_s, now),
            heartbeat: Heartbeat::new(heartbeat, now),
            timer: Box::pin(tokio::time::sleep_until(now)),
            chores_from: now,
            // Whatever an attach has left to do is looked for at once.
            chore_at: Some(now),
            wire,
            shared,
            who,
            identity,
            wake,
            rooms: Rooms::default(),
            ready: 0,
            last_slot: 0,
            unsaved: None,
            job: None,
            attempts: Vec::new(),
            blocked: None,
            moving: false,
            registration,
        }
    }

    /// Serves the client until one of the two leaves.
    pub(crate) async fn run(&mut self) -> End {
        // What is there already goes along with the greeting.
        self.deliver(Instant::now());
        loop {
            let event = std::future::poll_fn(|cx| self.poll(cx)).await;
            if let Err(end) = self.handle(event) {
                return end;
            }
            if self.ready != 0 && self.wire.unsent() == 0 {
                // Others have their turn in between (D4) …
                tokio::task::yield_now().await;
            } else {
                // … also when this client sends without end (F4).
                tokio::task::consume_budget().await;
            }
        }
    }

    /// Says why, if the client is still there, and leaves the session to whoever has it now.
    pub(crate) async fn finish(self: Box<Self>, end: End) {
        let AttachId { sid, generation } = self.who;
        match &end {
            End::Bye(bye) => {
                metrics::counter!(telemetry::CLOSES, "code" => bye.code.name()).increment(1);
                tracing::debug!(%sid, generation, code = bye.code.name(), "socket closed by the server");
            }
            End::Closed => tracing::debug!(%sid, generation, "socket closed or lost"),
        }
        if self.moving {
            metrics::counter!(telemetry::MOVED, "outcome" => end.of_a_move()).increment(1);
        }
        let Socket {
            wire,
            shared,
            who,
            job,
            attempts,
            rooms,
            wake,
            registration,
            ..
        } = *self;
        let lost = Instant::now();
        // A few at a time: where thousands are lost at once, those who are still there come first (F4).
        let turn = match &end {
            End::Bye(_) => None,
            End::Closed => {
                let turn = shared.farewells.acquire().await;
                tokio::task::yield_now().await;
                Some(turn)
            }
        };
        drop((rooms, attempts));
        // The client was promised its end; of anything else nobody would hear.
        let promised = job.filter(|job| matches!(job.what, What::End));
        let leave = async {
            match promised {
                Some(Job { doing, .. }) => {
                    drop(registration);
                    drop(doing.await);
                }
                None if end.keeps_session() => {
                    Box::pin(shared.part(who, lost, &wake, registration)).await
                }
                None => drop(registration),
            }
        };
        let farewell = async {
            match &end {
                End::Bye(bye) => Box::pin(wire.close(bye)).await,
                End::Closed => drop((wire, turn)),
            }
        };
        tokio::join!(leave, farewell);
    }

    /// Waits for the next event; what is written first is what the client has waited for longest.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.wake.register(cx.waker());
        if let Some(order) = self.wake.take_order() {
            return Poll::Ready(Event::Ordered(order));
        }
        if let Some(moving) = self.wake.take_move() {
            return Poll::Ready(Event::Moves(moving));
        }
        if let Some(job) = &mut self.job
            && let Poll::Ready(did) = job.doing.as_mut().poll(cx)
            && let Some(job) = self.job.take()
        {
            return Poll::Ready(Event::Did(job.what, did));
        }
        for index in 0..self.attempts.len() {
            if let Poll::Ready(did) = self.attempts[index].doing.as_mut().poll(cx) {
                let job = self.attempts.swap_remove(index);
                return Poll::Ready(Event::Did(job.what, did));
            }
        }
        if self.wire.unsent() > 0 {
            match self.wire.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Wrote),
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Broken),
                Poll::Pending => {
                    self.blocked.get_or_insert_with(Instant::now);
                }
            }
        } else {
            self.ready |= self.wake.take_rooms();
            if self.ready != 0 || self.wake.has_mail() {
                return Poll::Ready(Event::News);
            }
        }
        if self.is_listening()
            && let Poll::Ready(came) = self.wire.poll_receive(cx)
        {
            return Poll::Ready(Event::Came(came));
        }
        let now = Instant::now();
        let next = self.next_tick(now);
        if next <= now {
            return Poll::Ready(Event::Tick);
        }
        // A timer that goes off too early does no harm, and moving it for every frame would.
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Event::Tick)
    }

    fn handle(&mut self, event: Event) -> Result<(), End> {
        let now = Instant::now();
        match event {
            Event::Came(Incoming::Message(message)) => {
                self.heartbeat.heard(now);
                self.take(&message, now)?;
            }
            Event::Came(Incoming::Sign) => self.heartbeat.heard(now),
            Event::Came(Incoming::Wrong(bye)) => return Err(bye.into()),
            Event::Came(Incoming::Closed) | Event::Broken => return Err(End::Closed),
            Event::Wrote => {
                self.blocked = None;
                self.heartbeat.sent(now);
            }
            Event::Did(what, did) => self.did(what, did, now)?,
            Event::Ordered(Command::Leave(bye)) => return Err(bye.into()),
            Event::Ordered(Command::AskAgain) => self.ask_again(now),
            Event::Moves(moving) => {
                self.moving = true;
                self.wire.send(&moving.frame(now));
            }
            Event::News => self.deliver(now),
            Event::Tick => self.tick(now)?,
        }
        self.look_after_rooms(now)?;
        Ok(())
    }

    /// Writes what there is for the client, up to one turn.
    fn deliver(&mut self, now: Instant) {
        while self.wire.unsent() < TURN_BYTES
            && let Some(reply) = self.wake.take_reply()
        {
            let Some(slot) = self.rooms.find(&reply.room) else {
                continue;
            };
            if let Answer::Seated { generation, .. } = &reply.answer
                && *generation != self.who.generation
            {
                continue;
            }
            if self.rooms.get(slot).is_some_and(|room| room.holds()) && self.rooms.hold_too_much() {
                // It is asked for again.
                metrics::counter!(telemetry::REPLIES_DROPPED).increment(1);
            } else if let Some(room) = self.rooms.get(slot)
                && let Some(frame) = room.receive(reply.answer, now)
            {
                self.wire.send(&frame);
            }
            self.ready |= 1 << slot;
        }
        while self.ready != 0 && self.wire.unsent() < TURN_BYTES {
            let slot = next_slot(self.ready, self.last_slot);
            self.ready &= !(1 << slot);
            self.last_slot = slot;
            if let Some(room) = self.rooms.get(slot)
                && room.pull(self.wire.as_mut(), now) == Turn::More
            {
                self.ready |= 1 << slot;
                break;
            }
        }
    }

    fn tick(&mut self, now: Instant) -> Result<(), Bye> {
        if self
            .identity
            .expires_at
            .is_some_and(|at| auth::left(at).is_zero())
        {
            return Err(Bye::unauthorized("the token has expired"));
        }
        let blocked = Duration::from_millis(self.shared.settings.blocked_ms);
        if self.blocked.is_some_and(|since| now >= since + blocked) {
            let reason = format!("nothing was read for {} s", blocked.as_secs());
            return Err(Bye::new(CloseCode::TooSlow, reason));
        }
        // Who reads too slowly may not have come to the ping yet.
        if !self.is_listening() || self.blocked.is_some() {
            self.heartbeat.heard(now);
        }
        match self.heartbeat.due(now) {
            Due::Nothing => {}
            Due::Silent => {
                return Err(Bye::new(
                    CloseCode::Silent,
                    "nothing was heard for two heartbeats",
                ));
            }
            Due::Ping => {
                self.wire.send(&ServerFrame::Ping {});
                self.heartbeat.pinged(now);
            }
        }
        Ok(())
    }

    /// When it is time for something; nothing else needs this socket before.
    fn next_tick(&self, now: Instant) -> Instant {
        let mut next = self.heartbeat.next();
        if let Some(since) = self.blocked {
            next = next.min(since + Duration::from_millis(self.shared.settings.blocked_ms));
        }
        if let Some(at) = self.identity.expires_at {
            next = next.min(now + auth::left(at));
        }
        if let Some(at) = self.chore_at {
            next = next.min(at);
        }
        next
    }

    /// True if the client's next frame may be taken.
    fn is_listening(&self) -> bool {
        self.job.is_none() && self.wire.unsent() <= UNSENT_MAX
    }
}

/// The next room that has news: each has its turn, so none holds up the others for long (R6).
fn next_slot(news: u128, last: u8) -> u8 {
    let first = (last + 1) % 128;
    let distance = news.rotate_right(first.into()).trailing_zeros() as u8;
    (first + distance) % 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r6_each_room_with_news_has_its_turn() {
        let news = 1 << 3 | 1 << 64 | 1 << 127;
        let turns = [(0, 3), (2, 3), (3, 64), (64, 127), (126, 127), (127, 3)];
        for (last, next) in turns {
            assert_eq!(next_slot(news, last), next, "after {last}");
        }
    }
}
