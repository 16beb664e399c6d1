use std::{collections::HashMap, sync::Arc};

use outlast_protocol::Sid;
use outlast_store::{Answer, Nudge, Reply};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::wake::Wake;
use crate::{bye::Bye, drain::Window, gateway::AttachId};

/// Which session has which socket here.
#[derive(Default)]
pub(crate) struct SessionRegistry {
    inner: Mutex<Inner>,
}

struct Inner {
    attached: HashMap<Sid, Attached>,
    strays: Strays,
    stay: Stay,
    /// When the last socket came.
    registered: Instant,
}

impl Default for Inner {
    fn default() -> Self {
        Inner {
            attached: HashMap::new(),
            strays: Strays::default(),
            stay: Stay::default(),
            registered: Instant::now(),
        }
    }
}

/// The time that sockets may stay.
#[derive(Default)]
enum Stay {
    /// As long as they like.
    #[default]
    Open,
    /// Until they move, in this window (D3).
    Until(Window),
    /// No longer.
    Over,
}

struct Attached {
    generation: u64,
    wake: Arc<Wake>,
}

/// Newer sockets that were heard of, or were here, of sessions that have none here now: an older one may only be
/// about to register.
#[derive(Default)]
struct Strays {
    /// The newest generation that was heard of.
    newest: HashMap<Sid, u64>,
    /// The same, of a while ago.
    older: HashMap<Sid, u64>,
}

/// A session's entry; dropping it removes it.
pub(crate) struct Registration {
    sockets: Arc<SessionRegistry>,
    who: AttachId,
}

/// Most strays that are remembered. Those above are forgotten: a socket that should have heard of
/// one has no say any more, and finds out when it asks for something.
const STRAYS_MAX: usize = 10_000;

impl SessionRegistry {
    /// From now on what the session's rooms answer goes to this socket, and an older one of the session
    /// has to go. `None` when there is a newer one already, here or elsewhere.
    pub(crate) fn register(
        self: &Arc<Self>,
        who: AttachId,
        wake: Arc<Wake>,
    ) -> Option<Registration> {
        let AttachId { sid, generation } = who;
        let mut inner = self.inner.lock();
        if inner.strays.generation(&sid) > generation {
            return None;
        }
        if let Some(other) = inner.attached.get(&sid) {
            if other.generation >= generation {
                return None;
            }
            other.wake.close(Bye::taken_over());
        }
        inner.registered = Instant::now();
        match inner.stay {
            Stay::Open => {}
            Stay::Until(window) => wake.move_on(window.late(inner.registered, rand::random())),
            Stay::Over => wake.close(Bye::moved()),
        }
        inner.attached.insert(sid, Attached { generation, wake });
        Some(Registration {
            sockets: self.clone(),
            who,
        })
    }

    /// When the last socket came.
    pub(crate) fn registered(&self) -> Instant {
        self.inner.lock().registered
    }

    /// Everybody who is here.
    pub(crate) fn all(&self) -> Vec<AttachId> {
        let inner = self.inner.lock();
        let who = |(sid, attached): (&Sid, &Attached)| AttachId {
            sid: *sid,
            generation: attached.generation,
        };
        inner.attached.iter().map(who).collect()
    }

    /// Tells one socket to go.
    pub(crate) fn close(&self, who: AttachId, bye: Bye) {
        if let Some(attached) = self.inner.lock().attached.get(&who.sid)
            && attached.generation == who.generation
        {
            attached.wake.close(bye);
        }
    }

    /// Asks every socket to move in this window, also those that come later; returns how many there are.
    pub(crate) fn move_all(&self, window: Window) -> usize {
        let mut inner = self.inner.lock();
        inner.stay = Stay::Until(window);
        let sockets = inner.attached.len();
        for (attached, moving) in inner.attached.values().zip(window.moves(sockets)) {
            attached.wake.move_on(moving);
        }
        sockets
    }

    /// Tells every socket to go, also those that come later.
    pub(crate) fn close_all(&self) {
        let mut inner = self.inner.lock();
        inner.stay = Stay::Over;
        inner
            .attached
            .values()
            .for_each(|attached| attached.wake.close(Bye::moved()));
    }

    /// Tells every socket that replies may have been lost.
    pub(crate) fn missed(&self) {
        let inner = self.inner.lock();
        inner
            .attached
            .values()
            .for_each(|attached| attached.wake.missed());
    }

    /// A room answers one session.
    pub(crate) fn reply(&self, reply: Reply) {
        let inner = self.inner.lock();
        let Some(attached) = inner.attached.get(&reply.sid) else {
            return;
        };
        match reply.answer {
            Answer::Superseded { generation } if generation < attached.generation => {}
            Answer::Superseded { .. } => attached.wake.close(Bye::taken_over()),
            Answer::Joined { .. }
            | Answer::Outcome(_)
            | Answer::Gap { .. }
            | Answer::NotTaken { .. }
            | Answer::Seated { .. } => attached.wake.post(reply),
        }
    }

    /// True if this socket is here.
    pub(crate) fn holds(&self, who: AttachId) -> bool {
        let inner = self.inner.lock();
        let held = inner.attached.get(&who.sid);
        held.is_some_and(|attached| attached.generation == who.generation)
    }

    /// True if the session has a socket here, whichever.
    pub(crate) fn has(&self, sid: &Sid) -> bool {
        self.inner.lock().attached.contains_key(sid)
    }

    /// Another process says something about one session.
    pub(crate) fn nudge(&self, nudge: Nudge) {
        let (sid, generation, bye) = match nudge {
            Nudge::TakenOver { sid, generation } => (sid, generation, Bye::taken_over()),
            Nudge::Over { sid } => (sid, u64::MAX, Bye::ended()),
            Nudge::Released => return,
        };
        let mut inner = self.inner.lock();
        match inner.attached.get(&sid) {
            Some(attached) if attached.generation < generation => attached.wake.close(bye),
            Some(_) => return,
            None => {}
        }
        inner.strays.add(sid, generation, STRAYS_MAX);
    }

    /// Forgets strays that no socket has come for. Called every few seconds.
    pub(crate) fn age(&self) {
        let strays = &mut self.inner.lock().strays;
        strays.older = std::mem::take(&mut strays.newest);
    }
}

impl Strays {
    fn add(&mut self, sid: Sid, generation: u64, max: usize) {
        let generation = generation.max(self.generation(&sid));
        if self.newest.len() < max || self.newest.contains_key(&sid) {
            self.newest.insert(sid, generation);
        }
    }

    /// The newest generation of a session that was heard of; 0 when none was.
    fn generation(&self, sid: &Sid) -> u64 {
        let of = |strays: &HashMap<Sid, u64>| strays.get(sid).copied().unwrap_or(0);
        of(&self.newest).max(of(&self.older))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let AttachId { sid, generation } = self.who;
        let mut inner = self.sockets.inner.lock();
        let held = inner.attached.get(&sid);
        if held.is_some_and(|held| held.generation == generation) {
            inner.attached.remove(&sid);
            // Those that were here leave room for those that were heard of.
            inner.strays.add(sid, generation, STRAYS_MAX / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::hub::Command;

    fn leaves(wake: &Wake) -> bool {
        wake.register(Waker::noop());
        matches!(wake.take_order(), Some(Command::Leave(_)))
    }

    #[test]
    fn s5_the_newest_socket_holds_the_session_whatever_is_heard_first() {
        let sockets = Arc::new(SessionRegistry::default());
        let sid = Sid::from_u128(7);
        let who = |generation| AttachId { sid, generation };
        let [first, second] = [Arc::new(Wake::default()), Arc::new(Wake::default())];
        let held_first = sockets.register(who(1), first.clone()).unwrap();
        let held_second = sockets.register(who(2), second.clone()).unwrap();
        assert!(leaves(&first) && !leaves(&second));
        assert!(sockets.register(who(1), first.clone()).is_none());
        drop(held_first);
        assert_eq!(sockets.all(), [who(2)]);

        sockets.nudge(Nudge::TakenOver { sid, generation: 2 });
        assert!(!leaves(&second));
        sockets.nudge(Nudge::TakenOver { sid, generation: 3 });
        assert!(leaves(&second));
        drop(held_second);

        // A nudge overtakes the socket that it is about.
        sockets.nudge(Nudge::TakenOver { sid, generation: 5 });
        sockets.age();
        assert!(sockets.register(who(4), first.clone()).is_none());
        let held_fifth = sockets.register(who(5), second).unwrap();
        drop(held_fifth);
        assert!(sockets.register(who(4), first.clone()).is_none());
        sockets.nudge(Nudge::Over { sid });
        assert!(sockets.register(who(6), first).is_none());
        sockets.age();
        sockets.age();
        assert!(sockets.all().is_empty());
    }
}
