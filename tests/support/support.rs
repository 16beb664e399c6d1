//! Real processes and a client that speaks raw frames.

mod client;
mod process;
mod redis;

pub(crate) use client::{Client, act, join, leave, room_of, said};
pub(crate) use process::{Exit, Server, Starting, command};
pub(crate) use redis::Redis;

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

/// How long anything may take that has no bound of its own in the contract, on a machine that is busy with
/// other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Holds what takes time against the contract. A machine may be busy with other things at that moment, and so
/// it is asked again, with a wider bound each time; what is really too slow stays so.
pub(crate) async fn in_time(bound: Duration, mut measure: impl AsyncFnMut() -> Duration) {
    let mut late = Vec::new();
    for attempt in 1..=6 {
        let took = measure().await;
        if took < attempt * bound {
            println!("it took {took:?}, and may take {bound:?}; before that {late:?}");
            return;
        }
        late.push(took);
    }
    panic!("it took {late:?}, and may take {bound:?}");
}

/// Waits until a condition holds.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "in {PATIENCE:?} it did not come true that {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port of this machine that nobody else gets until the tests end, also while no server is there: it is
/// bound to a socket that does not listen, and a server may share it.
pub(crate) fn free_port() -> u16 {
    static HELD: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    HELD.lock().unwrap().push(socket);
    port
}
