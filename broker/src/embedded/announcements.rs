use std::sync::Arc;

use async_trait::async_trait;
use outlast_protocol::RoomName;

use super::{
    Embedded,
    hub::{EarId, Hub, Queue},
};
use crate::{Announcements, BrokerError, Heard, Listener, NodeId, Nudge, Subscriptions};

#[async_trait]
impl Announcements for Embedded {
    async fn listen(
        &self,
        me: &NodeId,
    ) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), BrokerError> {
        let hub = self.shared.hub.clone();
        let (ear, queue) = hub.add(me);
        let wishes = Wishes {
            ear,
            hub: hub.clone(),
        };
        Ok((Arc::new(wishes), Box::new(Ear { ear, queue, hub })))
    }

    async fn nudge(&self, to: Option<&NodeId>, nudge: &Nudge) -> Result<(), BrokerError> {
        let news = Heard::Nudge(nudge.clone());
        match to {
            Some(to) => self.shared.hub.tell(to, &news),
            None => self.shared.hub.tell_all(&news),
        }
        Ok(())
    }
}

/// What a listener wants to hear of.
struct Wishes {
    ear: EarId,
    hub: Arc<Hub>,
}

#[async_trait]
impl Subscriptions for Wishes {
    async fn subscribe(&self, room: &RoomName) -> Result<(), BrokerError> {
        self.hub.subscribe(self.ear, room);
        Ok(())
    }

    fn unsubscribe(&self, room: &RoomName) {
        self.hub.unsubscribe(self.ear, room);
    }
}

/// Hears, until it is dropped.
struct Ear {
    ear: EarId,
    queue: Arc<Queue>,
    hub: Arc<Hub>,
}

#[async_trait]
impl Listener for Ear {
    async fn hear(&mut self) -> Heard {
        self.queue.next().await
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.hub.remove(self.ear);
    }
}
