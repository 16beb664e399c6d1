use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use outlast_store::StoreError;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    connection_limit::{Arrival, ConnectionLimit, ConnectionPermit},
    drain::Window,
    gateway::{Gateway, Shared},
    spare::Spare,
    telemetry,
    upgrade::connect,
};

/// Connections that may wait to be accepted: what the system allows by default is too few for the
/// moment at which everybody comes back.
const BACKLOG: i32 = 4096;
/// Time for the sockets to go, once they have been closed; a drain's window ends so much earlier,
/// unless it is short.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// The most that is held of a request, headers above all.
const HTTP_BYTES_MAX: usize = 16 * 1024;
/// What the system holds for a client that does not read; Linux takes twice as much.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Connections that are accepted before whoever is connected has their turn: a herd waits in the backlog, and
/// not before those whom it does not concern (F4).
const ACCEPTED_AT_ONCE: u64 = 4;
/// Pause when the system has no more sockets to give.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Listens on an address, with a backlog that bears a storm.
///
/// # Errors
/// What the system says, for example that the port is taken.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Gateway {
    /// Serves `/v1/connect` and `pages` until `shutdown`: from then on nobody is let in, every socket
    /// is asked to move elsewhere, and this returns when they are gone, at the latest when
    /// [`Settings::drain_ms`](crate::Settings) are over (D3).
    ///
    /// # Errors
    /// When the store refuses for good to be listened to. One that is away is waited for.
    pub async fn serve(
        &self,
        listener: TcpListener,
        pages: Router,
        shutdown: CancellationToken,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let limits = shared.settings.limits();
        tracing::info!(
            attach_rate_per_s = limits.per_s,
            attaching_max = limits.attaching_max,
            waiting_max = limits.waiting_max,
            without_session_max = shared.settings.guests_max(),
            "admission"
        );
        let router = pages.route("/v1/connect", get(connect).with_state(shared.clone()));
        // Until the store answers, clients wait in the backlog: there is nothing to tell them.
        let heard = tokio::select! {
            heard = shared.start() => heard?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let leaving = async {
            shutdown.cancelled().await;
            drain(shared).await;
        };
        tokio::select! {
            () = shared.run(heard) => {}
            () = accept(&listener, &router, shared) => {}
            () = leaving => {}
        }
        shared.stop().await;
        Ok(())
    }
}

/// Has the sockets move, and closes those that have not.
#[tracing::instrument(level = "debug", skip_all, fields(sockets = shared.sockets.len()))]
async fn drain(shared: &Shared) {
    shared.closing.cancel();
    shared.queue.close();
    shared.sockets.close();
    let length = Duration::from_millis(shared.settings.drain_ms);
    let length_less = length - GONE_WITHIN.min(length / 10);
    let attach_rate = shared.settings.attach_rate;
    let window = Window::new(Instant::now(), length_less, attach_rate);
    if !window.is_empty() {
        metrics::gauge!(telemetry::DRAINING).set(1.0);
        let sockets = shared.hub.sockets.move_all(window);
        let within_s = length.as_secs_f64();
        tracing::info!(
            sockets,
            within_s,
            "draining: moving sockets; a second signal exits at once"
        );
        let gone = timeout_at(window.end(), shared.sockets.wait()).await;
        if gone.is_ok() {
            return;
        }
    }
    let sockets = shared.sockets.len();
    if sockets > 0 {
        tracing::info!(sockets, "drain window over; closing remaining sockets");
    }
    shared.hub.sockets.close_all();
    if timeout(GONE_WITHIN, shared.sockets.wait()).await.is_err() {
        let left = shared.sockets.len();
        tracing::warn!(left, "dropping remaining sockets");
    }
}

async fn accept(listener: &TcpListener, router: &Router, shared: &Arc<Shared>) {
    let mut spare = Spare::new();
    for number in 1_u64.. {
        if number.is_multiple_of(ACCEPTED_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        match listener.accept().await {
            Ok((tcp, peer)) => {
                if let Some(guest) = shared.connection_limit.enter(&tcp) {
                    let (router, shared) = (router.clone(), shared.clone());
                    tokio::spawn(serve_http(tcp, peer, guest, router, shared));
                }
            }
            Err(error) if spare.lend(&error) => {
                if let Ok(Ok((tcp, _))) = timeout(ACCEPT_RETRY, listener.accept()).await {
                    ConnectionLimit::turn_away(&tcp);
                }
                spare.take_back();
            }
            Err(_) => {
                tokio::time::sleep(ACCEPT_RETRY).await;
                spare.take_back();
            }
        }
    }
}

/// Frames are written when there is something to say, and the system holds as much unsent as one socket
/// is given in a turn, and no more (F3).
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    SockRef::from(tcp).set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// Serves one connection, until it becomes a WebSocket or ends.
async fn serve_http(
    tcp: TcpStream,
    peer: SocketAddr,
    guest: ConnectionPermit,
    router: Router,
    shared: Arc<Shared>,
) {
    let accepted = Instant::now();
    let first_frame = Duration::from_millis(shared.settings.first_frame_ms);
    if let Err(error) = prepare(&tcp) {
        tracing::debug!(%peer, %error, "connection failed before its first request");
        return;
    }
    // A proxy may send several requests over one connection; only the first one's time began with it.
    let served = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        let first = !served.swap(true, Ordering::Relaxed);
        let at = if first { accepted } else { Instant::now() };
        request.extensions_mut().insert(Arrival {
            peer,
            at,
            _guest: guest.clone(),
        });
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(first_frame)
        .max_buf_size(HTTP_BYTES_MAX)
        // Nobody waits for long for an answer here: to look meanwhile whether the client has gone costs each socket
        // a system call and a buffer.
        .half_close(true)
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "connection closed");
    }
}
