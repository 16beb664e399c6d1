use std::net::SocketAddr;

use anyhow::Context;
use outlast_testkit::{free_address, http, outlast};

use crate::{process::Process, redis::Server};

/// One gateway, one worker and one keeper of sessions, each in a process of its own, on one Redis.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) gateway: Process,
    pub(crate) worker: Process,
    _keeper: Process,
    pub(crate) redis: Server,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    worker_admin: String,
}

impl Fleet {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let redis = Server::start()?;
        let store = redis.url();
        let admin = free_address();
        let (worker, _) = start("worker", &store, &["--admin-listen", &admin])?;
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

    /// Returns the worker's metrics.
    pub(crate) fn worker_metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::fetch(&self.worker_admin)
    }
}

/// A process's metrics at one moment.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    fn fetch(address: &str) -> anyhow::Result<Self> {
        let answer = http::request("GET", address, "/metrics", &[], "");
        Ok(Metrics(answer.context("the admin listener")?.text))
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
    let mut command = outlast::command(&[role, "--store", store, "--log", "warn"]);
    command.args(flags);
    Process::start_ready(&format!("outlast {role}"), &mut command)
}
