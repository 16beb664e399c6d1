//! As many clients again that obey no `retry_ms` and try again each 100 ms. All of them are at the
//! gateway that is killed; the polite ones are at both.

use crate::{
    experiment::Experiment,
    pool::{Cohort, Kind, Results},
    report::Fact,
};

pub(super) fn cohort(polite: &Cohort) -> Cohort {
    Cohort {
        kind: Kind::Rude,
        first: polite.first + polite.clients,
        all_at_first: true,
        ..polite.clone()
    }
}

/// The return of the rude, and the memory of the gateway that they all came to.
pub(super) fn facts(experiment: &Experiment, done: &Results) -> Vec<Fact> {
    let rude = || done.recoveries.iter().filter(|recovery| recovery.rude);
    let attempts: usize = rude().map(|recovery| recovery.attempts as usize).sum();
    let each = attempts as f64 / rude().count().max(1) as f64;
    let last_us = rude().filter_map(|recovery| recovery.caught_up_us).max();
    let last_s = last_us.unwrap_or(0) as f64 / 1e6;
    let (times, seen) = (experiment.times, experiment.probe.seen());
    let gateways = seen.iter().filter(|process| process.is_gateway());
    let most = gateways.filter_map(|process| process.rss_bytes_max(times.storm_us, times.end_us));
    let most = most.max().unwrap_or(0) as f64;
    let attempts = Fact::count("rude_attempts", "attempts of the rude", attempts);
    vec![
        attempts.note(format!("{each:.1} a client")),
        Fact::seconds("rude_caught_up_s", "all the rude caught up after", last_s),
        Fact::bytes("gateway_bytes_max", "most memory of a gateway", most).headline(),
    ]
}
