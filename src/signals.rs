//! The signals that tell the process to stop.

use anyhow::Context;
use tokio_util::sync::CancellationToken;

/// Cancelled by the first request to stop; a second one ends the process at once (D3).
///
/// # Errors
/// Where the system lets nobody wait for its signals.
pub(crate) fn on_stop() -> anyhow::Result<CancellationToken> {
    /// The exit code that a shell reports of a program that an interrupt has ended.
    const INTERRUPTED: i32 = 130;
    let mut requests = Requests::new()?;
    let told = CancellationToken::new();
    let tell = told.clone();
    tokio::spawn(async move {
        requests.next().await;
        tell.cancel();
        requests.next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(told)
}

/// SIGTERM and SIGINT.
#[cfg(unix)]
struct Requests {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Requests {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Requests {
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ctrl-C, Ctrl-Break, and the end of the console or of the machine.
#[cfg(windows)]
struct Requests {
    interrupt: tokio::signal::windows::CtrlC,
    stop: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Requests {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Requests {
            interrupt: ctrl_c().context("cannot wait for Ctrl-C")?,
            stop: ctrl_break().context("cannot wait for Ctrl-Break")?,
            close: ctrl_close().context("cannot wait for the console's end")?,
            shutdown: ctrl_shutdown().context("cannot wait for a shutdown")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.stop.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}
