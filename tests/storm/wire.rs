//! A network between clients and server that may swallow an event or deliver it twice.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

/// The wire's fault, once, to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Drop,
    Double,
}

pub(crate) struct Wire {
    address: SocketAddr,
}

/// Which event it is.
const NTH: u32 = 100;

impl Wire {
    /// Leads to a server, until the test ends.
    pub(crate) fn start(server: String, fault: Fault) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let events = Arc::new(AtomicU32::new(0));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    io::copy(&mut from, &mut to).ok();
                    to.shutdown(Shutdown::Both).ok();
                });
                let events = events.clone();
                thread::spawn(move || {
                    carry(&server, &client, fault, &events).ok();
                    client.shutdown(Shutdown::Both).ok();
                });
            }
        });
        Wire { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// From server to client: an answer to the upgrade, then frames, which servers do not mask (RFC 6455, 5.1).
fn carry(
    server: &TcpStream,
    mut client: &TcpStream,
    fault: Fault,
    events: &AtomicU32,
) -> io::Result<()> {
    let mut server = io::BufReader::new(server);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    client.write_all(&head)?;
    loop {
        let mut frame = vec![0; 2];
        server.read_exact(&mut frame)?;
        let more = match frame[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut length = vec![0; more];
        server.read_exact(&mut length)?;
        let bytes = match more {
            0 => usize::from(frame[1]),
            _ => length
                .iter()
                .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)),
        };
        let mut payload = vec![0; bytes];
        server.read_exact(&mut payload)?;
        frame.extend(length);
        frame.extend(&payload);
        let is_said = payload.windows(6).any(|word| word == b"\"said\"")
            && payload.starts_with(br#"{"t":"event""#);
        let is_hit = is_said && events.fetch_add(1, Ordering::Relaxed) + 1 == NTH;
        match (fault, is_hit) {
            (Fault::Drop, true) => {}
            (Fault::Double, true) => client.write_all(&[frame.clone(), frame].concat())?,
            _ => client.write_all(&frame)?,
        }
    }
}
