//! What this gateway hears of the store, and which sockets it concerns.
//!
//! One [`Feed`] for each room that any socket is in; sockets pull from it. What a room answers one session
//! goes to the one socket that holds it here ([`SessionRegistry`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use outlast_protocol::{Codec, Pos, RoomName};
use outlast_store::{Listener, NodeId, SharedStore, StoreError, StoreEvent, Subscriptions};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

mod core;
mod encoded;
mod feed;
mod segment;
mod session_registry;
mod wake;
mod window;

#[cfg(test)]
pub(crate) use self::core::{Core, LogRead};
use self::feed::{Feed, Source};
pub(crate) use self::{
    core::{Cursor, Pulled},
    encoded::Item,
    session_registry::{Registration, SessionRegistry},
    wake::{Command, Wake},
};
use crate::telemetry;

/// The rooms and sessions of one gateway.
pub(crate) struct Hub {
    pub(crate) sockets: Arc<SessionRegistry>,
    source: Source,
    subscriptions: OnceLock<Arc<dyn Subscriptions>>,
    log_entries: u64,
    feeds: Mutex<HashMap<RoomName, Arc<Feed>>>,
}

/// A socket's place in a room's feed; dropping it gives the place up.
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    key: u64,
}

/// A place in a room's feed, as a reader uses it.
pub(crate) trait LogReader {
    /// Notes what the room calls this session.
    fn set_member(&self, member: u32);
    /// Hands out entries after the cursor, in order, until `take` wants no more.
    fn pull(&self, cursor: &mut Cursor, take: impl FnMut(&Item) -> bool) -> Pulled;
    /// Hands out the signals after `seen`, as frames.
    fn signals(&self, seen: &mut u64, codec: Codec, take: impl FnMut(Bytes));
    /// About how much there is for this member after the cursor, in bytes; `None` where nothing of the log is known.
    fn bytes_ahead(&self, cursor: &Cursor, member: u32) -> Option<usize>;
    /// The size of what the room showed last, in bytes.
    fn shown_bytes(&self) -> Option<usize>;
    /// Notes the size of what the room shows.
    fn set_shown_bytes(&self, bytes: usize);
    /// Permission to have the room show itself in place of its log: a few at a time for each room.
    fn shortcut_permit(&self) -> Option<OwnedSemaphorePermit>;
    /// The number of signals so far: a reader that begins here is not told of earlier ones.
    fn signals_end(&self) -> u64;
}

/// What the process has to do about something that was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: the sockets that it concerns know.
    Told,
    /// Nudges may have been lost: every session has to be looked after.
    Missed,
}

/// Most reads of logs under way at once (D4).
const READS_MAX: usize = 16;
/// Interval at which is forgotten what is no longer needed.
const AGE_EVERY: Duration = Duration::from_secs(5);

impl Hub {
    /// A hub that hears nothing yet. Rooms' logs keep `log_entries` of their newest entries.
    pub(crate) fn new(store: SharedStore, log_entries: u64) -> Arc<Self> {
        Arc::new(Hub {
            log_entries,
            sockets: Arc::default(),
            source: Source {
                store,
                permits: Arc::new(Semaphore::new(READS_MAX)),
            },
            subscriptions: OnceLock::new(),
            feeds: Mutex::default(),
        })
    }

    /// Starts to listen. Called once, before anything else.
    pub(crate) async fn listen(&self, me: &NodeId) -> Result<Box<dyn Listener>, StoreError> {
        let (subscriptions, listener) = self.source.store.listen(me).await?;
        self.subscriptions.get_or_init(|| subscriptions);
        Ok(listener)
    }

    /// Tells those whom it concerns.
    pub(crate) fn hear(&self, heard: StoreEvent) -> Effect {
        match heard {
            StoreEvent::Room(news) => {
                let feed = self.feeds.lock().get(&news.room).cloned();
                if let Some(feed) = feed {
                    feed.announce(&self.source, news);
                }
            }
            StoreEvent::Reply(reply) => self.sockets.reply(reply),
            StoreEvent::Nudge(nudge) => self.sockets.nudge(nudge),
            StoreEvent::Missed => {
                self.feeds()
                    .iter()
                    .for_each(|feed| feed.missed(&self.source));
                self.sockets.missed();
                return Effect::Missed;
            }
        }
        Effect::Told
    }

    /// Forgets what is no longer needed, for as long as it is polled.
    pub(crate) async fn age(&self) {
        loop {
            tokio::time::sleep(AGE_EVERY).await;
            self.feeds().iter().for_each(|feed| feed.age());
            self.sockets.age();
        }
    }

    /// Takes a place in a room; the socket is woken at its `slot`. From when this returns, nothing that
    /// is committed to the room goes unheard.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        room: &RoomName,
        wake: Arc<Wake>,
        slot: u8,
    ) -> Result<Subscription, StoreError> {
        let seat = self.take_seat(room, wake, slot);
        let subscriptions = self
            .subscriptions
            .get()
            .ok_or_else(|| StoreError::Unavailable("the gateway does not listen yet".to_owned()))?;
        seat.feed
            .ready(&self.source, subscriptions.as_ref())
            .await?;
        Ok(seat)
    }

    fn take_seat(self: &Arc<Self>, room: &RoomName, wake: Arc<Wake>, slot: u8) -> Subscription {
        let mut feeds = self.feeds.lock();
        let new = || Arc::new(Feed::new(room.clone(), self.log_entries));
        let feed = feeds.entry(room.clone()).or_insert_with(new).clone();
        // Within the lock, so that nobody takes the feed for abandoned.
        let key = feed.add(wake, slot);
        metrics::gauge!(telemetry::ROOMS).set(feeds.len() as f64);
        Subscription {
            hub: self.clone(),
            feed,
            key,
        }
    }

    /// True if who has read so far has missed nothing, as far as this gateway knows without asking.
    pub(crate) fn is_current(&self, positions: &BTreeMap<RoomName, Option<Pos>>) -> bool {
        let feeds = self.feeds.lock();
        let current = |(room, pos): (&RoomName, &Option<Pos>)| {
            feeds
                .get(room)
                .is_some_and(|feed| pos.is_some_and(|pos| pos == feed.head()))
        };
        !positions.is_empty() && positions.iter().all(current)
    }

    fn feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().values().cloned().collect()
    }
}

impl LogReader for Subscription {
    fn set_member(&self, member: u32) {
        self.feed.set_member(self.key, member);
    }

    fn pull(&self, cursor: &mut Cursor, take: impl FnMut(&Item) -> bool) -> Pulled {
        self.feed.pull(&self.hub.source, self.key, cursor, take)
    }

    fn signals(&self, seen: &mut u64, codec: Codec, take: impl FnMut(Bytes)) {
        self.feed.signals(seen, codec, take);
    }

    fn bytes_ahead(&self, cursor: &Cursor, member: u32) -> Option<usize> {
        self.feed.bytes_ahead(cursor, member)
    }

    fn shown_bytes(&self) -> Option<usize> {
        self.feed.shown_bytes()
    }

    fn set_shown_bytes(&self, bytes: usize) {
        self.feed.set_shown_bytes(bytes);
    }

    fn shortcut_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.feed.shortcut_permit()
    }

    fn signals_end(&self) -> u64 {
        self.feed.signals_end()
    }
}

impl Subscription {
    /// True if what follows the cursor can be replayed: [`Pulled::End`] or [`Pulled::More`] if so. The
    /// log ended at `seated` when the session's place was looked up.
    pub(crate) fn check(&self, cursor: &mut Cursor, seated: Pos) -> Pulled {
        self.feed.check(&self.hub.source, self.key, cursor, seated)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut feeds = self.hub.feeds.lock();
        if self.feed.remove(self.key) {
            feeds.remove(&self.feed.room);
            metrics::gauge!(telemetry::ROOMS).set(feeds.len() as f64);
            if let Some(subscriptions) = self.hub.subscriptions.get() {
                subscriptions.unsubscribe(&self.feed.room);
            }
        }
    }
}
