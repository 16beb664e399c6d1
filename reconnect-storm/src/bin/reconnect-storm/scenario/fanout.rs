//! The rate doubles every few seconds until latency breaks, or what comes out is no longer what went in.

use std::time::Duration;

use tokio::time::sleep;

use super::act;
use crate::{
    experiment::Experiment,
    pool::Latencies,
    probe::now_us,
    progress::say,
    report::{Fact, thousands},
};

const STEP: Duration = Duration::from_secs(4);
/// Latency has broken when this is exceeded.
const BROKEN_MS: f64 = 500.0;
const STEPS_MAX: u32 = 16;

pub(super) async fn storm(experiment: &mut Experiment) -> anyhow::Result<Vec<Fact>> {
    let fan = f64::from(experiment.options.clients()) / f64::from(experiment.options.rooms());
    let mut rate = experiment.rate_per_s.max(1.0);
    let (mut facts, mut best) = (Vec::new(), (0.0, 0.0, 0.0));
    let timeline = experiment.pool.timeline();
    for _ in 0..STEPS_MAX {
        act(experiment, rate).await?;
        // The first second of a step belongs to the change.
        sleep(Duration::from_secs(1)).await;
        let (begin_us, before) = (now_us(), timeline.lock().last());
        sleep(STEP).await;
        let (mut latencies, after) = (Latencies::default(), timeline.lock().last());
        for sample in timeline.lock().between(begin_us, now_us()) {
            latencies.add(&sample.latency);
        }
        let passed_s = (after.at_us - before.at_us) as f64 / 1e6;
        let events = (after.events - before.events) as f64 / passed_s;
        let p99_ms = latencies
            .quantile_us(0.99)
            .map_or(f64::INFINITY, |us| us as f64 / 1e3);
        say(&format!(
            "           {} actions/s · {} events/s · p99 {p99_ms:.1} ms",
            thousands(rate),
            thousands(events)
        ));
        if p99_ms > BROKEN_MS || events < 0.8 * rate * fan {
            break;
        }
        best = (rate, events, p99_ms);
        let name = format!("p99 at {} actions a second", thousands(rate));
        let fact = Fact::ms("step_p99_ms", name, p99_ms);
        facts.push(fact.note(format!("{} events a second", thousands(events))));
        rate *= 2.0;
    }
    act(experiment, 0.0).await?;
    experiment.rate_per_s = best.0;
    let (rate_held, events, p99_ms) = best;
    let note = format!(
        "{} actions a second, p99 {p99_ms:.1} ms",
        thousands(rate_held)
    );
    let fact = Fact::per_s("events_per_s_max", "delivered before it broke", events);
    facts.push(fact.note(note).headline());
    let note = format!("p99 above {BROKEN_MS} ms, or fewer than 80 % of the events");
    facts.push(Fact::per_s("broke_at_per_s", "it broke at", rate).note(note));
    Ok(facts)
}
