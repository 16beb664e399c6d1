use std::{collections::HashMap, sync::Arc, time::Duration};

use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Answer, Deadline, Input, NodeId, Reply, Request, SharedStore, StoreError, StoreEvent,
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::problem::Problem;

/// Asks rooms, and waits for what they answer.
pub(super) struct RoomClient {
    store: SharedStore,
    me: NodeId,
    waiting: Mutex<HashMap<Asked, Vec<oneshot::Sender<Answer>>>>,
}

/// The caller, and the room that it asks.
type Asked = (Sid, RoomName);

/// The number that may wait at once; one more is told `busy`.
const WAITING_MAX: usize = 1_024;
/// The time that a room has before it is asked again: rooms tell repetitions.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// The number of times that it is asked: for longer than a worker takes to follow a dead one (W4).
const ASKS_MAX: usize = 4;
/// The longest time in which a request may reach the room's topic, in milliseconds.
const APPEND_WITHIN_MS: u64 = 10_000;
/// The wait before the store is asked again.
const RETRY: Duration = Duration::from_millis(500);

impl RoomClient {
    pub(super) fn start(store: SharedStore) -> Arc<RoomClient> {
        let asks = Arc::new(RoomClient {
            store,
            me: NodeId::random(),
            waiting: Mutex::default(),
        });
        tokio::spawn(asks.clone().listen());
        asks
    }

    /// Asks a room something that may be asked again.
    pub(super) async fn ask(
        &self,
        room: &RoomName,
        sid: Sid,
        generation: u64,
        request: Request,
    ) -> Result<Answer, Problem> {
        let input = Input {
            room: room.clone(),
            sid,
            generation,
            gateway: Some(self.me.clone()),
            request,
        };
        for _ in 0..ASKS_MAX {
            let answer = self.wait_for((sid, room.clone()))?;
            self.append(input.clone()).await?;
            if let Ok(Ok(answer)) = timeout(PATIENCE, answer).await {
                return Ok(answer);
            }
        }
        Err(Problem::busy(
            "the room does not answer; try again, with the same key",
        ))
    }

    fn wait_for(&self, asked: Asked) -> Result<oneshot::Receiver<Answer>, Problem> {
        let (answer, waits) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, all| {
            all.retain(|one| !one.is_closed());
            !all.is_empty()
        });
        if waiting.values().map(Vec::len).sum::<usize>() >= WAITING_MAX {
            return Err(Problem::busy("too much is being asked at once"));
        }
        waiting.entry(asked).or_default().push(answer);
        Ok(waits)
    }

    async fn append(&self, input: Input) -> Result<(), StoreError> {
        let partition = self.store.layout().partition(&input.room);
        let deadline = Deadline(self.store.now_ms() + APPEND_WITHIN_MS);
        self.store.append(partition, deadline, vec![input]).await
    }

    /// Hands answers to who waits for them. One that was missed is asked for again.
    async fn listen(self: Arc<Self>) {
        let (_subscriptions, mut listener) = loop {
            match self.store.listen(&self.me).await {
                Ok(listening) => break listening,
                Err(error) => tracing::debug!(%error, "listening to the store failed; retrying"),
            }
            sleep(RETRY).await;
        };
        loop {
            match listener.next().await {
                StoreEvent::Reply(Reply { sid, room, answer }) => {
                    let all = self.waiting.lock().remove(&(sid, room));
                    for one in all.into_iter().flatten() {
                        // Who no longer waits has been told so.
                        one.send(answer.clone()).ok();
                    }
                }
                StoreEvent::Room(_) | StoreEvent::Nudge(_) | StoreEvent::Missed => {}
            }
        }
    }
}
