//! A TCP proxy that delays, holds, swallows and cuts bytes, in each direction by itself.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The proxy; its connections are cut when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// The way that bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Toward {
    Server,
    Client,
}

/// Something that happens to a connection, once, after so many more bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Hitch {
    pub toward: Toward,
    pub after_bytes: usize,
    pub what: Snag,
}

/// A fault of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snag {
    /// Both sides are closed.
    Cut,
    /// Nothing passes in this direction for a while; then everything that was held does.
    Hold(Duration),
    /// Nothing passes in this direction any more, and nobody is told: half-open.
    Swallow,
    /// Each piece is late by so much for a while.
    #[expect(missing_docs, reason = "the names say it")]
    Slow { by: Duration, lasting: Duration },
}

#[derive(Debug)]
struct Shared {
    upstreams: Vec<String>,
    turn: AtomicUsize,
    lines: Mutex<Vec<Weak<Line>>>,
    /// For connections that are made before this moment.
    coming: Mutex<Option<(Instant, Hitch)>>,
    /// A connection that sends this is held up for as long as it stands here.
    mark: watch::Sender<Option<Vec<u8>>>,
    /// The number of connections that have been held up.
    held: watch::Sender<usize>,
}

/// A connection.
#[derive(Debug)]
struct Line {
    hitches: Mutex<Vec<Hitch>>,
    slow: Mutex<Option<(Toward, Duration, Instant)>>,
    cut: CancellationToken,
}

const DIAL: Duration = Duration::from_secs(2);

impl Proxy {
    /// Listens, and passes each connection on to one of these, in turns; one that refuses is passed over.
    pub async fn start(upstreams: &[String]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstreams: upstreams.to_vec(),
            turn: AtomicUsize::new(0),
            lines: Mutex::default(),
            coming: Mutex::default(),
            mark: watch::Sender::new(None),
            held: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Proxy {
            address,
            shared,
            task,
        }
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns the number of connections.
    pub fn connections(&self) -> usize {
        self.lines().len()
    }

    /// Lets this happen to some connections: which of them counts is asked of `chosen`, by number.
    pub fn hitch(&self, hitch: Hitch, mut chosen: impl FnMut(usize) -> bool) -> usize {
        let lines = self.lines().into_iter().enumerate();
        let hit: Vec<_> = lines.filter(|(number, _)| chosen(*number)).collect();
        for (_, line) in &hit {
            line.hitches.lock().unwrap().push(hitch);
        }
        hit.len()
    }

    /// Lets this happen to each connection that is made within a while.
    pub fn hitch_coming(&self, hitch: Hitch, within: Duration) {
        *self.shared.coming.lock().unwrap() = Some((Instant::now() + within, hitch));
    }

    /// From now on a connection that sends this delivers neither it nor anything after it, as TCP does when a packet
    /// was lost. Others are not held up.
    pub fn hold_from(&self, mark: &str) {
        self.shared.mark.send_replace(Some(mark.into()));
    }

    /// Waits until so many connections are held up.
    pub async fn holds(&self, connections: usize) {
        let mut held = self.shared.held.subscribe();
        held.wait_for(|held| *held >= connections).await.unwrap();
    }

    /// Delivers what was held up, also what whoever sent it has long given up.
    pub fn release(&self) {
        self.shared.mark.send_replace(None);
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        self.lines().iter().for_each(|line| line.cut.cancel());
    }

    /// From now on nothing happens any more that has not happened yet.
    pub fn calm(&self) {
        *self.shared.coming.lock().unwrap() = None;
        for line in self.lines() {
            line.hitches.lock().unwrap().clear();
            *line.slow.lock().unwrap() = None;
        }
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        let mut lines = self.shared.lines.lock().unwrap();
        lines.retain(|line| line.strong_count() > 0);
        lines.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut_all();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Some(server) = dial(&shared).await {
                join(client, server, &shared).await;
            }
        });
    }
}

async fn dial(shared: &Shared) -> Option<TcpStream> {
    let first = shared.turn.fetch_add(1, Ordering::Relaxed);
    for offset in 0..shared.upstreams.len() {
        let upstream = &shared.upstreams[(first + offset) % shared.upstreams.len()];
        if let Ok(Ok(stream)) = timeout(DIAL, TcpStream::connect(upstream)).await {
            return Some(stream);
        }
    }
    None
}

async fn join(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let coming = *shared.coming.lock().unwrap();
    let coming = coming.filter(|(until, _)| *until > Instant::now());
    let line = Arc::new(Line {
        hitches: Mutex::new(coming.into_iter().map(|(_, hitch)| hitch).collect()),
        slow: Mutex::default(),
        cut: CancellationToken::new(),
    });
    shared.lines.lock().unwrap().push(Arc::downgrade(&line));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = pump(from_client, to_server, shared, &line, Toward::Server);
    let down = pump(from_server, to_client, shared, &line, Toward::Client);
    let both = async { tokio::join!(up, down) };
    tokio::select! {
        _ = both => {}
        () = line.cut.cancelled() => {}
    }
}

/// Passes bytes on until one side ends.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    line: &Line,
    toward: Toward,
) {
    let mut piece = vec![0; 1 << 16];
    let mut swallowed = false;
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let mut rest = &piece[..read];
        if toward == Toward::Server && shared.marks(rest) {
            shared.held.send_modify(|held| *held += 1);
            let mut mark = shared.mark.subscribe();
            mark.wait_for(Option::is_none).await.unwrap();
        }
        while let Some((bytes, what)) = line.next(toward, rest.len()) {
            if !swallowed && to.write_all(&rest[..bytes]).await.is_err() {
                return;
            }
            rest = &rest[bytes..];
            match what {
                Snag::Cut => return line.cut.cancel(),
                Snag::Hold(pause) => sleep(pause).await,
                Snag::Swallow => swallowed = true,
                Snag::Slow { by, lasting } => {
                    *line.slow.lock().unwrap() = Some((toward, by, Instant::now() + lasting));
                }
            }
        }
        if let Some(late) = line.lateness(toward) {
            sleep(late).await;
        }
        if !swallowed && to.write_all(rest).await.is_err() {
            return;
        }
    }
    if !swallowed {
        to.shutdown().await.ok();
    }
}

impl Shared {
    fn marks(&self, bytes: &[u8]) -> bool {
        let mark = self.mark.borrow();
        mark.as_ref()
            .is_some_and(|mark| bytes.windows(mark.len()).any(|window| window == mark))
    }
}

impl Line {
    /// Returns the fault within the next bytes of this direction, and after how many bytes it comes.
    fn next(&self, toward: Toward, bytes: usize) -> Option<(usize, Snag)> {
        let mut hitches = self.hitches.lock().unwrap();
        let at = hitches.iter().position(|hitch| hitch.toward == toward)?;
        if hitches[at].after_bytes <= bytes {
            let hitch = hitches.remove(at);
            return Some((hitch.after_bytes, hitch.what));
        }
        hitches[at].after_bytes -= bytes;
        None
    }

    fn lateness(&self, toward: Toward) -> Option<Duration> {
        let slow = (*self.slow.lock().unwrap())?;
        (slow.0 == toward && Instant::now() < slow.2).then_some(slow.1)
    }
}
