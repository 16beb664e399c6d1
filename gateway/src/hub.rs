//! What this gateway hears of the store, and which sockets it concerns.
//!
//! One feed for each room that any socket is in; sockets pull from it. A session's replies and nudges go
//! to the one socket that holds it here.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use outlast_broker::{
    Announcement, BrokerError, Heard, Listener, NodeId, Nudge, Reply, SharedBroker, Subscriptions,
};
use outlast_protocol::{CloseCode, Codec, RoomName, Sid};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

mod core;
mod feed;
mod item;
mod past;
mod wake;
mod window;

use self::feed::{Feed, Source};
pub(crate) use self::{
    core::{Cursor, Pulled},
    item::Item,
    wake::{Order, Wake},
};
use crate::{bye::Bye, gateway::Who};

/// The rooms and sessions of one gateway.
pub(crate) struct Hub {
    source: Source,
    subscriptions: OnceLock<Arc<dyn Subscriptions>>,
    feeds: Mutex<HashMap<RoomName, Arc<Feed>>>,
    sockets: Mutex<HashMap<Sid, Attached>>,
}

struct Attached {
    generation: u64,
    wake: Arc<Wake>,
}

/// A socket's place in a room's feed; dropping it gives the place up.
pub(crate) struct Seat {
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    key: u64,
}

/// A session's entry in the hub; dropping it removes it.
pub(crate) struct Registration {
    hub: Arc<Hub>,
    who: Who,
}

/// What the process has to do about something that was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing: the sockets that it concerns know.
    Told,
    /// Nudges may have been lost: every session has to be looked after.
    Missed,
}

/// How many reads of logs may be under way at once (D4).
const READS_MAX: usize = 16;
/// How often feeds let go of what they no longer need.
const AGE_EVERY: Duration = Duration::from_secs(5);

impl Hub {
    pub(crate) fn new(broker: SharedBroker) -> Arc<Self> {
        Arc::new(Hub {
            source: Source {
                broker,
                permits: Arc::new(Semaphore::new(READS_MAX)),
            },
            subscriptions: OnceLock::new(),
            feeds: Mutex::default(),
            sockets: Mutex::default(),
        })
    }

    /// Starts to listen. Called once, before anything else.
    pub(crate) async fn listen(&self, me: &NodeId) -> Result<Box<dyn Listener>, BrokerError> {
        let (subscriptions, listener) = self.source.broker.listen(me).await?;
        self.subscriptions.get_or_init(|| subscriptions);
        Ok(listener)
    }

    /// Tells those whom it concerns.
    pub(crate) fn hear(&self, heard: Heard) -> News {
        match heard {
            Heard::Room(news) => self.announce(news),
            Heard::Reply(reply) => self.reply(reply),
            Heard::Nudge(nudge) => self.nudge(nudge),
            Heard::Missed => {
                self.feeds()
                    .iter()
                    .for_each(|feed| feed.missed(&self.source));
                self.sockets
                    .lock()
                    .values()
                    .for_each(|attached| attached.wake.missed());
                return News::Missed;
            }
        }
        News::Told
    }

    /// Lets feeds forget, for as long as it is polled.
    pub(crate) async fn age(&self) {
        loop {
            tokio::time::sleep(AGE_EVERY).await;
            self.feeds().iter().for_each(|feed| feed.age());
        }
    }

    /// From now on the session's replies go to this socket. An older socket of the session has to go;
    /// `None` when there is a newer one already.
    pub(crate) fn register(self: &Arc<Self>, who: Who, wake: Arc<Wake>) -> Option<Registration> {
        let Who { sid, generation } = who;
        let mut sockets = self.sockets.lock();
        if let Some(other) = sockets.get(&sid) {
            if other.generation >= generation {
                return None;
            }
            other.wake.close(Bye::taken_over());
        }
        sockets.insert(sid, Attached { generation, wake });
        Some(Registration {
            hub: self.clone(),
            who,
        })
    }

    /// Takes a place in a room; the socket is woken at its `slot`. From when this returns, nothing that
    /// is committed to the room goes unheard.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        room: &RoomName,
        wake: Arc<Wake>,
        slot: u8,
    ) -> Result<Seat, BrokerError> {
        let feed = {
            let mut feeds = self.feeds.lock();
            let feed = feeds
                .entry(room.clone())
                .or_insert_with(|| Arc::new(Feed::new(room.clone())));
            // Within the lock, so that nobody takes the feed for abandoned.
            let key = feed.add(wake, slot);
            Seat {
                hub: self.clone(),
                feed: feed.clone(),
                key,
            }
        };
        let subscriptions = self.subscriptions.get().ok_or_else(|| {
            BrokerError::Unavailable("the gateway does not listen yet".to_owned())
        })?;
        feed.feed
            .ready(&self.source, subscriptions.as_ref())
            .await?;
        Ok(feed)
    }

    /// The sessions that have a socket here.
    pub(crate) fn attached(&self) -> Vec<Who> {
        let sockets = self.sockets.lock();
        let who = |(sid, attached): (&Sid, &Attached)| Who {
            sid: *sid,
            generation: attached.generation,
        };
        sockets.iter().map(who).collect()
    }

    /// Tells one session's socket to go.
    pub(crate) fn close(&self, who: Who, bye: Bye) {
        if let Some(attached) = self.sockets.lock().get(&who.sid)
            && attached.generation == who.generation
        {
            attached.wake.close(bye);
        }
    }

    /// Tells every session's socket to go.
    pub(crate) fn close_all(&self, mut bye: impl FnMut() -> Bye) {
        self.sockets
            .lock()
            .values()
            .for_each(|attached| attached.wake.close(bye()));
    }

    fn announce(&self, news: Announcement) {
        let feed = self.feeds.lock().get(&news.room).cloned();
        if let Some(feed) = feed {
            feed.announce(&self.source, news);
        }
    }

    fn reply(&self, reply: Reply) {
        if let Some(attached) = self.sockets.lock().get(&reply.sid) {
            attached.wake.post(reply);
        }
    }

    fn nudge(&self, nudge: Nudge) {
        let sockets = self.sockets.lock();
        match nudge {
            Nudge::TakenOver { sid, generation } => {
                if let Some(attached) = sockets.get(&sid)
                    && attached.generation < generation
                {
                    attached.wake.close(Bye::taken_over());
                }
            }
            Nudge::Over { sid } => {
                if let Some(attached) = sockets.get(&sid) {
                    attached
                        .wake
                        .close(Bye::new(CloseCode::Ended, "the session has been ended"));
                }
            }
            Nudge::Released => {}
        }
    }

    fn feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().values().cloned().collect()
    }
}

impl Seat {
    /// Notes what the room calls this session.
    pub(crate) fn set_member(&self, member: u32) {
        self.feed.set_member(self.key, member);
    }

    /// Hands out entries behind the cursor, in order, until `take` wants no more.
    pub(crate) fn pull(&self, cursor: &mut Cursor, take: impl FnMut(&Item) -> bool) -> Pulled {
        self.feed.pull(&self.hub.source, self.key, cursor, take)
    }

    /// Hands out the signals behind `seen`, as frames.
    pub(crate) fn signals(&self, seen: &mut u64, codec: Codec, take: impl FnMut(bytes::Bytes)) {
        self.feed.signals(seen, codec, take);
    }

    /// How many signals there have been: who begins here is not told of earlier ones.
    pub(crate) fn signals_end(&self) -> u64 {
        self.feed.signals_end()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut feeds = self.hub.feeds.lock();
        if self.feed.remove(self.key) {
            feeds.remove(&self.feed.room);
            if let Some(subscriptions) = self.hub.subscriptions.get() {
                subscriptions.unsubscribe(&self.feed.room);
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sockets = self.hub.sockets.lock();
        if sockets
            .get(&self.who.sid)
            .is_some_and(|held| held.generation == self.who.generation)
        {
            sockets.remove(&self.who.sid);
        }
    }
}
