use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use outlast_protocol::RoomName;
use parking_lot::Mutex;
use redis::Pipeline;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    inbox::{Inbox, Mail},
    subscriber::{SubscribeCommand, Subscriber},
    subscription::away,
};
use crate::redis::{
    Redis,
    keys::{Channels, Subject},
    net::{
        batcher::{Answers, Batch},
        nodes::Nodes,
    },
    ops::fields::to_json,
};
use crate::{Announcements, Listener, NodeId, Nudge, StoreError, StoreEvent, Subscriptions};

/// The number of commands that may wait; who has more waits, too.
const COMMANDS_MAX: usize = 4096;

#[async_trait]
impl Announcements for Redis {
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), StoreError> {
        let inbox = Arc::new(Inbox::new(self.settings.inbox_bytes_max));
        let subscriber = Subscriber::connect(
            self.nodes.clone(),
            self.layout,
            self.keys.clone(),
            self.channels.clone(),
            me.clone(),
            inbox.clone(),
        );
        let subscriber = subscriber.await?;
        let (command, commands) = mpsc::channel(COMMANDS_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(subscriber.listen(commands));

        let subscriptions = RedisSubscriptions::new(command, 2 * self.nodes.command_timeout());
        let listener = RedisListener {
            inbox,
            channels: self.channels.clone(),
            heard: VecDeque::new(),
            _tasks: tasks,
        };
        Ok((Arc::new(subscriptions), Box::new(listener)))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), StoreError> {
        let channel = self.channels.nudges(to);
        let text = to_json(nudge);
        self.nudges.ask(Said { channel, text }).await
    }
}

/// Nudges, gathered: what is said to one process at about the same time is one message.
#[derive(Debug)]
pub(in crate::redis) struct Nudges {
    pub(in crate::redis) nodes: Nodes,
    /// A key at whose node they are said: every node passes them on to all.
    pub(in crate::redis) home: String,
}

/// A nudge on its way.
#[derive(Debug)]
pub(in crate::redis) struct Said {
    channel: String,
    text: String,
}

impl Batch for Nudges {
    type Ask = Said;
    type Answer = ();

    fn bytes(said: &Said) -> usize {
        said.channel.len() + said.text.len()
    }

    async fn send(&self, asks: &[Said]) -> Result<Answers<Self>, StoreError> {
        let mut messages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Said { channel, text } in asks {
            messages.entry(channel).or_default().push(text);
        }
        let mut all = Pipeline::new();
        for (channel, texts) in messages {
            let list = format!("[{}]", texts.join(","));
            all.cmd("PUBLISH").arg(channel).arg(list).ignore();
        }
        let () = self.nodes.query_all(&self.home, &all).await?;
        Ok(asks.iter().map(|_| Ok(())).collect())
    }
}

#[derive(Debug)]
struct RedisSubscriptions {
    command: mpsc::Sender<SubscribeCommand>,
    /// The longest time that Redis may take, and whatever was wished before.
    patience: Duration,
    /// Rooms that need not be heard any more, and for which there was no place before the connection.
    unwanted: Mutex<BTreeSet<RoomName>>,
}

impl RedisSubscriptions {
    fn new(command: mpsc::Sender<SubscribeCommand>, patience: Duration) -> Self {
        RedisSubscriptions {
            command,
            patience,
            unwanted: Mutex::default(),
        }
    }

    /// Notes what has become of a subscription to a room, and passes on what had to wait: within the lock,
    /// so that the newest command for a room comes last.
    fn pass_on(&self, change: impl FnOnce(&mut BTreeSet<RoomName>)) {
        let mut unwanted = self.unwanted.lock();
        change(&mut unwanted);
        while !unwanted.is_empty()
            && let Ok(place) = self.command.try_reserve()
            && let Some(room) = unwanted.pop_first()
        {
            place.send(SubscribeCommand::Unsubscribe(room));
        }
    }
}

#[async_trait]
impl Subscriptions for RedisSubscriptions {
    async fn subscribe(&self, room: &RoomName) -> Result<(), StoreError> {
        self.pass_on(|unwanted| {
            unwanted.remove(room);
        });
        let (done, answer) = oneshot::channel();
        let fulfilled = timeout(self.patience, async {
            self.command
                .send(SubscribeCommand::Subscribe(room.clone(), done))
                .await
                .ok()?;
            answer.await.ok()
        });
        match fulfilled.await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(away()),
            Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
        }
    }

    fn unsubscribe(&self, room: &RoomName) {
        // Where there is no place for it, the room is heard until something else is wished for.
        self.pass_on(|unwanted| {
            unwanted.insert(room.clone());
        });
    }
}

/// Dropping it ends the connection.
#[derive(Debug)]
struct RedisListener {
    inbox: Arc<Inbox>,
    channels: Channels,
    /// The events that came in one message and were not yet asked for.
    heard: VecDeque<StoreEvent>,
    _tasks: JoinSet<()>,
}

#[async_trait]
impl Listener for RedisListener {
    async fn next(&mut self) -> StoreEvent {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            // Nothing is awaited after this, so that nothing is lost where `hear` is cancelled.
            match self.inbox.next().await {
                Mail::Missed => return StoreEvent::Missed,
                Mail::Message { channel, message } => self.read(&channel, &message),
            }
        }
    }
}

impl RedisListener {
    fn read(&mut self, channel: &[u8], message: &[u8]) {
        match self.channels.subject(channel) {
            // Whoever reads the log instead learns what is wrong with it (W6).
            Some(Subject::Room) => {
                let heard = parsed(message).map_or(StoreEvent::Missed, StoreEvent::Room);
                self.heard.push_back(heard);
            }
            Some(Subject::Nudges) => {
                // Each by itself: they only went along with each other.
                let texts: Vec<&RawValue> = parsed(message).unwrap_or_default();
                let nudges = texts
                    .iter()
                    .filter_map(|text| parsed(text.get().as_bytes()));
                self.heard.extend(nudges.map(StoreEvent::Nudge));
            }
            Some(Subject::Replies) => {
                let replies: Vec<_> = parsed(message).unwrap_or_default();
                self.heard
                    .extend(replies.into_iter().map(StoreEvent::Reply));
            }
            None => {}
        }
    }
}

/// Messages of a version that says more than this one are passed over.
fn parsed<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Option<T> {
    let parsed = serde_json::from_slice(message);
    parsed
        .inspect_err(|error| tracing::warn!("announcement cannot be read: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        name.parse().unwrap()
    }

    fn unsubscribed(commands: &mut mpsc::Receiver<SubscribeCommand>) -> Vec<RoomName> {
        let all = std::iter::from_fn(|| commands.try_recv().ok());
        let mut rooms: Vec<_> = all
            .filter_map(|command| match command {
                SubscribeCommand::Unsubscribe(room) => Some(room),
                SubscribeCommand::Subscribe(..) => None,
            })
            .collect();
        rooms.sort();
        rooms
    }

    #[tokio::test]
    async fn what_there_was_no_place_for_is_wished_with_the_next() {
        let (command, mut commands) = mpsc::channel(2);
        let subscriptions = RedisSubscriptions::new(command, Duration::ZERO);
        for name in ["chat/a", "chat/b", "chat/c", "chat/d"] {
            subscriptions.unsubscribe(&room(name));
        }
        assert_eq!(unsubscribed(&mut commands).len(), 2);
        // One of those that had to wait is wanted again: that must not be undone later.
        let _ = subscriptions.subscribe(&room("chat/d")).await;
        assert_eq!(unsubscribed(&mut commands), [room("chat/c")]);
        subscriptions.unsubscribe(&room("chat/e"));
        assert_eq!(unsubscribed(&mut commands), [room("chat/e")]);
    }
}
