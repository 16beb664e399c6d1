//! An experiment: servers, clients, and what is seen of both.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use reconnect_storm::{Settings, Socket};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    options::{Options, ScenarioName, address, trust},
    pool::{ClientPool, Cohort, Command, Results, Timeline},
    probe::{CLIENTS, Probe, ProcessUsage, now_us},
    progress::Progress,
    testbed::{Metrics, Testbed},
};

/// Servers and clients, in one scenario.
#[derive(Debug)]
pub(crate) struct Experiment {
    pub(crate) options: Options,
    /// The servers, unless --url names a deployment.
    pub(crate) testbed: Option<Testbed>,
    pub(crate) pool: ClientPool,
    pub(crate) probe: Probe,
    pub(crate) progress: Progress,
    pub(crate) addresses: Vec<String>,
    /// The times of it all, on the clock of the system.
    pub(crate) times: Times,
    pub(crate) metrics_before: Vec<Option<Metrics>>,
    /// Actions and their length from the warm-up on.
    pub(crate) text_bytes: usize,
    pub(crate) rate_per_s: f64,
    run: String,
    clients: u32,
}

/// The results of an experiment in which everything has been stopped.
#[derive(Debug)]
pub(crate) struct Observations {
    pub(crate) options: Options,
    pub(crate) times: Times,
    pub(crate) rate_per_s: f64,
    pub(crate) timeline: Arc<Mutex<Timeline>>,
    /// Processes and what they took.
    pub(crate) processes: Vec<ProcessUsage>,
    /// The gateways' counts from the storm on, if they are ours.
    pub(crate) counted: Option<Metrics>,
}

/// The beginnings of phases, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) quiet_us: u64,
    pub(crate) storm_us: u64,
    pub(crate) end_us: u64,
}

impl Experiment {
    /// Starts what is needed for a scenario.
    pub(crate) async fn prepare(
        name: ScenarioName,
        options: &Options,
    ) -> anyhow::Result<Experiment> {
        let (testbed, addresses) = if options.url.is_empty() {
            let testbed = Testbed::start(options, name).await?;
            let addresses = testbed.addresses()?;
            (Some(testbed), addresses)
        } else {
            let addresses = options.url.iter().map(|url| address(url));
            let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
            reach(&addresses, options).await?;
            (None, addresses)
        };
        let pool = ClientPool::start(options.processes())?;
        let probe = Probe::start();
        for (name, pid) in testbed.iter().flat_map(Testbed::pids) {
            probe.watch(name, pid);
        }
        watch_pool(&probe, &pool);
        let progress = Progress::start(pool.timeline());
        Ok(Experiment {
            options: options.clone(),
            testbed,
            pool,
            probe,
            progress,
            addresses,
            times: Times::default(),
            metrics_before: Vec::new(),
            text_bytes: 0,
            rate_per_s: options.rate,
            run: format!("{:x}", now_us() / 1_000),
            clients: 0,
        })
    }

    /// The cohort that the options ask for; the scenario may alter it.
    pub(crate) fn cohort(&self) -> Cohort {
        Cohort {
            first: self.clients,
            run: self.run.clone(),
            ..Cohort::new(&self.options, self.addresses.clone())
        }
    }

    /// Clients come and join, and it is waited for all of them.
    pub(crate) async fn arrive(&mut self, cohort: Cohort) -> anyhow::Result<()> {
        self.progress.phase("arriving");
        self.clients += cohort.clients;
        self.pool.arrive(cohort).await
    }

    /// Everybody acts, and nothing else happens.
    pub(crate) async fn be_quiet(&mut self) -> anyhow::Result<()> {
        self.progress.phase("quiet");
        let (per_s, text_bytes) = (self.rate_per_s, self.text_bytes);
        self.pool.all(Command::Act { per_s, text_bytes }).await?;
        // What the arrival has stirred up is to settle first.
        sleep(Duration::from_secs(1)).await;
        self.times.quiet_us = now_us();
        sleep(self.options.warmup).await;
        Ok(())
    }

    /// The storm begins with whatever comes next.
    pub(crate) async fn storm(&mut self) -> anyhow::Result<()> {
        self.progress.phase("storm");
        if let Some(testbed) = &mut self.testbed {
            self.metrics_before = testbed.gateway_metrics().await;
        }
        self.times.storm_us = now_us();
        self.pool.all(Command::Storm).await.map(drop)
    }

    /// Runs the operator's command, which is the storm.
    pub(crate) async fn run_storm_command(&mut self) -> anyhow::Result<()> {
        let command = self.options.storm_command.clone();
        let command = command.context("a --storm-command is needed here")?;
        let status = tokio::process::Command::new("sh")
            .args(["-c", &command])
            .kill_on_drop(true)
            .status()
            .await?;
        if !status.success() {
            bail!("--storm-command {command:?} failed: {status}");
        }
        Ok(())
    }

    /// Watches for as long as is asked, and until everybody who was cut has caught up, or patience
    /// ends.
    pub(crate) async fn watch(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let timeline = self.pool.timeline();
        loop {
            sleep(Duration::from_millis(100)).await;
            let now = timeline.lock().last();
            let is_over = now.out == 0 && now.caught_up >= now.cut;
            let waited = begin.elapsed();
            if (is_over && waited >= self.options.watch) || waited >= self.options.patience {
                return Ok(());
            }
        }
    }

    /// Everybody comes to an end: what became of them.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<Results> {
        self.progress.phase("settling");
        self.times.end_us = now_us();
        let done = self.pool.settle(self.options.patience).await?;
        if let Some(testbed) = &mut self.testbed {
            testbed.check()?;
        }
        Ok(done)
    }

    /// Stops everything.
    pub(crate) async fn end(mut self) -> Observations {
        let counted = match &mut self.testbed {
            Some(testbed) => {
                let now = testbed.gateway_metrics().await;
                Some(Metrics::grown(&self.metrics_before, &now))
            }
            None => None,
        };
        Observations {
            times: self.times,
            rate_per_s: self.rate_per_s,
            timeline: self.pool.timeline(),
            processes: self.probe.seen(),
            counted,
            options: self.options,
        }
    }

    pub(crate) fn testbed(&mut self) -> anyhow::Result<&mut Testbed> {
        self.testbed
            .as_mut()
            .context("this needs processes of our own, so no --url")
    }
}

/// One connection to each address, so that what everybody would fail at is told at once.
async fn reach(addresses: &[String], options: &Options) -> anyhow::Result<()> {
    for (address, url) in addresses.iter().zip(&options.url) {
        let mut settings = Settings::new([address]);
        settings.trust = trust(options.ca_file.as_deref())?;
        let dial = Socket::dial(address.clone(), &settings, Arc::default());
        let dialled = timeout(settings.attach_timeout, dial).await;
        dialled
            .context("nothing answers")
            .and_then(|socket| Ok(socket?))
            .with_context(|| {
                format!("--url {url} cannot be reached (a certificate of your own needs --ca-file)")
            })?;
    }
    Ok(())
}

fn watch_pool(probe: &Probe, pool: &ClientPool) {
    let pids = pool.pids();
    for (number, pid) in (1..).zip(&pids) {
        let name = match pids.len() {
            1 => CLIENTS.to_owned(),
            _ => format!("{CLIENTS}, {number}"),
        };
        probe.watch(name, *pid);
    }
}
