//! Ports of this machine.

use std::{net::Ipv4Addr, sync::Mutex};

use tokio::net::TcpSocket;

/// Returns a port that nobody else gets until this process ends, also while no server is there: it is bound to a
/// socket that does not listen, and a server may share it.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    HELD.lock().unwrap().push(socket);
    port
}

/// Returns `127.0.0.1:PORT` with a [`free_port`].
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}
