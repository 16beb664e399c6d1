//! What a run needs on this machine: Redis, gateways, workers, a keeper. All of it dies with the run.

mod metrics;
mod process;
mod redis;

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};

use self::redis::Redis;
pub(crate) use self::{metrics::Metrics, process::Process};
use crate::options::Options;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) redis: Redis,
    pub(crate) gateways: Vec<Process>,
    pub(crate) workers: Vec<Process>,
    pub(crate) keeper: Process,
}

impl Stage {
    /// Starts it all, with so many workers, and waits until it serves.
    pub(crate) async fn start(options: &Options, workers: usize) -> anyhow::Result<Stage> {
        let outlast = outlast(options)?;
        let redis = Redis::start().await?;
        let (store, folder) = (redis.url(), redis.folder().to_owned());
        let start = async |role: &str, name: String, flags: &[&str]| {
            let admin = format!("{}:{}", Ipv4Addr::LOCALHOST, free_port()?);
            let mut words = vec![
                role,
                "--store",
                &store,
                "--admin-listen",
                &admin,
                "--log",
                "warn",
            ];
            words.extend(flags);
            words.extend(options.outlast_flag.iter().map(String::as_str));
            Process::start_ready(name, &outlast, &words, &folder, Some(&admin)).await
        };
        let mut stage = Stage {
            gateways: Vec::new(),
            workers: Vec::new(),
            keeper: start("sessions", "keeper".into(), &[]).await?,
            redis,
        };
        for number in 1..=workers {
            let name = if workers == 1 {
                "worker".into()
            } else {
                format!("worker {number}")
            };
            stage.workers.push(start("worker", name, &[]).await?);
        }
        let drain_ms = options.drain_ms.to_string();
        for letter in ["a", "b"] {
            let flags = [
                "--listen",
                "127.0.0.1:0",
                "--allow-anonymous",
                "--drain-ms",
                &drain_ms,
            ];
            stage
                .gateways
                .push(start("gateway", format!("gateway {letter}"), &flags).await?);
        }
        Ok(stage)
    }

    /// Where clients connect.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let addresses = self.gateways.iter().map(|gateway| gateway.address.clone());
        let addresses: Option<Vec<_>> = addresses.collect();
        addresses.context("a gateway did not say where it listens")
    }

    /// Everything that runs, with its name and process id.
    pub(crate) fn pids(&self) -> Vec<(String, u32)> {
        let outlast = self
            .gateways
            .iter()
            .chain(&self.workers)
            .chain([&self.keeper]);
        outlast
            .chain([&self.redis.process])
            .filter_map(|process| Some((process.name.clone(), process.pid()?)))
            .collect()
    }

    /// What each gateway has counted so far; one that has gone tells nothing.
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

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// How long something that was started may take to serve.
const READY_WITHIN: Duration = Duration::from_secs(30);
