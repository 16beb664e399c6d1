//! The life of one socket: its first frame, its session, its loop, its end.

use std::{sync::Arc, time::Duration};

use outlast_protocol::{CloseCode, ServerFrame};
use outlast_sessions::Attachment;

use crate::{
    attach::{attach, busy},
    auth,
    bye::Bye,
    gateway::{Shared, Who},
    hello::{End, Hello, hello},
    hub::Wake,
    resume::resume,
    socket::Socket,
    upgrade::Arrival,
    wire::Wire,
};

/// Serves one socket from its upgrade to its end.
pub(crate) async fn serve(
    wire: Wire,
    shared: Arc<Shared>,
    arrival: Arrival,
    bearer: Option<String>,
) {
    let _counted = match shared.addresses.count(arrival.peer.ip()) {
        Ok(counted) => counted,
        Err(max) => {
            let reason = format!("an address has at most {max} sockets");
            return wire
                .close(&Bye::new(CloseCode::TooManySessions, reason))
                .await;
        }
    };
    // What only happens once is boxed, so that it takes no memory of a socket that is idle.
    let Some(mut socket) = Box::pin(begin(wire, shared, arrival, bearer)).await else {
        return;
    };
    metrics::gauge!("outlast_gateway_sockets").increment(1);
    let end = socket.run().await;
    metrics::gauge!("outlast_gateway_sockets").decrement(1);
    if let End::Bye(bye) = &end {
        metrics::counter!("outlast_gateway_byes_total", "code" => bye.code.name()).increment(1);
    }
    Box::pin(socket.finish(end)).await;
}

/// Up to where the client has its session.
async fn begin(
    mut wire: Wire,
    shared: Arc<Shared>,
    arrival: Arrival,
    bearer: Option<String>,
) -> Option<Socket> {
    let deadline = arrival.at + Duration::from_millis(shared.settings.first_frame_ms);
    let first = tokio::select! {
        first = hello(&mut wire, deadline) => first,
        () = shared.closing.cancelled() => Err(End::Bye(moved())),
    };
    let hello = match first {
        Ok(hello) => hello.or_token(bearer),
        Err(End::Closed) => return None,
        Err(End::Bye(bye)) => return goodbye(wire, &bye).await,
    };
    let Ok(permit) = shared.attaches.try_acquire() else {
        return goodbye(wire, &busy()).await;
    };
    let session = match attach(&shared, &hello).await {
        Ok(session) => session,
        Err(bye) => return goodbye(wire, &bye).await,
    };
    let who = Who {
        sid: session.sid,
        generation: session.generation,
    };
    let wake = Arc::new(Wake::default());
    let Some(registration) = shared.hub.register(who, wake.clone()) else {
        return goodbye(wire, &Bye::taken_over()).await;
    };
    let identity = session.identity.clone();
    let mut socket = Socket::new(wire, shared.clone(), who, identity, wake, registration);
    if let Err(bye) = greet(&mut socket, session, hello).await {
        drop(permit);
        socket.finish(bye.into()).await;
        return None;
    }
    Some(socket)
}

/// Tells the client of its session.
async fn greet(socket: &mut Socket, session: Attachment, hello: Hello) -> Result<(), Bye> {
    if session
        .identity
        .expires_at
        .is_some_and(|at| auth::left(at).is_zero())
    {
        return Err(Bye::unauthorized("the token has expired"));
    }
    if socket.shared.closing.is_cancelled() {
        return Err(moved());
    }
    let welcome = socket.shared.welcome(&session);
    match hello {
        Hello::Open { .. } => {
            socket.wire.send(&ServerFrame::Welcome { welcome });
            Ok(())
        }
        Hello::Resume { rooms, .. } => resume(socket, welcome, session.rooms, &rooms).await,
    }
}

/// What every socket is told when the gateway goes away. When to come back is spread, so that they do not
/// all come at once.
pub(crate) fn moved() -> Bye {
    const RETRY_MS: std::ops::Range<u64> = 0..1_000;
    let retry_ms = rand::random_range(RETRY_MS);
    Bye::new(CloseCode::Moved, "the gateway goes away").retry(retry_ms)
}

async fn goodbye(wire: Wire, bye: &Bye) -> Option<Socket> {
    wire.close(bye).await;
    None
}
