use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::{Process, scratch};

/// How the Redis of every part is set.
pub(crate) const OPTIONS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--stream-node-max-bytes",
    "512",
];

/// A redis-server on a free port and in a folder of its own. Stopped when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    port: u16,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = scratch()?;
        for _ in 0..20 {
            let port = free_port()?;
            let process = Process::start(
                "redis-server",
                Command::new("redis-server")
                    .args([
                        "--port",
                        &port.to_string(),
                        "--bind",
                        "127.0.0.1",
                        "--save",
                        "",
                    ])
                    .args(OPTIONS)
                    .args(["--maxclients", "10000", "--dir"])
                    .arg(folder.path())
                    .stdout(Stdio::null()),
            )?;
            if answers(&process, port)? {
                return Ok(Server {
                    process,
                    port,
                    _folder: folder,
                });
            }
        }
        bail!("none of twenty free ports stayed free")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// False where somebody else took the port.
fn answers(process: &Process, port: u16) -> anyhow::Result<bool> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while process.check().is_ok() {
        let ping = client
            .get_connection()
            .and_then(|mut to| redis::cmd("PING").exec(&mut to));
        match ping {
            Ok(()) => return process.check().map(|()| true),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("redis-server does not answer");
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    Ok(false)
}
