//! Redis dies and returns with what it had written. Clients keep their sockets (L5).

use std::time::Duration;

use super::worker::stalled;
use crate::{experiment::Experiment, report::Fact};

const AWAY: Duration = Duration::from_secs(1);

pub(super) async fn storm(experiment: &mut Experiment) -> anyhow::Result<Vec<Fact>> {
    let redis = &mut experiment.testbed()?.redis;
    redis.die_and_return(AWAY).await?;
    let (name, pid) = (format!("{} again", redis.process.name), redis.process.pid());
    if let Some(pid) = pid {
        experiment.probe.watch(name, pid);
    }
    stalled(experiment, "1 s away, and little more").await
}
