use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinSet,
};

/// What lies between a process and its store, and may deliver late, as TCP does when a packet was lost: also what
/// whoever sent it has long given up.
pub(crate) struct Proxy {
    port: u16,
    /// What a connection is held up from, for as long as there is something.
    mark: Arc<Mutex<Option<Vec<u8>>>>,
    held: watch::Sender<usize>,
    release: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            mark: Arc::default(),
            held: watch::Sender::new(0),
            release: watch::Sender::new(false),
            _tasks: JoinSet::new(),
        };
        let (mark, held, release) = (
            proxy.mark.clone(),
            proxy.held.clone(),
            proxy.release.clone(),
        );
        proxy._tasks.spawn(async move {
            loop {
                let (here, _) = listener.accept().await.unwrap();
                let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                    continue;
                };
                let (from, mut to_client) = here.into_split();
                let (mut answers, to) = there.into_split();
                tokio::spawn(async move { copy(&mut answers, &mut to_client).await });
                let gate = Gate {
                    mark: mark.clone(),
                    held: held.clone(),
                    release: release.subscribe(),
                };
                tokio::spawn(gate.pass(from, to));
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on a connection that sends this delivers neither it nor anything behind it. Others are not held up.
    pub(crate) fn hold_from(&self, mark: &str) {
        *self.mark.lock().unwrap() = Some(mark.into());
    }

    /// Waits until so many connections are held up.
    pub(crate) async fn holds(&self, connections: usize) {
        let mut held = self.held.subscribe();
        held.wait_for(|held| *held >= connections).await.unwrap();
    }

    /// Delivers what was held up.
    pub(crate) fn release(&self) {
        *self.mark.lock().unwrap() = None;
        self.release.send_replace(true);
    }
}

struct Gate {
    mark: Arc<Mutex<Option<Vec<u8>>>>,
    held: watch::Sender<usize>,
    release: watch::Receiver<bool>,
}

impl Gate {
    async fn pass(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            if self.is_to_be_held(&bytes[..length]) {
                self.held.send_modify(|held| *held += 1);
                self.release.wait_for(|released| *released).await.ok();
            }
            if to.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    }

    fn is_to_be_held(&self, bytes: &[u8]) -> bool {
        let mark = self.mark.lock().unwrap();
        mark.as_ref()
            .is_some_and(|mark| bytes.windows(mark.len()).any(|window| window == mark))
    }
}
