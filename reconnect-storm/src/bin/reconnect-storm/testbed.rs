//! The servers of a run on this machine: Redis, gateways, workers, a keeper. All of it dies with the run.

mod metrics;
mod process;
mod redis;

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use tokio::net::TcpSocket;

use self::redis::Redis;
pub(crate) use self::{metrics::Metrics, process::Process};
use crate::options::{Options, ScenarioName};

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Testbed {
    pub(crate) redis: Redis,
    pub(crate) gateways: Vec<Process>,
    pub(crate) workers: Vec<Process>,
    pub(crate) keeper: Process,
    _ports: Vec<Port>,
}

/// A port that nobody else gets while this is kept: it is bound to a socket that does not listen, and a server
/// may share it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _hold: TcpSocket,
}

impl Testbed {
    /// Starts all that a scenario needs, and waits until it serves.
    pub(crate) async fn start(options: &Options, name: ScenarioName) -> anyhow::Result<Testbed> {
        let outlast = outlast(options)?;
        let is_worker = name == ScenarioName::Worker;
        let workers: &[&str] = if is_worker {
            &["worker 1", "worker 2"]
        } else {
            &["worker"]
        };
        // With `everysec`, a write may wait for the disk and be lost with the process, though it was answered.
        let is_store = name == ScenarioName::Store;
        let fsync = if is_store { "always" } else { "everysec" };
        let redis = Redis::start(fsync).await?;
        let (store, folder) = (redis.url(), redis.folder().to_owned());
        let mut ports = Vec::new();
        let mut start = async |role: &str, name: String, flags: &[&str]| {
            let port = Port::hold()?;
            let admin = format!("{}:{}", Ipv4Addr::LOCALHOST, port.number);
            ports.push(port);
            let mut words = vec![role, "--store", &store, "--admin-listen", &admin];
            words.extend(["--log", "warn"]);
            words.extend(flags);
            words.extend(options.outlast_flag.iter().map(String::as_str));
            Process::start_ready(name, &outlast, &words, &folder, Some(&admin)).await
        };
        let mut testbed = Testbed {
            gateways: Vec::new(),
            workers: Vec::new(),
            keeper: start("sessions", "keeper".into(), &[]).await?,
            redis,
            _ports: Vec::new(),
        };
        for name in workers {
            let worker = start("worker", name.to_string(), &[]).await?;
            testbed.workers.push(worker);
        }
        let drain = format!("--drain-ms={}", options.drain_ms);
        let flags = ["--listen=127.0.0.1:0", "--allow-anonymous", &drain];
        for name in ["gateway a", "gateway b"] {
            let gateway = start("gateway", name.into(), &flags).await?;
            testbed.gateways.push(gateway);
        }
        testbed._ports = ports;
        Ok(testbed)
    }

    /// Where clients connect.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let addresses = self.gateways.iter().map(|gateway| gateway.address.clone());
        let addresses: Option<Vec<_>> = addresses.collect();
        addresses.context("a gateway did not say where it listens")
    }

    /// Everything that runs, with its name and process id.
    pub(crate) fn pids(&self) -> Vec<(String, u32)> {
        let outlast = self.gateways.iter().chain(&self.workers);
        let all = outlast.chain([&self.keeper, &self.redis.process]);
        all.filter_map(|process| Some((process.name.clone(), process.pid()?)))
            .collect()
    }

    /// The counts of each gateway so far; one that has gone tells nothing.
    pub(crate) async fn gateway_metrics(&mut self) -> Vec<Option<Metrics>> {
        let mut all = Vec::new();
        for gateway in &mut self.gateways {
            all.push(gateway.metrics().await.ok());
        }
        all
    }

    /// An error where something has ended that was not to.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let outlast = self.gateways.iter_mut().chain(&mut self.workers);
        for process in outlast.chain([&mut self.keeper, &mut self.redis.process]) {
            process.check()?;
        }
        Ok(())
    }
}

fn outlast(options: &Options) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("outlast"));
    let path = options.outlast.clone().or_else(beside).unwrap_or_default();
    ensure!(
        path.is_file(),
        "{} is not there; run `cargo build --release` first, or give --outlast PATH",
        path.display()
    );
    Ok(path)
}

impl Port {
    fn hold() -> anyhow::Result<Port> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let number = socket.local_addr()?.port();
        Ok(Port {
            number,
            _hold: socket,
        })
    }
}

/// The time that something may take to serve once it was started.
const READY_WITHIN: Duration = Duration::from_secs(60);
