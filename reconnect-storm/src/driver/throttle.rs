use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// A connection that may be read no faster than so many bytes a second, as over a bad network.
#[derive(Debug)]
pub(super) struct ThrottledStream {
    tcp: TcpStream,
    /// 0: as fast as they come.
    bytes_per_s: Arc<AtomicU32>,
    /// The bytes that may be read before the next pause.
    left: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

/// The rate is paid out in so many portions, with a pause before each.
const PORTIONS_PER_S: usize = 10;
const PAUSE: Duration = Duration::from_millis(1_000 / PORTIONS_PER_S as u64);

impl ThrottledStream {
    pub(super) fn new(tcp: TcpStream, bytes_per_s: Arc<AtomicU32>) -> Self {
        ThrottledStream {
            tcp,
            bytes_per_s,
            left: 0,
            pause: None,
        }
    }

    /// The bytes that may be read between two pauses.
    fn portion(&self) -> usize {
        let bytes_per_s = self.bytes_per_s.load(Ordering::Relaxed) as usize;
        (bytes_per_s / PORTIONS_PER_S).max(1)
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for ThrottledStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
                this.left = this.portion();
            }
            if this.bytes_per_s.load(Ordering::Relaxed) == 0 {
                return Pin::new(&mut this.tcp).poll_read(cx, buf);
            }
            if this.left == 0 {
                this.pause = Some(Box::pin(sleep(PAUSE)));
                continue;
            }
            let mut portion = [0; 256];
            let room = this.left.min(buf.remaining()).min(portion.len());
            let mut portion = ReadBuf::new(&mut portion[..room]);
            ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut portion))?;
            buf.put_slice(portion.filled());
            this.left -= portion.filled().len();
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for ThrottledStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
