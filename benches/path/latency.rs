//! How long an action takes until its client has the event, back to back, beside the two baselines
//! that it is made of. The three take turns, so that whatever else the machine does hits them alike.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{
    chain::Chain,
    client::{self, Talker},
    echo::Echo,
    fleet::Fleet,
    machine::load_average,
    options::Options,
    stats::{Percentiles, Spread},
};

/// What ours may be of the baselines' sum, at the median.
pub(crate) const RATIO_MAX: f64 = 1.6;

const ROOM: &str = "chat/bench";
const TEXT: &str = "as long as most of what people say";

/// Microseconds, and what they are of each other.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) ours: Figures,
    pub(crate) echo: Figures,
    pub(crate) chain: Figures,
    /// Ours by the sum of the baselines, from round to round.
    pub(crate) ratio_p50: Spread,
    pub(crate) ratio_p99: Spread,
    pub(crate) rounds: usize,
    pub(crate) per_round: usize,
    /// Processor time of an action, in microseconds.
    pub(crate) gateway_cpu_us: f64,
    pub(crate) worker_cpu_us: f64,
    pub(crate) redis_cpu_us: f64,
    pub(crate) load_average: [f64; 2],
}

/// One way's figures over all rounds, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Latency> {
    let load_before = load_average();
    eprintln!(
        "latency: {} rounds of {} each",
        options.rounds, options.per_round
    );
    let fleet = Fleet::start()?;
    let mut ours = Talker::join(fleet.address, ROOM)?;
    let mut echo = Echo::start()?;
    let mut chain = Chain::start(&fleet.redis.url())?;
    let frame = client::say(ROOM, 1, TEXT);
    let (mut n, mut cpu) = (0, Ledger::default());

    let (mut of_ours, mut of_echo, mut of_chain) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms everything up.
    for round in 0..=options.rounds {
        let before = cpu.read(&fleet)?;
        of_ours.push(samples(options.per_round, || ours.say(TEXT))?);
        cpu.add(cpu.read(&fleet)?, before);
        of_echo.push(samples(options.per_round, || echo.trip(frame.clone()))?);
        of_chain.push(samples(options.per_round, || {
            n += 1;
            chain.trip(&format!("{n} {frame}"))
        })?);
        if round == 0 {
            of_ours.clear();
            of_echo.clear();
            of_chain.clear();
            cpu = Ledger::default();
            continue;
        }
        let last = |of: &[Percentiles]| of.last().map_or(f64::NAN, |round| round.p50);
        eprintln!(
            "  round {round}: ours {:.0} µs, echo {:.0} µs, Redis {:.0} µs, load {:.2}",
            last(&of_ours),
            last(&of_echo),
            last(&of_chain),
            load_average()
        );
    }

    let ratios = |of: fn(&Percentiles) -> f64| {
        let baselines = of_echo
            .iter()
            .zip(&of_chain)
            .map(|(echo, chain)| of(echo) + of(chain));
        let ratios: Vec<_> = of_ours
            .iter()
            .zip(baselines)
            .map(|(ours, sum)| of(ours) / sum)
            .collect();
        Spread::of(ratios)
    };
    let actions = (options.rounds * options.per_round) as f64;
    let [gateway, worker, redis] = cpu.0.map(|seconds| seconds * 1e6 / actions);
    Ok(Latency {
        ours: Figures::of(&of_ours),
        echo: Figures::of(&of_echo),
        chain: Figures::of(&of_chain),
        ratio_p50: ratios(|round| round.p50),
        ratio_p99: ratios(|round| round.p99),
        rounds: options.rounds,
        per_round: options.per_round,
        gateway_cpu_us: gateway,
        worker_cpu_us: worker,
        redis_cpu_us: redis,
        load_average: [load_before, load_average()],
    })
}

impl Figures {
    fn of(rounds: &[Percentiles]) -> Self {
        Figures {
            p50_us: Spread::of(rounds.iter().map(|round| round.p50)),
            p99_us: Spread::of(rounds.iter().map(|round| round.p99)),
        }
    }
}

/// One round, in microseconds.
fn samples(
    count: usize,
    mut trip: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Percentiles> {
    let micros = |took: Duration| took.as_secs_f64() * 1e6;
    let taken = (0..count).map(|_| {
        let start = Instant::now();
        trip().map(|()| micros(start.elapsed()))
    });
    Ok(Percentiles::of(taken.collect::<anyhow::Result<_>>()?))
}

/// Processor time of gateway, worker and Redis while ours was measured, in seconds.
#[derive(Debug, Default)]
struct Ledger([f64; 3]);

impl Ledger {
    fn read(&self, fleet: &Fleet) -> anyhow::Result<[f64; 3]> {
        Ok([
            fleet.gateway.cpu()?.total_s(),
            fleet.worker.cpu()?.total_s(),
            fleet.redis.process.cpu()?.total_s(),
        ])
    }

    fn add(&mut self, now: [f64; 3], before: [f64; 3]) {
        for (sum, (now, before)) in self.0.iter_mut().zip(now.into_iter().zip(before)) {
            *sum += now - before;
        }
    }
}
