//! Nobody says anything: what a session at rest takes of memory and processor time.

use tokio::time::sleep;

use super::act;
use crate::{
    experiment::Experiment,
    pool::Cohort,
    probe::{ProcessUsage, now_us},
    report::Fact,
};

pub(super) async fn arrive(experiment: &mut Experiment, cohort: Cohort) -> anyhow::Result<()> {
    experiment.times.quiet_us = now_us();
    experiment.arrive(cohort).await?;
    act(experiment, 0.0).await?;
    // What the arrival has stirred up is to settle first.
    sleep(experiment.options.warmup).await;
    Ok(())
}

pub(super) async fn storm(experiment: &mut Experiment) -> anyhow::Result<Vec<Fact>> {
    experiment.progress.phase("rest");
    let begin_us = experiment.times.storm_us;
    sleep(experiment.options.watch).await;
    let (end_us, clients) = (now_us(), f64::from(experiment.options.clients()));
    let seen = experiment.probe.seen();
    let before_us = experiment.times.quiet_us;
    let grown = |of: &ProcessUsage| {
        let now = of.rss_bytes(end_us)? as f64;
        Some(now - of.rss_bytes(before_us)? as f64)
    };
    let servers: Vec<_> = seen.iter().filter(|process| !process.is_ours()).collect();
    let each = |process: &&ProcessUsage| grown(process).unwrap_or(0.0) / clients;
    let (gateways, others): (Vec<_>, Vec<_>) = servers
        .iter()
        .copied()
        .partition(|process| process.is_gateway());
    let of_gateways: f64 = gateways.iter().map(each).sum();
    let of_all: f64 = servers.iter().map(each).sum();
    let cpu_s: f64 = servers
        .iter()
        .map(|process| process.cpu_s(begin_us, end_us))
        .sum();
    let cores = cpu_s * 1e6 / (end_us - begin_us) as f64;
    let us_per_s = 1e6 * cores / clients;
    let name = "memory a session, gateways";
    let mut facts = vec![Fact::bytes("gateway_session_bytes", name, of_gateways).headline()];
    facts.extend(others.iter().map(|process| {
        let name = format!("memory a session, {}", process.name);
        Fact::bytes("session_bytes_of", name, each(process))
    }));
    let name = "memory a session, everything";
    facts.push(Fact::bytes("session_bytes", name, of_all).headline());
    let cpu = Fact::percent("idle_cpu", "processor, everything", 100.0 * cores);
    let note = format!("of a core; {us_per_s:.2} µs a second and session");
    facts.push(cpu.note(note).headline());
    Ok(facts)
}
