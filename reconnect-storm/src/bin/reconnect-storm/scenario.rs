//! The scenarios: each of them strikes somebody, and shows what comes of it.

mod drain;
mod fanout;
mod idle;
mod rude;
mod slow;
mod store;
mod worker;

use crate::{
    baseline::Baseline,
    experiment::{Experiment, Observations},
    options::{Options, ScenarioName, name_of},
    pool::{Command, Recovery, Results},
    progress::say,
    report::{self, Fact, Machine, Run},
    testbed::Metrics,
};

/// Runs one scenario from an empty system to its verdict.
pub(crate) async fn run(name: ScenarioName, options: &Options) -> anyhow::Result<Run> {
    let machine = Machine::look(options.url.is_empty());
    say(&format!("── {}", name_of(name)));
    // On both sides of the storm: a machine that others use as well is not always as fast.
    let has_bare = name.cuts() && !options.no_bare;
    let mut bare = Vec::new();
    if has_bare {
        bare.push(Baseline::run(name, options).await?);
    }
    let mut experiment = Experiment::prepare(name, options).await?;
    arrive(name, &mut experiment).await?;
    if name != ScenarioName::Idle {
        experiment.be_quiet().await?;
    }
    experiment.storm().await?;
    let mut facts = storm(name, &mut experiment).await?;
    experiment.watch().await?;
    if name == ScenarioName::Slow {
        slow::end(&mut experiment).await?;
    }
    let done = experiment.settle().await?;
    if name == ScenarioName::Drain {
        facts.extend(drain::facts(&done));
    }
    if name == ScenarioName::Rude {
        facts.extend(rude::facts(&experiment, &done));
    }
    let seen = experiment.end().await;
    if has_bare {
        match Baseline::run(name, options).await {
            Ok(after) => bare.push(after),
            Err(error) => say(&format!("there is no baseline after the storm: {error:#}")),
        }
    }
    Ok(summarize(name, &seen, done, facts, bare, machine))
}

async fn arrive(name: ScenarioName, experiment: &mut Experiment) -> anyhow::Result<()> {
    let mut cohort = experiment.cohort();
    match name {
        ScenarioName::Slow => slow::prepare(experiment, &mut cohort),
        ScenarioName::Cut => cohort.cut_share = experiment.options.cut_share(),
        ScenarioName::Store => cohort.may_diverge = true,
        ScenarioName::Rude => {
            let rude = rude::cohort(&cohort);
            experiment.arrive(cohort).await?;
            return experiment.arrive(rude).await;
        }
        ScenarioName::Idle => return idle::arrive(experiment, cohort).await,
        ScenarioName::Kill
        | ScenarioName::Drain
        | ScenarioName::Worker
        | ScenarioName::Fanout
        | ScenarioName::All => {}
    }
    experiment.arrive(cohort).await
}

async fn storm(name: ScenarioName, experiment: &mut Experiment) -> anyhow::Result<Vec<Fact>> {
    if name.strikes_processes() && experiment.options.storm_command.is_some() {
        experiment.run_storm_command().await?;
        return Ok(Vec::new());
    }
    match name {
        ScenarioName::Cut => drop(experiment.pool.all(Command::Cut).await?),
        ScenarioName::Kill | ScenarioName::Rude | ScenarioName::All => {
            if let Some(gateway) = experiment.testbed()?.gateways.first_mut() {
                gateway.kill().await?;
            }
        }
        ScenarioName::Drain => return drain::storm(experiment).await,
        ScenarioName::Worker => return worker::storm(experiment).await,
        ScenarioName::Store => return store::storm(experiment).await,
        ScenarioName::Idle => return idle::storm(experiment).await,
        ScenarioName::Fanout => return fanout::storm(experiment).await,
        ScenarioName::Slow => slow::storm(experiment).await?,
    }
    Ok(Vec::new())
}

/// A run in a sentence.
fn sentence(name: ScenarioName, options: &Options) -> String {
    let clients = report::thousands(f64::from(options.clients()));
    let (rooms, rate) = (options.rooms(), options.rate);
    let people = format!("{clients} clients in {rooms} rooms");
    let cohort = format!("{people}, {rate} actions a second");
    let percent = |share: f64| (100.0 * share).round();
    match name {
        ScenarioName::Cut => {
            let percent = percent(options.cut_share());
            format!("{cohort}; {percent} % of the sockets are cut")
        }
        ScenarioName::Kill | ScenarioName::All if options.storm_command.is_some() => {
            format!("{cohort}; the storm command is run")
        }
        ScenarioName::Kill | ScenarioName::All => {
            format!("{cohort}; SIGKILL of one of two gateways")
        }
        ScenarioName::Drain => format!("{cohort}; SIGTERM of one of two gateways"),
        ScenarioName::Worker => format!("{cohort}; SIGKILL of the worker, another stands by"),
        ScenarioName::Store => format!("{cohort}; SIGKILL of Redis, back a second later"),
        ScenarioName::Idle => format!("{people} at rest"),
        ScenarioName::Fanout => format!("{people}; the rate doubles"),
        ScenarioName::Slow => {
            let percent = percent(options.slow_share());
            format!("{cohort} of 1 KB; {percent} % read 1 KB a second")
        }
        ScenarioName::Rude => {
            format!("{cohort}, and as many rude ones; SIGKILL of the gateway that has all of those")
        }
    }
}

/// Puts together what a run has shown.
fn summarize(
    name: ScenarioName,
    seen: &Observations,
    done: Results,
    scenario_facts: Vec<Fact>,
    bare: Vec<Baseline>,
    machine: Machine,
) -> Run {
    let (options, times) = (&seen.options, seen.times);
    let cut: Vec<&Recovery> = report::polite(&done.recoveries)
        .filter(|recovery| recovery.out_us.is_some())
        .collect();
    let last_us = report::polite(&done.recoveries)
        .filter_map(|recovery| recovery.caught_up_us.max(recovery.moved_us))
        .max();
    let over_us = last_us.map_or(times.end_us, |last_us| {
        times.storm_us + last_us.max(1_000_000)
    });
    let storm = (times.storm_us, over_us);
    let timeline = seen.timeline.lock();
    let bare_recoveries: Vec<_> = bare.iter().map(|bare| &bare.recoveries[..]).collect();
    let mut facts = report::facts_of_return(&done.recoveries, &bare_recoveries);
    facts.extend(scenario_facts);
    if name != ScenarioName::Idle && name != ScenarioName::Fanout {
        let quiet = (times.quiet_us, times.storm_us);
        facts.extend(report::facts_of_latency(&timeline, quiet, storm));
    }
    facts.extend(log_reads(seen.counted.as_ref(), cut.len()));
    facts.extend(report::facts_of_cost(&seen.processes, storm));
    let lag_us = timeline
        .between(times.quiet_us, times.end_us)
        .map(|sample| sample.lag_us)
        .max();
    let counters = seen.counted.as_ref().map(Metrics::changed);
    Run {
        scenario: name_of(name),
        what: sentence(name, options),
        clients: options.clients(),
        rooms: options.rooms(),
        rate_per_s: seen.rate_per_s,
        jitter: name_of(options.jitter),
        seed: options.seed,
        facts,
        verdict: done.verdict,
        failures: failures(name, &cut, options.patience.as_secs_f64()),
        warnings: report::warnings(&seen.processes, &machine, storm, lag_us.unwrap_or(0)),
        machine,
        curves: report::curves(&timeline, times.storm_us, times.end_us),
        bare_curves: bare
            .into_iter()
            .next()
            .map_or_else(Vec::new, |bare| bare.curves),
        memory: report::memory(&seen.processes, times.storm_us, times.end_us),
        counters: counters.unwrap_or_default(),
    }
}

/// The reads of the log that a return took.
fn log_reads(counted: Option<&Metrics>, cut: usize) -> Option<Fact> {
    let reads = counted?.sum("outlast_gateway_log_reads_total");
    let name = "log reads a client that came back";
    let each = reads / cut as f64;
    let fact = Fact::ratio("log_reads_per_client", name, each);
    (cut > 0).then(|| fact.note(format!("{reads} in all; goal: at most 0.1")))
}

fn failures(name: ScenarioName, cut: &[&Recovery], patience_s: f64) -> Vec<String> {
    let mut failures = Vec::new();
    let away = cut
        .iter()
        .filter(|recovery| recovery.caught_up_us.is_none());
    let (away, cut) = (away.count(), cut.len());
    if away > 0 {
        failures.push(format!(
            "{away} of {cut} clients did not come back and catch up within {patience_s} s"
        ));
    }
    if name.cuts() && cut == 0 {
        failures.push("nobody lost a socket, so there was no storm".into());
    }
    failures
}

/// Lets actions rest, or go on at another rate.
async fn act(experiment: &mut Experiment, per_s: f64) -> anyhow::Result<()> {
    let text_bytes = experiment.text_bytes;
    experiment
        .pool
        .all(Command::Act { per_s, text_bytes })
        .await
        .map(drop)
}
