//! Nobody says anything: what a session at rest takes of memory and processor time.

use tokio::time::sleep;

use super::act;
use crate::{
    field::Field,
    probe::{Watched, now_us},
    report::{Fact, Unit},
    swarm::Crowd,
};

pub(super) async fn arrive(field: &mut Field, crowd: Crowd) -> anyhow::Result<()> {
    field.times.quiet_us = now_us();
    field.arrive(crowd).await?;
    act(field, 0.0).await?;
    // What the arrival has stirred up is to settle first.
    sleep(field.options.warmup()).await;
    Ok(())
}

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    field.progress.phase("rest");
    let begin_us = field.times.storm_us;
    sleep(field.options.watch()).await;
    let (end_us, clients) = (now_us(), f64::from(field.options.clients()));
    let seen = field.probe.seen();
    let before_us = field.times.quiet_us;
    let grown = |of: &Watched| {
        let now = of.rss_bytes(end_us)? as f64;
        Some(now - of.rss_bytes(before_us)? as f64)
    };
    let mut facts = Vec::new();
    let (mut sum, mut cpu_s) = (0.0, 0.0);
    for process in seen
        .iter()
        .filter(|process| !process.name.starts_with("the clients"))
    {
        let per_session = grown(process).unwrap_or(0.0) / clients;
        sum += per_session;
        cpu_s += process.cpu_s(begin_us, end_us);
        if process.name.starts_with("gateway") {
            continue;
        }
        let name = format!("memory a session, {}", process.name);
        facts.push(Fact::new(
            "session_bytes_of",
            name,
            per_session,
            Unit::Bytes,
        ));
    }
    let gateways: f64 = seen
        .iter()
        .filter(|process| process.name.starts_with("gateway"))
        .filter_map(grown)
        .sum();
    let passed_s = (end_us - begin_us) as f64 / 1e6;
    let us_per_s = 1e6 * cpu_s / passed_s / clients;
    facts.insert(
        0,
        Fact::new(
            "gateway_session_bytes",
            "memory a session, gateways",
            gateways / clients,
            Unit::Bytes,
        )
        .headline(),
    );
    facts.push(
        Fact::new(
            "session_bytes",
            "memory a session, everything",
            sum,
            Unit::Bytes,
        )
        .headline(),
    );
    facts.push(
        Fact::new(
            "idle_cpu",
            "processor, everything",
            100.0 * cpu_s / passed_s,
            Unit::Percent,
        )
        .note(format!("of a core; {us_per_s:.2} µs a second and session"))
        .headline(),
    );
    Ok(facts)
}
