//! What happens to whom, and what it shows.

mod cut;
mod drain;
mod fanout;
mod idle;
mod kill;
mod rude;
mod slow;
mod store;
mod worker;

use crate::{
    field::{Baseline, Field, Seen},
    options::{Jitter, Options, ScenarioName},
    progress::say,
    report::{self, Fact, Machine, Run, Unit},
    stage::Metrics,
    swarm::{Done, Order},
};

/// Runs one scenario from an empty system to its verdict.
pub(crate) async fn run(name: ScenarioName, options: &Options) -> anyhow::Result<Run> {
    let machine = Machine::look(options.url.is_empty());
    say(&format!("── {}", name.as_str()));
    // On both sides of the storm: a machine that others use as well is not always as fast.
    let has_bare = name.cuts() && !options.no_bare;
    let mut bare = Vec::new();
    if has_bare {
        bare.push(Baseline::run(name, options).await?);
    }
    let mut field = Field::prepare(name, options).await?;
    arrive(name, &mut field).await?;
    if name != ScenarioName::Idle {
        field.be_quiet().await?;
    }
    field.storm().await?;
    let mut facts = storm(name, &mut field).await?;
    field.watch().await?;
    if name == ScenarioName::Slow {
        slow::end(&mut field).await?;
    }
    let done = field.settle().await?;
    if name == ScenarioName::Drain {
        facts.extend(drain::facts(&done));
    }
    if name == ScenarioName::Rude {
        facts.extend(rude::facts(&field, &done));
    }
    let seen = field.end().await;
    if has_bare {
        match Baseline::run(name, options).await {
            Ok(after) => bare.push(after),
            Err(error) => say(&format!("there is no baseline after the storm: {error:#}")),
        }
    }
    Ok(tell(name, &seen, done, facts, bare, machine))
}

async fn arrive(name: ScenarioName, field: &mut Field) -> anyhow::Result<()> {
    let mut crowd = field.crowd();
    match name {
        ScenarioName::Slow => slow::prepare(field, &mut crowd),
        ScenarioName::Cut => crowd.cut_share = field.options.cut_share(),
        ScenarioName::Store => crowd.may_diverge = true,
        ScenarioName::Rude => {
            let rude = rude::crowd(&crowd);
            field.arrive(crowd).await?;
            return field.arrive(rude).await;
        }
        ScenarioName::Idle => return idle::arrive(field, crowd).await,
        ScenarioName::Kill
        | ScenarioName::Drain
        | ScenarioName::Worker
        | ScenarioName::Fanout
        | ScenarioName::All => {}
    }
    field.arrive(crowd).await
}

async fn storm(name: ScenarioName, field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    match name {
        ScenarioName::Cut => cut::storm(field).await,
        ScenarioName::Kill | ScenarioName::Rude | ScenarioName::All => kill::storm(field).await,
        ScenarioName::Drain => drain::storm(field).await,
        ScenarioName::Worker => worker::storm(field).await,
        ScenarioName::Store => store::storm(field).await,
        ScenarioName::Idle => idle::storm(field).await,
        ScenarioName::Fanout => fanout::storm(field).await,
        ScenarioName::Slow => slow::storm(field).await,
    }
}

fn what(name: ScenarioName, options: &Options) -> String {
    let clients = report::thousands(f64::from(options.clients()));
    let (rooms, rate) = (options.rooms(), options.rate);
    let crowd = format!("{clients} clients in {rooms} rooms, {rate} actions a second");
    let share = |default: f64| 100.0 * options.share.unwrap_or(default);
    match name {
        ScenarioName::Cut => {
            let percent = 100.0 * options.cut_share();
            format!("{crowd}; {percent:.0} % of the sockets are cut")
        }
        ScenarioName::Kill | ScenarioName::All if options.storm_command.is_some() => {
            format!("{crowd}; the storm command is run")
        }
        ScenarioName::Kill | ScenarioName::All => {
            format!("{crowd}; SIGKILL of one of two gateways")
        }
        ScenarioName::Drain => format!("{crowd}; SIGTERM of one of two gateways"),
        ScenarioName::Worker => format!("{crowd}; SIGKILL of the worker, another stands by"),
        ScenarioName::Store => format!("{crowd}; SIGKILL of Redis, back a second later"),
        ScenarioName::Idle => format!("{clients} clients in {rooms} rooms at rest"),
        ScenarioName::Fanout => format!("{clients} clients in {rooms} rooms; the rate doubles"),
        ScenarioName::Slow => format!("{crowd} of 1 KB; {:.0} % read 1 KB a second", share(0.1)),
        ScenarioName::Rude => {
            format!("{crowd}, and as many rude ones; SIGKILL of the gateway that has all of those")
        }
    }
}

/// Puts together what a run has shown.
fn tell(
    name: ScenarioName,
    seen: &Seen,
    done: Done,
    scenario_facts: Vec<Fact>,
    bare: Vec<Baseline>,
    machine: Machine,
) -> Run {
    let (options, times) = (&seen.options, seen.times);
    let last_us = report::polite(&done.journeys)
        .filter_map(|journey| journey.caught_up_us.max(journey.moved_us))
        .max();
    let over_us = match last_us {
        Some(last_us) => times.storm_us + last_us.max(1_000_000),
        None => times.end_us,
    };
    let timeline = seen.timeline.lock();
    let bare_journeys: Vec<_> = bare.iter().map(|bare| &bare.journeys[..]).collect();
    let mut facts = report::facts_of_return(&done.journeys, &bare_journeys);
    facts.extend(scenario_facts);
    if name != ScenarioName::Idle && name != ScenarioName::Fanout {
        let quiet = (times.quiet_us, times.storm_us);
        facts.extend(report::facts_of_latency(
            &timeline,
            quiet,
            (times.storm_us, over_us),
        ));
    }
    let curves = report::curves(&timeline, times.storm_us, times.end_us);
    let cut = report::polite(&done.journeys)
        .filter(|journey| journey.out_us.is_some())
        .count();
    let away = report::polite(&done.journeys)
        .filter(|journey| journey.out_us.is_some() && journey.caught_up_us.is_none())
        .count();
    let lag_us = timeline
        .between(times.quiet_us, times.end_us)
        .map(|sample| sample.lag_us)
        .max();
    let warnings = report::warnings(
        &seen.processes,
        &machine,
        (times.storm_us, over_us),
        lag_us.unwrap_or(0),
    );
    if let Some(counted) = &seen.counted
        && cut > 0
    {
        let reads = counted.sum("outlast_gateway_log_reads_total");
        let name = "log reads a client that came back";
        facts.push(
            Fact::new(
                "log_reads_per_client",
                name,
                reads / cut as f64,
                Unit::Ratio,
            )
            .note(format!("{reads} in all; goal: at most 0.1")),
        );
    }
    facts.extend(report::facts_of_cost(
        &seen.processes,
        times.storm_us,
        over_us,
    ));
    let mut failures = Vec::new();
    if away > 0 {
        failures.push(format!(
            "{away} of {cut} clients did not come back and catch up within {} s",
            options.patience
        ));
    }
    if name.cuts() && cut == 0 {
        failures.push("nobody lost a socket, so there was no storm".into());
    }
    Run {
        scenario: name.as_str(),
        what: what(name, options),
        clients: options.clients(),
        rooms: options.rooms(),
        rate_per_s: seen.rate_per_s,
        jitter: match options.jitter {
            Jitter::Off => "off",
            Jitter::Sdk => "sdk",
        },
        seed: options.seed,
        machine,
        facts,
        verdict: done.verdict,
        failures,
        warnings,
        curves,
        bare_curves: bare
            .into_iter()
            .next()
            .map(|bare| bare.curves)
            .unwrap_or_default(),
        memory: report::memory(&seen.processes, times.storm_us, times.end_us),
        counters: seen
            .counted
            .as_ref()
            .map(Metrics::changed)
            .unwrap_or_default(),
    }
}

/// Lets actions rest, or go on at another rate.
async fn act(field: &mut Field, per_s: f64) -> anyhow::Result<()> {
    let text_bytes = field.text_bytes;
    field
        .swarm
        .all(Order::Act { per_s, text_bytes })
        .await
        .map(drop)
}
