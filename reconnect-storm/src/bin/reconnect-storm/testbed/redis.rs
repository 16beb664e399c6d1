use std::{path::Path, time::Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, sleep},
};

use super::{Port, Process, READY_WITHIN};

/// A redis-server on a free port, in a folder of its own that is gone with it.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) process: Process,
    port: Port,
    fsync: &'static str,
    folder: TempDir,
}

impl Redis {
    pub(super) async fn start(fsync: &'static str) -> anyhow::Result<Redis> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let port = Port::hold()?;
        let process = start(port.number, fsync, folder.path())?;
        let mut redis = Redis {
            process,
            port,
            fsync,
            folder,
        };
        redis.ready().await?;
        Ok(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port.number)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL, and after a while it is there again, with what it had written.
    pub(crate) async fn die_and_return(&mut self, away: Duration) -> anyhow::Result<()> {
        self.process.kill().await?;
        sleep(away).await;
        self.process = start(self.port.number, self.fsync, self.folder.path())?;
        self.ready().await
    }

    /// Waits until it has loaded what it has.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.process.check()?;
            if ping(self.port.number)
                .await
                .is_ok_and(|answer| answer.starts_with("+PONG"))
            {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < READY_WITHIN,
                "redis-server does not answer"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn start(port: u16, fsync: &str, folder: &Path) -> anyhow::Result<Process> {
    let (port, folder_name) = (port.to_string(), folder.to_string_lossy());
    let words = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        fsync,
        "--stream-node-max-bytes",
        "512",
        "--logfile",
        "redis.log",
        "--dir",
        &folder_name,
    ];
    Process::start("redis".into(), Path::new("redis-server"), &words, folder)
        .context("redis-server 7 has to be in the PATH")
}

async fn ping(port: u16) -> anyhow::Result<String> {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.write_all(b"PING\r\n").await?;
    let mut answer = [0; 64];
    let read = tcp.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}
