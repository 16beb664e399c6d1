//! From what was seen to figures.

use super::{Fact, Machine, Memory, Point, Unit};
use crate::{
    probe::Watched,
    swarm::{Journey, Timeline},
};

/// The curves of a run, from a little before the storm to its end.
pub(crate) fn curves(timeline: &Timeline, storm_us: u64, end_us: u64) -> Vec<Point> {
    const BEFORE_US: u64 = 3_000_000;
    let shown: Vec<_> = timeline
        .between(storm_us.saturating_sub(BEFORE_US), end_us)
        .collect();
    let points = shown
        .iter()
        .zip(shown.iter().skip(1))
        .map(|(before, sample)| {
            let passed_s = (sample.at_us - before.at_us).max(1) as f64 / 1e6;
            let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed_s;
            let quantile_ms = |share| Some(sample.latency_uncut.quantile_us(share)? as f64 / 1e3);
            Point {
                at_s: (sample.at_us as f64 - storm_us as f64) / 1e6,
                out: sample.out,
                back: sample.back,
                caught_up: sample.caught_up,
                moved: sample.moved,
                attaches_per_s: per_s(sample.attaches, before.attaches),
                events_per_s: per_s(sample.events, before.events),
                p50_ms: quantile_ms(0.5),
                p99_ms: quantile_ms(0.99),
            }
        });
    points.collect()
}

/// The memory of processes, on the clock of the storm.
pub(crate) fn memory(seen: &[Watched], storm_us: u64, end_us: u64) -> Vec<Memory> {
    let on_storm_clock = |at_us: u64| (at_us as f64 - storm_us as f64) / 1e6;
    let processes = seen.iter().map(|process| {
        let shown = process
            .readings
            .iter()
            .filter(|reading| reading.at_us <= end_us);
        Memory {
            name: process.name.clone(),
            readings: shown
                .map(|reading| (on_storm_clock(reading.at_us), reading.rss_bytes))
                .collect(),
        }
    });
    processes.collect()
}

/// How those that were cut came back: of the polite ones, if others were there. Beside the mean of how long that
/// took in each of the baselines.
pub(crate) fn facts_of_return(journeys: &[Journey], bare: &[&[Journey]]) -> Vec<Fact> {
    let cut: Vec<&Journey> = polite(journeys)
        .filter(|journey| journey.out_us.is_some())
        .collect();
    if cut.is_empty() {
        return Vec::new();
    }
    let times =
        |of: fn(&Journey) -> Option<u64>| seconds(cut.iter().filter_map(|journey| of(journey)));
    let back = times(|journey| journey.back_us);
    let caught_up = times(|journey| journey.caught_up_us);
    let attempts: u64 = cut.iter().map(|journey| u64::from(journey.attempts)).sum();
    let spread = |times: &[f64]| {
        format!(
            "half of them after {:.2} s, 99 % after {:.2} s",
            at(times, 0.5),
            at(times, 0.99)
        )
    };
    let mut facts = vec![
        Fact::new("cut", "lost their sockets", cut.len() as f64, Unit::Count),
        Fact::new(
            "all_back_s",
            "all back after",
            at(&back, 1.0),
            Unit::Seconds,
        )
        .note(spread(&back)),
        Fact::new(
            "all_caught_up_s",
            "all caught up after",
            at(&caught_up, 1.0),
            Unit::Seconds,
        )
        .note(spread(&caught_up))
        .headline(),
    ];
    let bare: Vec<_> = bare
        .iter()
        .map(|bare| seconds(bare.iter().filter_map(|journey| journey.back_us)))
        .filter(|back| !back.is_empty())
        .collect();
    if let Some(first) = bare.first() {
        let took: Vec<f64> = bare.iter().map(|bare| at(bare, 1.0)).collect();
        let mean_s = took.iter().sum::<f64>() / took.len() as f64;
        let each: Vec<String> = took.iter().map(|took_s| format!("{took_s:.2} s")).collect();
        let each = each.join(" before the storm, and after it ");
        let note = format!(
            "{each}; {} clients upgrade again; {}",
            first.len(),
            spread(first)
        );
        let ratio = at(&caught_up, 1.0) / mean_s.max(1e-3);
        facts.push(Fact::new("bare_s", "bare: all back after", mean_s, Unit::Seconds).note(note));
        facts.push(
            Fact::new("times_bare", "caught up, beside bare", ratio, Unit::Times)
                .note("goal: 2.5 ×; 3 × for rude")
                .headline(),
        );
    }
    let per_client = attempts as f64 / cut.len() as f64;
    facts.push(Fact::new(
        "attempts_per_client",
        "attempts a client",
        per_client,
        Unit::Ratio,
    ));
    facts
}

/// What those who were not cut noticed.
pub(crate) fn facts_of_latency(
    timeline: &Timeline,
    quiet: (u64, u64),
    storm: (u64, u64),
) -> Vec<Fact> {
    let (before, during) = (
        timeline.uncut(quiet.0, quiet.1),
        timeline.uncut(storm.0, storm.1),
    );
    let ms = |us: Option<u64>| us.unwrap_or(0) as f64 / 1e3;
    let p99s = [&before, &during].map(|latencies| ms(latencies.quantile_us(0.99)));
    let note = |latencies: &crate::swarm::Latencies| {
        format!(
            "half within {:.1} ms, the slowest {:.0} ms, of {}",
            ms(latencies.quantile_us(0.5)),
            ms(latencies.quantile_us(1.0)),
            latencies.count()
        )
    };
    let mut facts = vec![
        Fact::new(
            "quiet_p99_ms",
            "p99 while quiet",
            p99s[0],
            Unit::Milliseconds,
        )
        .note(note(&before)),
    ];
    if during.count() > 0 {
        let beside = format!(
            "{}; {:.1} × quiet; goal: 2 × or 50 ms",
            note(&during),
            p99s[1] / p99s[0].max(0.001)
        );
        facts.push(
            Fact::new(
                "storm_p99_ms",
                "p99 in the storm, not cut",
                p99s[1],
                Unit::Milliseconds,
            )
            .note(beside)
            .headline(),
        );
    }
    let slowest = timeline
        .between(storm.0, u64::MAX)
        .filter_map(|sample| sample.latency.quantile_us(1.0))
        .max();
    facts.push(Fact::new(
        "slowest_s",
        "the slowest event from the storm on",
        ms(slowest) / 1e3,
        Unit::Seconds,
    ));
    facts
}

/// What it took of the machine, from the storm's begin until all was well.
pub(crate) fn facts_of_cost(seen: &[Watched], from_us: u64, to_us: u64) -> Vec<Fact> {
    let passed_s = (to_us.saturating_sub(from_us) as f64 / 1e6).max(0.001);
    let facts = seen.iter().filter_map(|process| {
        let most = process.rss_bytes_max(from_us, to_us.max(from_us + 1_000_000))?;
        let cpu_s = process.cpu_s(from_us, to_us);
        let before = process.rss_bytes(from_us).unwrap_or(0) as f64 / 1024.0 / 1024.0;
        let note = format!(
            "before {before:.0} MiB; {cpu_s:.2} s of processor time in {passed_s:.2} s, {:.0} % of a core",
            100.0 * cpu_s / passed_s
        );
        let name = format!("memory of {}", process.name);
        Some(Fact::new("memory_bytes_max", name, most as f64, Unit::Bytes).note(note))
    });
    facts.collect()
}

/// What makes the figures doubtful: the tool may have measured itself.
pub(crate) fn warnings(
    seen: &[Watched],
    machine: &Machine,
    (from_us, to_us): (u64, u64),
    lag_us: u64,
) -> Vec<String> {
    let passed_s = (to_us.saturating_sub(from_us) as f64 / 1e6).max(0.001);
    let cores = |is_ours: bool| {
        let of_kind = seen
            .iter()
            .filter(|process| process.name.starts_with("the clients") == is_ours);
        of_kind
            .map(|process| process.cpu_s(from_us, to_us))
            .sum::<f64>()
            / passed_s
    };
    let (ours, theirs) = (cores(true), cores(false));
    let all = machine.cores as f64;
    let mut warnings = Vec::new();
    if ours > 0.4 * all {
        warnings.push(format!(
            "the clients themselves took {ours:.1} of {all} cores in the storm (the system {theirs:.1}): \
             with a machine of their own, everybody would be back sooner"
        ));
    }
    if lag_us > LAG_US_MAX {
        warnings.push(format!(
            "the clients' own timers were up to {:.0} ms late, so that latencies are measured too long",
            lag_us as f64 / 1e3
        ));
    }
    if machine.load > all {
        warnings.push(format!(
            "the machine was busy before the run began: load {:.1} on {all} cores",
            machine.load
        ));
    }
    warnings
}

/// How late the clients' timers may be before that is told.
const LAG_US_MAX: u64 = 20_000;

/// Everybody but the rude.
pub(crate) fn polite(journeys: &[Journey]) -> impl Iterator<Item = &Journey> {
    journeys.iter().filter(|journey| !journey.rude)
}

fn seconds(us: impl Iterator<Item = u64>) -> Vec<f64> {
    let mut seconds: Vec<f64> = us.map(|us| us as f64 / 1e6).collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// The value that a share of sorted ones does not exceed.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_that_of_the_polite_beside_bare() {
        let journey = |rude, back_us| Journey {
            rude,
            out_us: Some(1_000),
            back_us: Some(back_us),
            caught_up_us: Some(back_us + 100_000),
            attempts: 2,
            ..Journey::default()
        };
        let journeys = [
            journey(false, 300_000),
            journey(false, 900_000),
            journey(true, 5_000_000),
        ];
        let bare = [[journey(false, 400_000)], [journey(false, 600_000)]];
        let facts = facts_of_return(&journeys, &bare.each_ref().map(|bare| &bare[..]));
        let value = |key| facts.iter().find(|fact| fact.key == key).unwrap().value;
        assert_eq!(value("cut"), 2.0);
        assert_eq!(value("all_back_s"), 0.9);
        assert_eq!(value("all_caught_up_s"), 1.0);
        assert_eq!(value("bare_s"), 0.5);
        assert_eq!(value("times_bare"), 2.0);
        assert_eq!(value("attempts_per_client"), 2.0);
        assert!(facts_of_return(&[Journey::default()], &[]).is_empty());
    }

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            [0.0, 0.5, 0.51, 1.0].map(|share| at(&sorted, share)),
            [1.0, 2.0, 3.0, 4.0]
        );
        assert_eq!(at(&[], 0.5), 0.0);
    }
}
