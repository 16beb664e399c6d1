//! From a first frame to an attached socket: the service behind the [admission](crate::admission).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use outlast_protocol::ServerFrame;
use outlast_sessions::Attachment;
use tower::Service;
use tracing::{Instrument, Span, field::Empty};

use crate::{
    admission::{Applicant, Rank},
    attach::attach,
    auth,
    bye::Bye,
    catch_up::catch_up,
    first_frame::FirstFrame,
    gateway::{AttachId, Shared},
    hub::{Hub, Wake},
    socket::Socket,
    wire::Wire,
};

/// A client that has said what it wants, and has no session yet.
pub(crate) struct AttachRequest {
    pub(crate) wire: Box<Wire>,
    first_frame: FirstFrame,
    rank: Rank,
}

/// A client that was let in and did not get its session, or could not be told of it.
pub(crate) enum Refused {
    Request { wire: Box<Wire>, bye: Bye },
    Socket { socket: Box<Socket>, bye: Bye },
}

/// The [`Service`] that makes attached sockets of newcomers.
#[derive(Clone)]
pub(crate) struct Attach {
    shared: Arc<Shared>,
}

impl AttachRequest {
    pub(crate) fn new(wire: Box<Wire>, first_frame: FirstFrame, hub: &Hub) -> Self {
        let rank = match &first_frame {
            FirstFrame::Open { .. } => Rank::Open,
            FirstFrame::Resume { rooms, .. } if hub.is_current(rooms) => Rank::Current,
            FirstFrame::Resume { .. } => Rank::Resume,
        };
        AttachRequest {
            wire,
            first_frame,
            rank,
        }
    }
}

impl Applicant for AttachRequest {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn name(&self) -> Option<&str> {
        match &self.first_frame {
            FirstFrame::Open { token, .. } => token.as_deref(),
            FirstFrame::Resume { sid, .. } => Some(sid),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Wire>() + self.first_frame.bytes()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.poll_gone(cx)
    }
}

impl Attach {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Attach { shared }
    }

    pub(crate) async fn attach(self, request: AttachRequest) -> Result<Box<Socket>, Refused> {
        let Attach { shared } = self;
        let AttachRequest {
            wire, first_frame, ..
        } = request;
        let session = match attach(&shared, &first_frame).await {
            Ok(session) => session,
            Err(bye) => return Err(Refused::Request { wire, bye }),
        };
        Span::current()
            .record("sid", tracing::field::display(session.sid))
            .record("generation", session.generation)
            .record("rooms", session.rooms.len());
        let who = AttachId {
            sid: session.sid,
            generation: session.generation,
        };
        let wake = Arc::new(Wake::default());
        let Some(registration) = shared.hub.sockets.register(who, wake.clone()) else {
            let bye = Bye::taken_over();
            return Err(Refused::Request { wire, bye });
        };
        let identity = session.identity.clone();
        let socket = Socket::new(wire, shared, who, identity, wake, registration);
        let mut socket = Box::new(socket);
        match greet(&mut socket, session, first_frame).await {
            Ok(()) => {
                tracing::debug!(sid = %who.sid, generation = who.generation, gateway = %socket.shared.me, "attached");
                Ok(socket)
            }
            Err(bye) => Err(Refused::Socket { socket, bye }),
        }
    }
}

impl Service<AttachRequest> for Attach {
    type Response = Box<Socket>;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Box<Socket>, Refused>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: AttachRequest) -> Self::Future {
        let span = tracing::debug_span!(
            "attach",
            otel.kind = "server",
            how = request.first_frame.name(),
            sid = Empty,
            generation = Empty,
            rooms = Empty,
            outcome = Empty,
        );
        Box::pin(self.clone().attach(request).instrument(span))
    }
}

impl Refused {
    /// Says why, and closes.
    pub(crate) async fn leave(self) {
        match self {
            Refused::Request { wire, bye } => wire.close(&bye).await,
            Refused::Socket { socket, bye } => socket.finish(bye.into()).await,
        }
    }
}

/// Tells the client of its session.
async fn greet(
    socket: &mut Socket,
    session: Attachment,
    first_frame: FirstFrame,
) -> Result<(), Bye> {
    let expires = session.identity.expires_at;
    if expires.is_some_and(|at| auth::left(at).is_zero()) {
        return Err(Bye::unauthorized("the token has expired"));
    }
    let welcome = socket.shared.welcome(&session);
    match first_frame {
        FirstFrame::Open { .. } => {
            socket.wire.send(&ServerFrame::Welcome { welcome });
            Ok(())
        }
        FirstFrame::Resume { rooms, .. } => {
            Box::pin(catch_up(socket, welcome, session.rooms, &rooms)).await
        }
    }
}
