//! Figures from what was seen.

use super::{Fact, Machine, Memory, Point};
use crate::{
    pool::{Recovery, Timeline},
    probe::ProcessUsage,
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
pub(crate) fn memory(seen: &[ProcessUsage], storm_us: u64, end_us: u64) -> Vec<Memory> {
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

/// The return of those that were cut (of the polite ones, if others were there), beside the mean of how long it took in
/// the baselines.
pub(crate) fn facts_of_return(recoveries: &[Recovery], bare: &[&[Recovery]]) -> Vec<Fact> {
    let cut: Vec<&Recovery> = polite(recoveries)
        .filter(|recovery| recovery.out_us.is_some())
        .collect();
    if cut.is_empty() {
        return Vec::new();
    }
    let times =
        |of: fn(&Recovery) -> Option<u64>| seconds(cut.iter().filter_map(|recovery| of(recovery)));
    let back = times(|recovery| recovery.back_us);
    let caught_up = times(|recovery| recovery.caught_up_us);
    let attempts: u64 = cut
        .iter()
        .map(|recovery| u64::from(recovery.attempts))
        .sum();
    let spread = |times: &[f64]| {
        let [half, most] = [0.5, 0.99].map(|share| at(times, share));
        format!("half of them after {half:.2} s, 99 % after {most:.2} s")
    };
    let (all_back, all_caught_up) = (at(&back, 1.0), at(&caught_up, 1.0));
    let mut facts = vec![
        Fact::count("cut", "lost their sockets", cut.len()),
        Fact::seconds("all_back_s", "all back after", all_back).note(spread(&back)),
        Fact::seconds("all_caught_up_s", "all caught up after", all_caught_up)
            .note(spread(&caught_up))
            .headline(),
    ];
    let bare: Vec<_> = bare
        .iter()
        .map(|bare| seconds(bare.iter().filter_map(|recovery| recovery.back_us)))
        .filter(|back| !back.is_empty())
        .collect();
    if let Some(first) = bare.first() {
        let took: Vec<f64> = bare.iter().map(|bare| at(bare, 1.0)).collect();
        let mean_s = took.iter().sum::<f64>() / took.len() as f64;
        let each: Vec<String> = took.iter().map(|took_s| format!("{took_s:.2} s")).collect();
        let each = each.join(" before the storm, and after it ");
        let (clients, spread) = (first.len(), spread(first));
        let note = format!("{each}; {clients} clients upgrade again; {spread}");
        let ratio = all_caught_up / mean_s.max(1e-3);
        facts.push(Fact::seconds("bare_s", "bare: all back after", mean_s).note(note));
        let ratio = Fact::times("times_bare", "caught up, beside bare", ratio);
        facts.push(ratio.note("goal: 2.5 ×; 3 × for rude").headline());
    }
    let per_client = attempts as f64 / cut.len() as f64;
    facts.push(Fact::ratio(
        "attempts_per_client",
        "attempts a client",
        per_client,
    ));
    facts
}

/// The latency of those who were not cut.
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
    let note = |latencies: &crate::pool::Latencies| {
        format!(
            "half within {:.1} ms, the slowest {:.0} ms, of {}",
            ms(latencies.quantile_us(0.5)),
            ms(latencies.quantile_us(1.0)),
            latencies.count()
        )
    };
    let quiet = Fact::ms("quiet_p99_ms", "p99 while quiet", p99s[0]);
    let mut facts = vec![quiet.note(note(&before))];
    if during.count() > 0 {
        let (note, times) = (note(&during), p99s[1] / p99s[0].max(0.001));
        let fact = Fact::ms("storm_p99_ms", "p99 in the storm, not cut", p99s[1]);
        let note = format!("{note}; {times:.1} × quiet; goal: 2 × or 50 ms");
        facts.push(fact.note(note).headline());
    }
    let slowest_s = timeline.slowest_us(storm.0, u64::MAX).unwrap_or(0) as f64 / 1e6;
    let name = "the slowest event from the storm on";
    facts.push(Fact::seconds("slowest_s", name, slowest_s));
    facts
}

/// The cost to the machine, from the storm's begin until all was well.
pub(crate) fn facts_of_cost(seen: &[ProcessUsage], (from_us, to_us): (u64, u64)) -> Vec<Fact> {
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
        Some(Fact::bytes("memory_bytes_max", name, most as f64).note(note))
    });
    facts.collect()
}

/// Reasons to doubt the figures: the tool may have measured itself.
pub(crate) fn warnings(
    seen: &[ProcessUsage],
    machine: &Machine,
    (from_us, to_us): (u64, u64),
    lag_us: u64,
) -> Vec<String> {
    let passed_s = (to_us.saturating_sub(from_us) as f64 / 1e6).max(0.001);
    let cores = |is_ours: bool| {
        let of_kind = seen.iter().filter(|process| process.is_ours() == is_ours);
        let cpu_s = of_kind.map(|process| process.cpu_s(from_us, to_us));
        cpu_s.sum::<f64>() / passed_s
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

/// The lateness of the clients' timers from which on it is told.
const LAG_US_MAX: u64 = 20_000;

/// Everybody but the rude.
pub(crate) fn polite(recoveries: &[Recovery]) -> impl Iterator<Item = &Recovery> {
    recoveries.iter().filter(|recovery| !recovery.rude)
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
        let recovery = |rude, back_us| Recovery {
            rude,
            out_us: Some(1_000),
            back_us: Some(back_us),
            caught_up_us: Some(back_us + 100_000),
            attempts: 2,
            ..Recovery::default()
        };
        let recoveries = [
            recovery(false, 300_000),
            recovery(false, 900_000),
            recovery(true, 5_000_000),
        ];
        let bare = [[recovery(false, 400_000)], [recovery(false, 600_000)]];
        let facts = facts_of_return(&recoveries, &bare.each_ref().map(|bare| &bare[..]));
        let value = |key| facts.iter().find(|fact| fact.key == key).unwrap().value;
        assert_eq!(value("cut"), 2.0);
        assert_eq!(value("all_back_s"), 0.9);
        assert_eq!(value("all_caught_up_s"), 1.0);
        assert_eq!(value("bare_s"), 0.5);
        assert_eq!(value("times_bare"), 2.0);
        assert_eq!(value("attempts_per_client"), 2.0);
        assert!(facts_of_return(&[Recovery::default()], &[]).is_empty());
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
