//! What a socket has under way with the store: one thing at a time, and meanwhile no frame of its client
//! is taken, so that everything happens in the order that the client said it in.

use std::{pin::Pin, sync::Arc, time::Duration};

use outlast_protocol::RoomName;
use outlast_sessions::{Identity, SessionError};
use outlast_store::{PartitionId, Request};

use crate::{
    gateway::{AttachId, Shared},
    hub::{Subscription, Wake},
};

/// Something under way.
pub(crate) struct Job {
    pub(crate) what: What,
    pub(crate) doing: Doing,
}

type Doing = Pin<Box<dyn Future<Output = Result<Option<Subscription>, SessionError>> + Send>>;

/// What is under way.
#[derive(Debug)]
pub(crate) enum What {
    /// The room is written into the session's record, and the hub listens to it, before the join that
    /// is kept here goes to the room.
    Enter { slot: u8, n: u64, join: Request },
    /// An action goes to its room.
    Act { slot: u8, n: u64 },
    /// A room is asked again for what it has not answered.
    AskAgain { slot: u8 },
    /// A room is asked to show itself.
    View { slot: u8 },
    /// A room that the store did not reach is entered, if it was not, and told of this socket.
    Reach {
        slot: u8,
        partition: PartitionId,
        room: RoomName,
    },
    /// The session has left a room for good.
    Forget { slot: u8 },
    /// A newer token is noted.
    Renew,
    /// The session ends.
    End,
}

/// Pause before an end is tried again, which a client cannot repeat.
const RETRY: Duration = Duration::from_millis(500);

/// Makes jobs for one socket.
pub(crate) struct Jobs<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) who: AttachId,
}

impl Jobs<'_> {
    pub(crate) fn enter(
        self,
        slot: u8,
        room: RoomName,
        n: u64,
        join: Request,
        wake: Arc<Wake>,
    ) -> Job {
        let (shared, who) = (self.shared.clone(), self.who);
        let what = What::Enter { slot, n, join };
        Job::new(what, async move {
            shared
                .sessions
                .add_room(who.sid, who.generation, &room)
                .await?;
            Ok(Some(shared.hub.enter(&room, wake, slot).await?))
        })
    }

    /// The room answers where the session stands. It is entered before, with `wake`, if it was not.
    pub(crate) fn reach(
        &self,
        slot: u8,
        partition: PartitionId,
        room: RoomName,
        wake: Option<Arc<Wake>>,
    ) -> Job {
        let (shared, who) = (self.shared.clone(), self.who);
        let what = What::Reach {
            slot,
            partition,
            room: room.clone(),
        };
        Job::new(what, async move {
            let seat = match wake {
                Some(wake) => Some(shared.hub.enter(&room, wake, slot).await?),
                None => None,
            };
            let input = shared.input(who, &room, Request::Attached { view: false });
            shared.append(partition, vec![input]).await?;
            Ok(seat)
        })
    }

    pub(crate) fn append(self, what: What, room: RoomName, requests: Vec<Request>) -> Job {
        let (shared, who) = (self.shared.clone(), self.who);
        Job::new(what, async move {
            let partition = shared.store.layout().partition(&room);
            let input = |request| shared.input(who, &room, request);
            shared
                .append(partition, requests.into_iter().map(input).collect())
                .await?;
            Ok(None)
        })
    }

    pub(crate) fn forget(self, slot: u8, room: RoomName) -> Job {
        let (shared, who) = (self.shared.clone(), self.who);
        Job::new(What::Forget { slot }, async move {
            shared
                .sessions
                .remove_room(who.sid, who.generation, &room)
                .await?;
            Ok(None)
        })
    }

    pub(crate) fn renew(self, identity: Identity) -> Job {
        let (shared, who) = (self.shared.clone(), self.who);
        Job::new(What::Renew, async move {
            shared
                .sessions
                .renew(who.sid, who.generation, identity)
                .await?;
            Ok(None)
        })
    }

    pub(crate) fn end(self) -> Job {
        let (shared, who) = (self.shared.clone(), self.who);
        Job::new(What::End, async move {
            loop {
                match shared.sessions.end(who.sid, Some(who.generation)).await {
                    Err(SessionError::Store(error)) => {
                        tracing::debug!(sid = %who.sid, %error, "ending a session failed; retrying");
                    }
                    ended => return ended.map(|()| None),
                }
                tokio::time::sleep(RETRY).await;
            }
        })
    }
}

impl Job {
    fn new(
        what: What,
        doing: impl Future<Output = Result<Option<Subscription>, SessionError>> + Send + 'static,
    ) -> Self {
        Job {
            what,
            doing: Box::pin(doing),
        }
    }
}
