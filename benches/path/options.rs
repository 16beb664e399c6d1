use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

/// The parts to measure, how often, and where the results go.
#[derive(Debug)]
pub(crate) struct Options {
    only: Vec<Part>,
    pub(crate) rounds: usize,
    pub(crate) per_round: usize,
    pub(crate) sessions: usize,
    pub(crate) seconds: u64,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Latency,
    Memory,
    Throughput,
    Game,
}

impl Options {
    pub(crate) fn from_process() -> anyhow::Result<Self> {
        let mut options = Options {
            only: vec![Part::Latency, Part::Memory, Part::Throughput, Part::Game],
            rounds: 20,
            per_round: 1_000,
            sessions: 5_000,
            seconds: 5,
            json: None,
            svg: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            // Cargo says so to every bench.
            if flag == "--bench" {
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{flag} lacks its value"))?;
            match flag.as_str() {
                "--only" => options.only = value.split(',').map(part).collect::<Result<_, _>>()?,
                "--rounds" => options.rounds = value.parse()?,
                "--per-round" => options.per_round = value.parse()?,
                "--sessions" => options.sessions = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--json" => options.json = Some(value.into()),
                "--svg" => options.svg = Some(value.into()),
                _ => bail!("there is no {flag}; benches/path/main.rs lists what there is"),
            }
        }
        ensure!(
            (1..=1_000).contains(&options.rounds),
            "--rounds is 1 to 1000"
        );
        ensure!(
            (100..=1_000_000).contains(&options.per_round),
            "--per-round is 100 to 1000000"
        );
        ensure!(
            (50..=15_000).contains(&options.sessions),
            "--sessions is 50 to 15000"
        );
        ensure!(
            (1..=600).contains(&options.seconds),
            "--seconds is 1 to 600"
        );
        Ok(options)
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.contains(&part)
    }
}

fn part(name: &str) -> anyhow::Result<Part> {
    match name {
        "latency" => Ok(Part::Latency),
        "memory" => Ok(Part::Memory),
        "throughput" => Ok(Part::Throughput),
        "game" => Ok(Part::Game),
        _ => bail!("--only knows latency, memory, throughput and game, not {name:?}"),
    }
}
