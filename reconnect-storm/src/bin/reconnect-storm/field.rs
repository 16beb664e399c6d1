//! Where a storm happens: what serves, who comes, and what is seen of both.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use reconnect_storm::{Settings, Socket};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    bare::BareServer,
    options::{Jitter, Options, ScenarioName, address, trust},
    probe::{Probe, Watched, now_us},
    progress::Progress,
    stage::{Metrics, Stage},
    swarm::{Crowd, Done, Journey, Kind, Order, Swarm, Timeline},
};

/// How many clients may be on their way in at once.
const AT_ONCE: usize = 200;

/// A system, with clients in it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) options: Options,
    /// What serves, unless it is a deployment behind --url.
    pub(crate) stage: Option<Stage>,
    pub(crate) swarm: Swarm,
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

/// What is left of a field when everything in it has been stopped.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) options: Options,
    pub(crate) times: Times,
    pub(crate) rate_per_s: f64,
    pub(crate) timeline: Arc<Mutex<Timeline>>,
    /// Processes and what they took.
    pub(crate) processes: Vec<Watched>,
    /// What the gateways counted from the storm on, if they are ours.
    pub(crate) counted: Option<Metrics>,
}

/// When what began, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) quiet_us: u64,
    pub(crate) storm_us: u64,
    pub(crate) end_us: u64,
}

impl Field {
    /// Starts what is needed for a scenario.
    pub(crate) async fn prepare(name: ScenarioName, options: &Options) -> anyhow::Result<Field> {
        let stage = if options.url.is_empty() {
            Some(Stage::start(options, name).await?)
        } else {
            None
        };
        let addresses = match &stage {
            Some(stage) => stage.addresses()?,
            None => options
                .url
                .iter()
                .map(|url| address(url))
                .collect::<Result<_, _>>()?,
        };
        if stage.is_none() {
            reach(&addresses, options).await?;
        }
        let swarm = Swarm::start(options.processes())?;
        let probe = Probe::start();
        for (name, pid) in stage.iter().flat_map(Stage::pids) {
            probe.watch(name, pid);
        }
        watch_swarm(&probe, &swarm);
        let progress = Progress::start(swarm.timeline());
        Ok(Field {
            options: options.clone(),
            stage,
            swarm,
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

    /// The crowd that the options ask for; the scenario may alter it.
    pub(crate) fn crowd(&self) -> Crowd {
        let options = &self.options;
        Crowd {
            kind: Kind::Polite,
            first: self.clients,
            clients: options.clients(),
            first_room: 0,
            rooms: options.rooms(),
            run: self.run.clone(),
            gateways: self.addresses.clone(),
            ca_file: options.ca_file.clone(),
            all_at_first: false,
            token: options.token.clone(),
            jitter: options.jitter == Jitter::Sdk,
            seed: options.seed,
            at_once: AT_ONCE,
            slow_every: None,
            cut_share: 0.0,
            may_diverge: false,
        }
    }

    /// Clients come and join, and it is waited for all of them.
    pub(crate) async fn arrive(&mut self, crowd: Crowd) -> anyhow::Result<()> {
        self.progress.phase("arriving");
        self.clients += crowd.clients;
        self.swarm.arrive(crowd).await
    }

    /// Everybody acts, and nothing else happens.
    pub(crate) async fn be_quiet(&mut self) -> anyhow::Result<()> {
        self.progress.phase("quiet");
        let (per_s, text_bytes) = (self.rate_per_s, self.text_bytes);
        self.swarm.all(Order::Act { per_s, text_bytes }).await?;
        // What the arrival has stirred up is to settle first.
        sleep(Duration::from_secs(1)).await;
        self.times.quiet_us = now_us();
        sleep(self.options.warmup()).await;
        Ok(())
    }

    /// The storm begins with whatever comes next.
    pub(crate) async fn storm(&mut self) -> anyhow::Result<()> {
        self.progress.phase("storm");
        if let Some(stage) = &mut self.stage {
            self.metrics_before = stage.gateway_metrics().await;
        }
        self.times.storm_us = now_us();
        self.swarm.all(Order::Storm).await.map(drop)
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
        let timeline = self.swarm.timeline();
        loop {
            sleep(Duration::from_millis(100)).await;
            let now = timeline.lock().last();
            let is_over = now.out == 0 && now.caught_up >= now.cut;
            let waited = begin.elapsed();
            if (is_over && waited >= self.options.watch()) || waited >= self.options.patience() {
                return Ok(());
            }
        }
    }

    /// Everybody comes to an end: what became of them.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<Done> {
        self.progress.phase("settling");
        self.times.end_us = now_us();
        let done = self.swarm.settle(self.options.patience()).await?;
        if let Some(stage) = &mut self.stage {
            stage.check()?;
        }
        Ok(done)
    }

    /// Stops everything.
    pub(crate) async fn end(mut self) -> Seen {
        let counted = match &mut self.stage {
            Some(stage) => {
                let now = stage.gateway_metrics().await;
                Some(Metrics::grown(&self.metrics_before, &now))
            }
            None => None,
        };
        Seen {
            times: self.times,
            rate_per_s: self.rate_per_s,
            timeline: self.swarm.timeline(),
            processes: self.probe.seen(),
            counted,
            options: self.options,
        }
    }

    pub(crate) fn stage(&mut self) -> anyhow::Result<&mut Stage> {
        self.stage
            .as_mut()
            .context("this needs processes of our own, so no --url")
    }
}

/// The same clients and the same cut, at servers that do nothing but upgrade.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) journeys: Vec<Journey>,
    pub(crate) curves: Vec<crate::report::Point>,
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

impl Baseline {
    pub(crate) async fn run(name: ScenarioName, options: &Options) -> anyhow::Result<Baseline> {
        let servers = [BareServer::start().await?, BareServer::start().await?];
        let mut swarm = Swarm::start(options.processes())?;
        let progress = Progress::start(swarm.timeline());
        progress.phase("bare");
        let crowd = Crowd {
            kind: Kind::Bare,
            first: 0,
            clients: options.clients(),
            first_room: 0,
            rooms: options.rooms(),
            run: String::new(),
            gateways: servers
                .iter()
                .map(|server| server.address.clone())
                .collect(),
            ca_file: options.ca_file.clone(),
            all_at_first: false,
            token: None,
            jitter: options.jitter == Jitter::Sdk,
            seed: options.seed,
            at_once: AT_ONCE,
            slow_every: None,
            cut_share: if name == ScenarioName::Cut {
                options.cut_share()
            } else {
                0.0
            },
            may_diverge: false,
        };
        if name == ScenarioName::Rude {
            // As many come back as in the storm itself, the rude ones included.
            swarm.arrive(crowd.clone()).await?;
            swarm
                .arrive(Crowd {
                    first: crowd.clients,
                    all_at_first: true,
                    ..crowd
                })
                .await?;
        } else {
            swarm.arrive(crowd).await?;
        }
        sleep(Duration::from_secs(1)).await;
        let storm_us = now_us();
        swarm.all(Order::Storm).await?;
        let [first, second] = servers;
        let survivors = if name == ScenarioName::Cut {
            swarm.all(Order::Cut).await?;
            vec![first, second]
        } else {
            first.kill().await?;
            vec![second]
        };
        // Whoever is cut notices at once; a moment lets it.
        sleep(Duration::from_millis(500)).await;
        let done = swarm.settle(options.patience()).await?;
        let timeline = swarm.timeline();
        let curves = crate::report::curves(&timeline.lock(), storm_us, now_us());
        drop(survivors);
        Ok(Baseline {
            journeys: done.journeys,
            curves,
        })
    }
}

fn watch_swarm(probe: &Probe, swarm: &Swarm) {
    let pids = swarm.pids();
    for (number, pid) in pids.iter().enumerate() {
        let name = if pids.len() == 1 {
            "the clients".to_owned()
        } else {
            format!("the clients, {}", number + 1)
        };
        probe.watch(name, *pid);
    }
}
