//! A baseline: a WebSocket whose other end sends back what it is sent. In a process of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::{WebSocketUpgrade, ws::WebSocket},
    routing::any,
    serve::ListenerExt,
};
use tokio::net::TcpListener;

use crate::{Process, client, process::until_orphaned};

pub(crate) const PART: &str = "echo";

/// One connection to an echoing process.
#[derive(Debug)]
pub(crate) struct Echo {
    wire: client::Wire,
    _process: Process,
}

impl Echo {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (process, address) = Process::start_part(PART, &[])?;
        let address: SocketAddr = address.parse().context("the echo's address")?;
        Ok(Echo {
            wire: client::Wire::connect(address, "/")?,
            _process: process,
        })
    }

    /// There and back.
    pub(crate) fn trip(&mut self, text: String) -> anyhow::Result<()> {
        self.wire.send(text.clone())?;
        let echoed = self.wire.receive()?;
        ensure!(echoed.as_str() == text, "the echo says something else");
        Ok(())
    }
}

/// The main function of the process.
#[tokio::main]
pub(crate) async fn serve() -> anyhow::Result<()> {
    thread::spawn(|| {
        until_orphaned();
        std::process::exit(0);
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let router = Router::new().route("/", any(upgrade));
    let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap_or_default());
    axum::serve(listener, router).await?;
    Ok(())
}

/// With the gateway's own settings.
async fn upgrade(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_message_size(65_536)
        .max_frame_size(65_536)
        .on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
