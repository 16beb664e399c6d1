//! As many clients again that obey no `retry_ms` and try again each 100 ms. All of them are at the
//! gateway that is killed; the polite ones are at both.

use crate::{
    field::Field,
    report::{Fact, Unit},
    swarm::{Crowd, Done, Kind},
};

pub(super) fn crowd(polite: &Crowd) -> Crowd {
    Crowd {
        kind: Kind::Rude,
        first: polite.first + polite.clients,
        all_at_first: true,
        ..polite.clone()
    }
}

/// How the rude fared, and what they cost the gateway that they all came to.
pub(super) fn facts(field: &Field, done: &Done) -> Vec<Fact> {
    let rude = || done.journeys.iter().filter(|journey| journey.rude);
    let attempts: u64 = rude().map(|journey| u64::from(journey.attempts)).sum();
    let last_us = rude().filter_map(|journey| journey.caught_up_us).max();
    let times = field.times;
    let seen = field.probe.seen();
    let gateways = seen
        .iter()
        .filter(|process| process.name.starts_with("gateway"));
    let most = gateways.filter_map(|process| process.rss_bytes_max(times.storm_us, times.end_us));
    vec![
        Fact::new(
            "rude_attempts",
            "attempts of the rude",
            attempts as f64,
            Unit::Count,
        )
        .note(format!(
            "{:.1} a client",
            attempts as f64 / rude().count().max(1) as f64
        )),
        Fact::new(
            "rude_caught_up_s",
            "all the rude caught up after",
            last_us.unwrap_or(0) as f64 / 1e6,
            Unit::Seconds,
        ),
        Fact::new(
            "gateway_bytes_max",
            "most memory of a gateway",
            most.max().unwrap_or(0) as f64,
            Unit::Bytes,
        )
        .headline(),
    ]
}
