use std::time::Duration;

use tokio::time::sleep;

use crate::{
    bare::BareServer,
    options::{Options, ScenarioName},
    pool::{ClientPool, Cohort, Command, Kind, Recovery},
    probe::now_us,
    progress::Progress,
    report::{self, Point},
};

/// The same clients and the same cut, at servers that do nothing but upgrade.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) curves: Vec<Point>,
}

impl Baseline {
    pub(crate) async fn run(name: ScenarioName, options: &Options) -> anyhow::Result<Baseline> {
        let servers = [BareServer::start().await?, BareServer::start().await?];
        let mut pool = ClientPool::start(options.processes())?;
        let progress = Progress::start(pool.timeline());
        progress.phase("bare");
        let gateways = servers.iter().map(|server| server.address.clone());
        let cohort = Cohort {
            kind: Kind::Bare,
            token: None,
            cut_share: if name == ScenarioName::Cut {
                options.cut_share()
            } else {
                0.0
            },
            ..Cohort::new(options, gateways.collect())
        };
        pool.arrive(cohort.clone()).await?;
        if name == ScenarioName::Rude {
            // As many come back as in the storm itself, the rude ones included.
            let rude = Cohort {
                first: cohort.clients,
                all_at_first: true,
                ..cohort
            };
            pool.arrive(rude).await?;
        }
        sleep(Duration::from_secs(1)).await;
        let storm_us = now_us();
        pool.all(Command::Storm).await?;
        let [first, second] = servers;
        let survivors = if name == ScenarioName::Cut {
            pool.all(Command::Cut).await?;
            vec![first, second]
        } else {
            first.kill().await?;
            vec![second]
        };
        // Whoever is cut notices at once; a moment lets it.
        sleep(Duration::from_millis(500)).await;
        let done = pool.settle(options.patience).await?;
        let timeline = pool.timeline();
        let curves = report::curves(&timeline.lock(), storm_us, now_us());
        drop(survivors);
        Ok(Baseline {
            recoveries: done.recoveries,
            curves,
        })
    }
}
