//! A gateway is drained: it moves its clients, and ends when the last has gone (D3).

use std::time::Duration;

use anyhow::Context;

use crate::{
    experiment::Experiment,
    pool::{Recovery, Results},
    report::Fact,
};

pub(super) async fn storm(experiment: &mut Experiment) -> anyhow::Result<Vec<Fact>> {
    let drain = Duration::from_millis(experiment.options.drain_ms);
    let gateways = &mut experiment.testbed()?.gateways;
    let gateway = gateways.first_mut().context("there is a gateway")?;
    gateway.terminate()?;
    let gone = gateway.gone(drain + Duration::from_secs(30)).await?;
    let fact = Fact::seconds("gone_s", "the process went after", gone.as_secs_f64());
    let note = format!("--drain-ms allows {} s", drain.as_secs_f64());
    Ok(vec![fact.note(note).headline()])
}

/// The moves: how evenly they were spread, and what clients noticed of them.
pub(super) fn facts(done: &Results) -> Vec<Fact> {
    let times = |of: fn(&Recovery) -> Option<u64>| {
        let times: Vec<u64> = done.recoveries.iter().filter_map(of).collect();
        times
    };
    let max = |times: &[u64]| times.iter().max().copied().unwrap_or(0) as f64;
    let told = times(|recovery| recovery.move_at_us);
    let moved = times(|recovery| recovery.moved_us);
    let without = times(|recovery| recovery.out_us).len();
    let silenced_ms = max(&times(|recovery| recovery.silenced_us)) / 1e3;
    let last_s = max(&moved) / 1e6;
    let mut facts = vec![
        Fact::count("told_to_move", "told to move", told.len()),
        Fact::count("moved", "moved", moved.len()).note(format!("the last after {last_s:.2} s")),
        Fact::count("without_socket", "ever without a live socket", without)
            .note("goal: 0")
            .headline(),
        Fact::ms(
            "handover_ms_max",
            "the longest that nothing could arrive",
            silenced_ms,
        )
        .note("from the first socket's end to `resumed` on the second"),
    ];
    let dialled = times(|recovery| recovery.move_dialled_us);
    for (key, name, times) in [
        ("move_deviation_planned", "the plan, off from even by", told),
        ("move_deviation", "the moves, off from even by", dialled),
    ] {
        facts.extend(spread(times.into_iter()).map(|spread| {
            let (window_s, deviation_s) = (spread.window_s, spread.deviation_s);
            let percent = 100.0 * deviation_s / window_s.max(0.001);
            let note = format!("at most, {percent:.1} % of the {window_s:.2} s that they took");
            Fact::ms(key, name, deviation_s * 1e3).note(note)
        }));
    }
    facts
}

/// The distance of times from an even spread between the first and the last.
#[derive(Debug, PartialEq)]
struct Spread {
    window_s: f64,
    deviation_s: f64,
}

fn spread(us: impl Iterator<Item = u64>) -> Option<Spread> {
    let mut seconds: Vec<f64> = us.map(|us| us as f64 / 1e6).collect();
    seconds.sort_by(f64::total_cmp);
    let (first, last) = (*seconds.first()?, *seconds.last()?);
    let step = (last - first) / (seconds.len().max(2) - 1) as f64;
    let deviations = seconds
        .iter()
        .enumerate()
        .map(|(index, at)| (at - first - step * index as f64).abs());
    Some(Spread {
        window_s: last - first,
        deviation_s: deviations.fold(0.0, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_the_deviation_is_that_from_even_steps() {
        let even = spread([0, 1_000_000, 2_000_000, 3_000_000].into_iter());
        let expected = Spread {
            window_s: 3.0,
            deviation_s: 0.0,
        };
        assert_eq!(even, Some(expected));
        let uneven = spread([3_000_000, 0, 2_500_000, 2_000_000].into_iter()).unwrap();
        assert_eq!(uneven.deviation_s, 1.0);
        assert_eq!(spread([].into_iter()), None);
    }
}
