//! The worker dies; the one that stands by takes its partitions over once its leases have expired (W4).

use anyhow::Context;

use crate::{experiment::Experiment, probe::now_us, report::Fact};

pub(super) async fn storm(experiment: &mut Experiment) -> anyhow::Result<Vec<Fact>> {
    // Partitions are spread over both; what the dead one had stands still.
    let workers = &mut experiment.testbed()?.workers;
    workers
        .first_mut()
        .context("there is a worker")?
        .kill()
        .await?;
    stalled(experiment, "lease of 2 s and one second more").await
}

/// The time until everything that was asked for meanwhile has come.
pub(super) async fn stalled(experiment: &mut Experiment, goal: &str) -> anyhow::Result<Vec<Fact>> {
    let begin_us = experiment.times.storm_us;
    let timeline = experiment.pool.timeline();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = now_us();
        // Whatever was asked for before the last second has come when the slowest event of that second
        // is younger than it.
        let slowest = timeline.lock().slowest_us(now - 1_000_000, now);
        let is_well = slowest.is_some_and(|us| us < 1_000_000);
        let waited_s = (now - begin_us) as f64 / 1e6;
        if (is_well && waited_s > 3.0) || waited_s > experiment.options.patience.as_secs_f64() {
            break;
        }
    }
    let slowest_us = timeline.lock().slowest_us(begin_us, u64::MAX);
    let slowest_s = slowest_us.unwrap_or(0) as f64 / 1e6;
    let fact = Fact::seconds("stalled_s", "actions stood still for", slowest_s);
    let note = format!("the longest wait for an event; goal: {goal}");
    Ok(vec![fact.note(note).headline()])
}
