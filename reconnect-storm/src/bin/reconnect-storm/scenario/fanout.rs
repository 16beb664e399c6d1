//! The rate doubles every few seconds until latency breaks, or what comes out is no longer what went in.

use std::time::Duration;

use tokio::time::sleep;

use super::act;
use crate::{
    field::Field,
    probe::now_us,
    progress::say,
    report::{Fact, Unit, thousands},
    swarm::Latencies,
};

const STEP: Duration = Duration::from_secs(4);
/// Latency has broken when this is exceeded.
const BROKEN_MS: f64 = 500.0;
const STEPS_MAX: u32 = 16;

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    let fan = f64::from(field.options.clients()) / f64::from(field.options.rooms());
    let mut rate = field.rate_per_s.max(1.0);
    let (mut facts, mut best) = (Vec::new(), (0.0, 0.0, 0.0));
    let timeline = field.swarm.timeline();
    for _ in 0..STEPS_MAX {
        act(field, rate).await?;
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
        facts.push(
            Fact::new("step_p99_ms", name, p99_ms, Unit::Milliseconds)
                .note(format!("{} events a second", thousands(events))),
        );
        rate *= 2.0;
    }
    act(field, 0.0).await?;
    field.rate_per_s = best.0;
    facts.push(
        Fact::new(
            "events_per_s_max",
            "delivered before it broke",
            best.1,
            Unit::PerSecond,
        )
        .note(format!(
            "{} actions a second, p99 {:.1} ms",
            thousands(best.0),
            best.2
        ))
        .headline(),
    );
    facts.push(
        Fact::new("broke_at_per_s", "it broke at", rate, Unit::PerSecond).note(format!(
            "p99 above {BROKEN_MS} ms, or fewer than 80 % of the events"
        )),
    );
    Ok(facts)
}
