//! The worker dies; the one that stands by takes its partitions over once its leases have expired (W4).

use std::time::Duration;

use anyhow::Context;

use crate::{
    field::Field,
    probe::now_us,
    report::{Fact, Unit},
};

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    if field.options.storm_command.is_some() {
        field.run_storm_command().await?;
        return Ok(Vec::new());
    }
    // Partitions are spread over both; what the dead one had stands still.
    let worker = field
        .stage()?
        .workers
        .first_mut()
        .context("there is a worker")?;
    worker.kill().await?;
    stalled(field, "lease of 2 s and one second more").await
}

/// How long until everything that was asked for meanwhile has come.
pub(super) async fn stalled(field: &mut Field, goal: &str) -> anyhow::Result<Vec<Fact>> {
    let begin_us = field.times.storm_us;
    let timeline = field.swarm.timeline();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = now_us();
        // Whatever was asked for before the last second has come when the slowest event of that second
        // is younger than it.
        let slowest = timeline
            .lock()
            .between(now - 1_000_000, now)
            .filter_map(|sample| sample.latency.quantile_us(1.0))
            .max();
        let is_well = slowest.is_some_and(|us| us < 1_000_000);
        let waited_s = (now - begin_us) as f64 / 1e6;
        if (is_well && waited_s > 3.0) || waited_s > field.options.patience {
            break;
        }
    }
    let slowest = timeline
        .lock()
        .between(begin_us, u64::MAX)
        .filter_map(|sample| sample.latency.quantile_us(1.0))
        .max()
        .unwrap_or(0);
    let slowest_s = slowest as f64 / 1e6;
    Ok(vec![
        Fact::new(
            "stalled_s",
            "actions stood still for",
            slowest_s,
            Unit::Seconds,
        )
        .note(format!("the longest wait for an event; goal: {goal}"))
        .headline(),
    ])
}
