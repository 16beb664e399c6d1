//! The baseline: a server that upgrades to WebSocket and does nothing else, with the libraries that
//! outlast is built on, and in a process of its own.

use std::{convert::Infallible, net::Ipv4Addr, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use hyper::{
    Request, Response, body::Incoming, header::SEC_WEBSOCKET_PROTOCOL, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Child,
};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::role::{self, Role};

/// As many may wait to be accepted as at a gateway.
const BACKLOG: i32 = 4096;

/// A running server of the baseline; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct BareServer {
    child: Child,
    pub(crate) address: String,
}

impl BareServer {
    pub(crate) async fn start() -> anyhow::Result<BareServer> {
        let mut child = role::command(Role::BareServer)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the baseline's server")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address).await?;
        let address = address.trim().to_owned();
        ensure!(!address.is_empty(), "the baseline's server does not start");
        Ok(BareServer { child, address })
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Runs the server's process, until its standard input ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    println!("{}", listener.local_addr()?);
    let accepting = async {
        loop {
            if let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve_one(tcp));
            }
        }
    };
    let mut stdin = tokio::io::stdin();
    let mut nothing = [0; 64];
    let orphaned = async { while stdin.read(&mut nothing).await.is_ok_and(|read| read > 0) {} };
    tokio::select! {
        () = accepting => {}
        () = orphaned => {}
    }
    Ok(())
}

async fn serve_one(tcp: TcpStream) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(16 * 1024)
        .half_close(true)
        .serve_connection(TokioIo::new(tcp), service_fn(upgrade))
        .with_upgrades();
    // A client that goes ends it with an error.
    connection.await.ok();
}

async fn upgrade(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    let Ok(mut response) = create_response_with_body(&request, String::new) else {
        return Ok(Response::new("this upgrades, and nothing else\n".into()));
    };
    if let Some(subprotocol) = request.headers().get(SEC_WEBSOCKET_PROTOCOL) {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
    }
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return;
        };
        // Nobody says anything: this waits for the end.
        let mut nothing = [0; 16];
        let mut tcp = parts.io.into_inner();
        while tcp.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
    });
    Ok(response)
}
