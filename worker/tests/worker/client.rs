use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use outlast_protocol::{Payload, RoomName, Sid};
use outlast_store::{
    Answer, Body, Deadline, Entry, Input, Listener, NodeId, Reply, Request, SharedStore,
    StoreError, StoreEvent, Subscriptions,
};
use outlast_testkit::PATIENCE;
use serde_json::{Value, json};

/// One session in one room, and the gateway that it is at.
pub(crate) struct Client {
    store: SharedStore,
    gateway: NodeId,
    pub(crate) room: RoomName,
    pub(crate) sid: Sid,
    generation: u64,
    n: u64,
    member: u32,
    ear: Box<dyn Listener>,
    _subscriptions: Arc<dyn Subscriptions>,
    /// Every entry that was heard of.
    pub(crate) log: Vec<Entry>,
}

impl Client {
    /// A session that has not joined yet.
    pub(crate) async fn new(store: &SharedStore, room: &str) -> Self {
        let gateway = NodeId::random();
        let (subscriptions, ear) = store.listen(&gateway).await.unwrap();
        let room: RoomName = room.parse().unwrap();
        subscriptions.subscribe(&room).await.unwrap();
        Client {
            store: store.clone(),
            gateway,
            room,
            sid: Sid::now_v7(),
            generation: 1,
            n: 0,
            member: 0,
            ear,
            _subscriptions: subscriptions,
            log: Vec::new(),
        }
    }

    /// A member of the room.
    pub(crate) async fn joined(store: &SharedStore, room: &str) -> Self {
        let mut client = Self::new(store, room).await;
        client.join().await;
        client
    }

    /// Joins, and answers what the room shows.
    pub(crate) async fn join(&mut self) -> Value {
        self.n += 1;
        let request = Request::Join {
            n: self.n,
            user: "somebody".into(),
            data: Some(payload(&json!({"name": "somebody"}))),
        };
        self.send(request).await;
        match self.answer().await {
            Answer::Joined { member, state, .. } => {
                self.member = member;
                state.read().unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Says something and waits until it is in the log. Answers how long that took.
    pub(crate) async fn say(&mut self, text: &str) -> Duration {
        let start = Instant::now();
        self.post(text).await;
        let (member, n) = (self.member, self.n);
        self.hear_until(|body| {
            matches!(body, Body::Event { by, n: of, .. } if *by == Some(member) && *of == Some(n))
        })
        .await;
        start.elapsed()
    }

    /// Says something and does not wait.
    pub(crate) async fn post(&mut self, text: &str) {
        self.act(json!({"say": text})).await;
    }

    /// Asks to leave, and waits until that is so.
    pub(crate) async fn leave(&mut self) {
        self.n += 1;
        self.send(Request::Leave { n: self.n }).await;
        while !matches!(self.answer().await, Answer::Outcome(_)) {}
    }

    /// Asks something and does not wait.
    pub(crate) async fn act(&mut self, action: Value) {
        self.n += 1;
        let data = payload(&action);
        self.send(Request::Act { n: self.n, data }).await;
    }

    /// Comes back with a new socket; answers what the room shows, and the last action applied.
    pub(crate) async fn attach(&mut self) -> (Value, u64) {
        self.generation += 1;
        self.send(Request::Attached { view: true }).await;
        loop {
            if let Answer::Seated { state, n, .. } = self.answer().await {
                return (state.unwrap().read().unwrap(), n);
            }
        }
    }

    pub(crate) async fn send(&mut self, request: Request) {
        let input = Input {
            room: self.room.clone(),
            sid: self.sid,
            generation: self.generation,
            gateway: Some(self.gateway.clone()),
            request,
        };
        let partition = self.store.layout().partition(&self.room);
        let start = Instant::now();
        let append = || {
            let inputs = vec![input.clone()];
            self.store.append(partition, Deadline(u64::MAX), inputs)
        };
        while let Err(error) = append().await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            assert!(start.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for what a room says to this session.
    pub(crate) async fn answer(&mut self) -> Answer {
        loop {
            match self.hear().await {
                StoreEvent::Reply(Reply { answer, .. }) => return answer,
                StoreEvent::Room(_) | StoreEvent::Nudge(_) | StoreEvent::Missed => {}
            }
        }
    }

    /// Waits for an entry.
    pub(crate) async fn hear_until(&mut self, mut wanted: impl FnMut(&Body) -> bool) {
        loop {
            if let StoreEvent::Room(news) = self.hear().await
                && news.entries.iter().any(|entry| wanted(&entry.body))
            {
                return;
            }
        }
    }

    async fn hear(&mut self) -> StoreEvent {
        let heard = tokio::time::timeout(PATIENCE, self.ear.next()).await;
        let heard = heard.expect("the worker says something in time");
        if let StoreEvent::Room(news) = &heard {
            self.log.extend(news.entries.iter().cloned());
        }
        heard
    }
}

fn payload(value: &Value) -> Payload {
    Payload::from(value)
}
