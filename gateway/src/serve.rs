//! The life of one socket: its first frame, its session, its loop, its end.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use outlast_protocol::{CloseCode, Codec};
use tokio::net::TcpStream;
use tower::{Layer, ServiceExt};

use crate::{
    admission::{AdmissionLayer, Rejected},
    attach_request::{Attach, AttachRequest},
    bye::{Bye, End},
    connection_limit::Arrival,
    first_frame::{Sent, read_first_frame},
    gateway::Shared,
    ip_limit::IpPermit,
    socket::Socket,
    telemetry,
    wire::Wire,
};

/// A socket that is about to be.
pub(crate) struct Upgrade {
    pub(crate) upgrade: OnUpgrade,
    pub(crate) codec: Codec,
    pub(crate) arrival: Arrival,
    pub(crate) sent: Sent,
}

/// Serves one socket from its upgrade to its end.
///
/// Everything that a socket needs only once is boxed, so that one that is idle takes no memory for it.
pub(crate) async fn serve(shared: Arc<Shared>, upgrade: Box<Upgrade>) {
    let Some((mut socket, counted)) = Box::pin(begin(shared, upgrade)).await else {
        return;
    };
    metrics::gauge!(telemetry::SOCKETS).increment(1);
    let end = socket.run().await;
    metrics::gauge!(telemetry::SOCKETS).decrement(1);
    drop(counted);
    Box::pin(socket.finish(end)).await;
}

/// Up to where the client has its session.
async fn begin(
    shared: Arc<Shared>,
    upgrade: Box<Upgrade>,
) -> Option<(Box<Socket>, Option<IpPermit>)> {
    let Upgrade {
        upgrade,
        codec,
        arrival,
        sent,
    } = *upgrade;
    let Parts { io, read_buf, .. } = upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    // Copied, for it is a piece of the buffer that HTTP was read into.
    let read = read_buf.to_vec();
    drop(read_buf);
    let wire = Wire::new(io.into_inner(), read, codec, shared.settings.frame_bytes);
    let mut wire = Box::new(wire);
    let counted = match shared.ip_limit.count(arrival.peer.ip()) {
        Ok(counted) => counted,
        Err(max) => {
            let reason = format!("an address has at most {max} sockets");
            return goodbye(wire, &Bye::new(CloseCode::TooManySessions, reason)).await;
        }
    };
    let within = Duration::from_millis(shared.settings.first_frame_ms);
    let first = tokio::select! {
        first = read_first_frame(&mut wire, arrival.at, within) => first,
        () = shared.closing.cancelled() => Err(End::Bye(Bye::moved())),
    };
    let first_frame = match first {
        Ok(first_frame) => first_frame.with(sent),
        Err(End::Closed) => return None,
        Err(End::Bye(bye)) => return goodbye(wire, &bye).await,
    };
    let request = AttachRequest::new(wire, first_frame, &shared.hub);
    let door = AdmissionLayer::new(shared.queue.clone()).layer(Attach::new(shared));
    match door.oneshot(request).await {
        Ok(socket) => Some((socket, counted)),
        Err(Rejected::Busy { request, retry_ms }) => {
            outcome("busy");
            goodbye(request.wire, &Bye::busy(retry_ms)).await
        }
        Err(Rejected::Closed(request)) => {
            outcome("moved");
            goodbye(request.wire, &Bye::moved()).await
        }
        Err(Rejected::Gone) => {
            outcome("gone");
            None
        }
        Err(Rejected::Inner(refused)) => {
            Box::pin(refused.leave()).await;
            None
        }
    }
}

/// Counts a socket that did not get as far as to be attached or refused.
fn outcome(outcome: &'static str) {
    metrics::counter!(telemetry::ATTACHES, "outcome" => outcome).increment(1);
}

async fn goodbye<T>(wire: Box<Wire>, bye: &Bye) -> Option<T> {
    wire.close(bye).await;
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach_request::Refused;

    /// What glibc keeps at hand for each thread, in bytes. Larger pieces are cut from the heap and joined with it
    /// again; when everybody comes back at once that is a fifth of a gateway's time.
    const AT_HAND: usize = 1032;

    fn size<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    #[test]
    fn f3_an_idle_socket_takes_about_a_kilobyte() {
        assert!(size(serve) <= 256, "the task: {} bytes", size(serve));
        assert!(std::mem::size_of::<Socket>() <= 1024);
    }

    #[test]
    fn what_a_socket_needs_once_comes_in_pieces_that_are_at_hand() {
        assert!(size(begin) <= AT_HAND, "{}", size(begin));
        let attach = size(Attach::attach);
        assert!(attach <= AT_HAND - 64, "with its span: {attach}");
        let finish = size(|socket: Box<Socket>, end| socket.finish(end));
        assert!(finish <= AT_HAND, "{finish}");
        assert!(std::mem::size_of::<Refused>() <= 64);
    }
}
