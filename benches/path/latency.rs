//! The time that an action takes until its client has the event, back to back, beside the two baselines
//! that it is made of. The three take turns, so that whatever else the machine does hits them alike.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{
    chain::{Chain, Floor},
    client::{self, Talker},
    echo::Echo,
    fleet::Fleet,
    machine::load_average,
    options::Options,
    stats::{Percentiles, Spread},
};

/// The most that ours may be of the baselines' sum, at the median.
pub(crate) const RATIO_MAX: f64 = 1.6;

const ROOM: &str = "chat/bench";
const TEXT: &str = "as long as most of what people say";

/// Microseconds, and what they are of each other.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) ours: Figures,
    pub(crate) echo: Figures,
    pub(crate) chain: Figures,
    /// The chain in blocking calls.
    pub(crate) floor: Figures,
    /// Ours by the sum of the baselines, from round to round.
    pub(crate) ratio_p50: Spread,
    pub(crate) ratio_p99: Spread,
    /// The same with the chain in blocking calls.
    pub(crate) ratio_floor_p50: Spread,
    pub(crate) ratio_floor_p99: Spread,
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
    let mut floor = Floor::start(&fleet.redis.url())?;
    let frame = client::say(ROOM, 1, TEXT);
    let (mut n, mut cpu) = (0, Ledger::default());
    let mut request = || {
        n += 1;
        format!("{n} {frame}")
    };

    let mut ways: [Vec<Percentiles>; WAYS] = Default::default();
    // The first round warms everything up.
    for round in 0..=options.rounds {
        // Each is the first as often as any other.
        for way in (0..WAYS).map(|turn| (turn + round) % WAYS) {
            let before = Ledger::read(&fleet)?;
            let samples = samples(options.per_round, || match way {
                OURS => ours.say(TEXT),
                ECHO => echo.trip(frame.clone()),
                CHAIN => chain.trip(&request()),
                _ => floor.trip(&request()),
            })?;
            if round > 0 {
                ways[way].push(samples);
            }
            if round > 0 && way == OURS {
                cpu.add(Ledger::read(&fleet)?, before);
            }
        }
        let last: Vec<_> = ways
            .iter()
            .filter_map(|way| Some(way.last()?.p50.round()))
            .collect();
        if let [ours, echo, chain, floor] = last[..] {
            let load = load_average();
            eprintln!(
                "  {round}: {ours} µs; echo {echo}, Redis {chain}, blocking {floor}; load {load:.2}"
            );
        }
    }

    let ratios = |way: usize, of: fn(&Percentiles) -> f64| {
        let baselines = ways[ECHO]
            .iter()
            .zip(&ways[way])
            .map(|(a, b)| of(a) + of(b));
        Spread::of(
            ways[OURS]
                .iter()
                .zip(baselines)
                .map(|(ours, sum)| of(ours) / sum),
        )
    };
    let actions = (options.rounds * options.per_round) as f64;
    let [gateway, worker, redis] = cpu.0.map(|seconds| seconds * 1e6 / actions);
    Ok(Latency {
        ours: Figures::of(&ways[OURS]),
        echo: Figures::of(&ways[ECHO]),
        chain: Figures::of(&ways[CHAIN]),
        floor: Figures::of(&ways[FLOOR]),
        ratio_p50: ratios(CHAIN, |round| round.p50),
        ratio_p99: ratios(CHAIN, |round| round.p99),
        ratio_floor_p50: ratios(FLOOR, |round| round.p50),
        ratio_floor_p99: ratios(FLOOR, |round| round.p99),
        rounds: options.rounds,
        per_round: options.per_round,
        gateway_cpu_us: gateway,
        worker_cpu_us: worker,
        redis_cpu_us: redis,
        load_average: [load_before, load_average()],
    })
}

/// The ways that take turns.
const OURS: usize = 0;
const ECHO: usize = 1;
const CHAIN: usize = 2;
const FLOOR: usize = 3;
const WAYS: usize = 4;

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
    fn read(fleet: &Fleet) -> anyhow::Result<[f64; 3]> {
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
