//! Connections that have no session yet: bounded, so that what they take is (D1).

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::telemetry;

/// A bound on the connections without a session.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimit {
    places: Arc<Semaphore>,
}

/// A connection's place within the bound; dropping the last copy makes room.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPermit {
    _place: Arc<OwnedSemaphorePermit>,
}

/// Where and when a request came from.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) peer: SocketAddr,
    /// When its connection was made, or had answered the request before.
    pub(crate) at: Instant,
    /// Its place among the connections without a session.
    pub(crate) _guest: ConnectionPermit,
}

/// The answer to a connection that finds no place. Nothing that it says is read.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\
                      connection: close\r\n\r\n";

impl ConnectionLimit {
    pub(crate) fn new(places: usize) -> Self {
        let places = places.min(Semaphore::MAX_PERMITS);
        ConnectionLimit {
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// Takes a connection in, or turns it away at once.
    pub(crate) fn enter(&self, tcp: &TcpStream) -> Option<ConnectionPermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(ConnectionPermit {
                _place: Arc::new(place),
            });
        }
        ConnectionLimit::turn_away(tcp);
        None
    }

    /// Tells a connection to come back.
    pub(crate) fn turn_away(tcp: &TcpStream) {
        metrics::counter!(telemetry::CONNECTIONS_REFUSED).increment(1);
        // A new connection takes as little as this at once, or is lost.
        let _ = tcp.try_write(FULL);
    }
}
