use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use outlast_protocol::{Payload, RoomName};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Announcement, Answer, Entry, NodeId, StoreEvent};

/// Everybody who listens, and to what.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Registered>);

#[derive(Debug, Default)]
struct Registered {
    last: ListenerId,
    all: HashMap<ListenerId, (NodeId, Arc<Queue>)>,
    rooms: HashMap<RoomName, Vec<ListenerId>>,
}

/// Tells listeners of one name apart.
pub(super) type ListenerId = u64;

impl Listeners {
    /// Lets somebody listen to what is for `me` or for everybody.
    pub(super) fn add(&self, me: &NodeId) -> (ListenerId, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let mut listeners = self.0.lock();
        listeners.last += 1;
        let listener = listeners.last;
        listeners.all.insert(listener, (me.clone(), queue.clone()));
        (listener, queue)
    }

    /// Forgets a listener and its rooms.
    pub(super) fn remove(&self, listener: ListenerId) {
        let mut listeners = self.0.lock();
        listeners.all.remove(&listener);
        listeners.rooms.retain(|_, listening| {
            listening.retain(|other| *other != listener);
            !listening.is_empty()
        });
    }

    /// Lets a listener hear a room's news too.
    pub(super) fn subscribe(&self, listener: ListenerId, room: &RoomName) {
        let mut listeners = self.0.lock();
        if !listeners.all.contains_key(&listener) {
            return;
        }
        let listening = listeners.rooms.entry(room.clone()).or_default();
        if !listening.contains(&listener) {
            listening.push(listener);
        }
    }

    pub(super) fn unsubscribe(&self, listener: ListenerId, room: &RoomName) {
        let mut listeners = self.0.lock();
        if let Some(listening) = listeners.rooms.get_mut(room) {
            listening.retain(|other| *other != listener);
            if listening.is_empty() {
                listeners.rooms.remove(room);
            }
        }
    }

    /// Tells a room's news to who subscribed to it.
    pub(super) fn tell_room(&self, news: Announcement) {
        let listeners = self.0.lock();
        let Some((first, others)) = listeners
            .rooms
            .get(&news.room)
            .and_then(|all| all.split_first())
        else {
            return;
        };
        for (_, queue) in others
            .iter()
            .filter_map(|listener| listeners.all.get(listener))
        {
            queue.push(StoreEvent::Room(news.clone()));
        }
        if let Some((_, queue)) = listeners.all.get(first) {
            queue.push(StoreEvent::Room(news));
        }
    }

    /// Tells one process something.
    pub(super) fn tell(&self, to: &NodeId, news: &StoreEvent) {
        for (name, queue) in self.0.lock().all.values() {
            if name == to {
                queue.push(news.clone());
            }
        }
    }

    /// Tells everybody that something may have gone unheard.
    pub(super) fn skip(&self) {
        for (_, queue) in self.0.lock().all.values() {
            queue.skip();
        }
    }

    /// Tells everybody something.
    pub(super) fn tell_all(&self, news: &StoreEvent) {
        for (_, queue) in self.0.lock().all.values() {
            queue.push(news.clone());
        }
    }
}

/// The events that a listener has not heard yet. Where too much gathers, the rest is dropped until all before it
/// has been heard; in its place then stands [`Heard::Missed`].
#[derive(Debug, Default)]
pub(super) struct Queue {
    news: Mutex<Queued>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    waiting: VecDeque<StoreEvent>,
    /// The number of bytes that wait.
    bytes: usize,
    missed: bool,
}

/// The number of bytes that may wait for a listener, unless it is one announcement alone.
const BYTES_MAX: usize = 32 << 20;

impl Queue {
    fn push(&self, heard: StoreEvent) {
        let bytes = bytes(&heard);
        let mut news = self.news.lock();
        if news.bytes > 0 && news.bytes + bytes > BYTES_MAX {
            news.missed = true;
        }
        if !news.missed {
            news.bytes += bytes;
            news.waiting.push_back(heard);
        }
        drop(news);
        self.arrived.notify_one();
    }

    fn skip(&self) {
        self.news.lock().missed = true;
        self.arrived.notify_one();
    }

    /// Waits for the next.
    pub(super) async fn next(&self) -> StoreEvent {
        loop {
            if let Some(heard) = self.take() {
                return heard;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<StoreEvent> {
        let mut news = self.news.lock();
        if let Some(heard) = news.waiting.pop_front() {
            news.bytes -= bytes(&heard);
            return Some(heard);
        }
        std::mem::take(&mut news.missed).then_some(StoreEvent::Missed)
    }
}

/// Returns about how many bytes an event takes, with what holds it.
fn bytes(heard: &StoreEvent) -> usize {
    let payload = |payload: &Payload| payload.as_json().len();
    let held = match heard {
        StoreEvent::Room(news) => {
            let entry = |entry: &Entry| size_of::<Entry>() + entry.body.payload_bytes();
            let entries = news.entries.iter().map(entry);
            let signals = news.signals.iter().map(payload);
            let signal_bytes = news.signals.len() * size_of::<Payload>();
            entries.sum::<usize>() + signals.sum::<usize>() + signal_bytes
        }
        StoreEvent::Reply(reply) => match &reply.answer {
            Answer::Joined { state, .. } => payload(state),
            Answer::Seated { state, .. } => state.as_ref().map_or(0, payload),
            Answer::Outcome(_)
            | Answer::Gap { .. }
            | Answer::NotTaken { .. }
            | Answer::Superseded { .. } => 0,
        },
        StoreEvent::Nudge(_) | StoreEvent::Missed => 0,
    };
    size_of::<StoreEvent>() + held
}

#[cfg(test)]
mod tests {
    use outlast_protocol::Sid;

    use super::*;
    use crate::{Body, Nudge, Reply};

    fn news(number: usize) -> StoreEvent {
        let sid = Sid::from_u128(number as u128);
        StoreEvent::Nudge(Nudge::Over { sid })
    }

    #[tokio::test]
    async fn missed_stands_where_something_was_dropped() {
        let hub = Listeners::default();
        let me = NodeId::from("me");
        let (_, queue) = hub.add(&me);
        let fit = BYTES_MAX / bytes(&news(0));
        for number in 0..fit + 10 {
            hub.tell(&me, &news(number));
        }
        assert_eq!(queue.next().await, news(0));
        // There would be room again, but what comes now comes after a gap.
        hub.tell(&me, &news(1_000_000));
        for number in 1..fit {
            assert_eq!(queue.next().await, news(number));
        }
        assert_eq!(queue.next().await, StoreEvent::Missed);
        hub.tell(&me, &news(2_000_000));
        assert_eq!(queue.next().await, news(2_000_000));
    }

    #[tokio::test]
    async fn one_announcement_is_heard_however_large_it_is() {
        let queue = Queue::default();
        let large = StoreEvent::Room(Announcement {
            room: "chat/lobby".parse().unwrap(),
            prev: outlast_protocol::Pos::START,
            entries: Vec::new(),
            signals: vec![Payload::of(&"x".repeat(BYTES_MAX)).unwrap(); 2],
        });
        for _ in 0..2 {
            queue.push(large.clone());
            assert_eq!(queue.next().await, large);
        }
    }

    #[tokio::test]
    async fn what_only_the_room_is_to_know_counts_too() {
        let queue = Queue::default();
        let body = Body::Result {
            to: 1,
            n: 1,
            ok: true,
            data: None,
            code: None,
            message: None,
            kept: Some(Payload::of(&"x".repeat(64 << 10)).unwrap()),
        };
        let pos = outlast_protocol::Pos::START;
        let entry = Entry { pos, at: 0, body };
        let kept = StoreEvent::Room(Announcement {
            room: "game/arena".parse().unwrap(),
            prev: pos,
            entries: vec![entry],
            signals: Vec::new(),
        });
        for _ in 0..1_000 {
            queue.push(kept.clone());
        }
        let mut heard = 0;
        while queue.next().await != StoreEvent::Missed {
            heard += 1;
        }
        assert!((500..=512).contains(&heard), "{heard} entries of 64 KiB");
    }

    #[tokio::test]
    async fn what_lies_unheard_is_bounded_in_bytes() {
        let queue = Queue::default();
        let state = Payload::of(&"x".repeat(64 << 10)).unwrap();
        let reply = StoreEvent::Reply(Reply {
            sid: Sid::nil(),
            room: "chat/lobby".parse().unwrap(),
            answer: Answer::Joined {
                n: 1,
                applied: 1,
                member: 1,
                pos: outlast_protocol::Pos::START,
                state,
            },
        });
        for _ in 0..1_000 {
            queue.push(reply.clone());
        }
        let mut heard = 0;
        while queue.next().await != StoreEvent::Missed {
            heard += 1;
        }
        assert!((500..=512).contains(&heard), "{heard} replies of 64 KiB");
        assert_eq!(queue.news.lock().bytes, 0);
    }

    #[test]
    fn who_goes_is_forgotten() {
        let hub = Listeners::default();
        let (listener, _) = hub.add(&"me".into());
        let room: RoomName = "chat/lobby".parse().unwrap();
        hub.subscribe(listener, &room);
        hub.subscribe(listener, &room);
        hub.remove(listener);
        hub.subscribe(listener, &room);
        let listeners = hub.0.lock();
        assert!(listeners.all.is_empty() && listeners.rooms.is_empty());
    }
}
