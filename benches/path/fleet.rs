use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Context;

use crate::{
    process::Process,
    redis::{Server, free_port},
};

/// One gateway, one worker and one keeper of sessions, each in a process of its own, on one Redis.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) gateway: Process,
    pub(crate) worker: Process,
    _keeper: Process,
    pub(crate) redis: Server,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    worker_admin: SocketAddr,
}

impl Fleet {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let redis = Server::start()?;
        let store = redis.url();
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let (worker, _) = start("worker", &store, &["--admin-listen", &admin.to_string()])?;
        let (keeper, _) = start("sessions", &store, &["--admin-listen", "off"])?;
        let gateway_flags = [
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "off",
            "--allow-anonymous",
            "--actions-per-s",
            "1000000",
        ];
        let (gateway, line) = start("gateway", &store, &gateway_flags)?;
        let (_, address) = line
            .rsplit_once("http://")
            .context("the gateway names no address")?;
        let address = address.parse().context("the gateway's address")?;
        Ok(Fleet {
            gateway,
            worker,
            _keeper: keeper,
            redis,
            address,
            worker_admin: admin,
        })
    }

    /// What the worker counts.
    pub(crate) fn worker_metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::fetch(self.worker_admin)
    }
}

/// A process's metrics at one moment.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    fn fetch(address: SocketAddr) -> anyhow::Result<Self> {
        let mut tcp = TcpStream::connect(address).context("the admin listener")?;
        tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
        tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        tcp.read_to_string(&mut text)?;
        Ok(Metrics(text))
    }

    /// The sum over all series of this very name; 0 where there is none yet.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        let of_name = lines.filter(|(series, _)| series.split('{').next() == Some(name));
        of_name
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }
}

fn start(role: &str, store: &str, flags: &[&str]) -> anyhow::Result<(Process, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outlast"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OUTLAST_") {
            command.env_remove(name);
        }
    }
    command
        .args([role, "--store", store, "--log", "warn"])
        .args(flags);
    Process::start_ready(&format!("outlast {role}"), &mut command)
}
