use std::sync::Arc;

use async_trait::async_trait;
use outlast_protocol::RoomName;

use super::{
    Embedded,
    listeners::{ListenerId, Listeners, Queue},
};
use crate::{Announcements, Listener, NodeId, Nudge, StoreError, StoreEvent, Subscriptions};

#[async_trait]
impl Announcements for Embedded {
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), StoreError> {
        let hub = self.shared.hub.clone();
        let (listener, queue) = hub.add(me);
        let wishes = EmbeddedSubscriptions {
            listener,
            hub: hub.clone(),
        };
        Ok((
            Arc::new(wishes),
            Box::new(EmbeddedListener {
                listener,
                queue,
                hub,
            }),
        ))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), StoreError> {
        let news = StoreEvent::Nudge(nudge.clone());
        match to {
            Some(to) => self.shared.hub.tell(to, &news),
            None => self.shared.hub.tell_all(&news),
        }
        Ok(())
    }
}

/// The subscriptions of a listener.
struct EmbeddedSubscriptions {
    listener: ListenerId,
    hub: Arc<Listeners>,
}

#[async_trait]
impl Subscriptions for EmbeddedSubscriptions {
    async fn subscribe(&self, room: &RoomName) -> Result<(), StoreError> {
        self.hub.subscribe(self.listener, room);
        Ok(())
    }

    fn unsubscribe(&self, room: &RoomName) {
        self.hub.unsubscribe(self.listener, room);
    }
}

/// Hears, until it is dropped.
struct EmbeddedListener {
    listener: ListenerId,
    queue: Arc<Queue>,
    hub: Arc<Listeners>,
}

#[async_trait]
impl Listener for EmbeddedListener {
    async fn next(&mut self) -> StoreEvent {
        self.queue.next().await
    }
}

impl Drop for EmbeddedListener {
    fn drop(&mut self) {
        self.hub.remove(self.listener);
    }
}
