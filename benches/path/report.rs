use std::fmt::Write;

use serde::Serialize;

use crate::{
    game::{self, Game},
    latency::{self, Latency},
    machine::Machine,
    memory::{self, Memory},
    redis,
    throughput::Throughput,
};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) redis_options: String,
    pub(crate) latency: Option<Latency>,
    pub(crate) memory: Option<Memory>,
    pub(crate) throughput: Option<Throughput>,
    pub(crate) game: Vec<Game>,
}

impl Report {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Report {
            machine: Machine::look()?,
            redis_options: redis::OPTIONS.join(" "),
            latency: None,
            memory: None,
            throughput: None,
            game: Vec::new(),
        })
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let Machine {
            cores,
            processor,
            redis,
        } = &self.machine;
        let mut rows = Rows::default();
        if let Some(latency) = &self.latency {
            latency_rows(&mut rows, latency);
        }
        if let Some(memory) = &self.memory {
            memory_rows(&mut rows, memory);
        }
        if let Some(throughput) = &self.throughput {
            throughput_rows(&mut rows, throughput);
        }
        for game in &self.game {
            game_rows(&mut rows, game);
        }
        format!(
            "\n{}\n{cores} cores of {processor}; Redis {redis} with {}\n",
            rows.0, self.redis_options
        )
    }
}

fn latency_rows(rows: &mut Rows, latency: &Latency) {
    let Latency {
        ours,
        echo,
        chain,
        floor,
        ratio_p50,
        ratio_p99,
        rounds,
        per_round,
        ..
    } = latency;
    rows.head(
        &format!("an action to its own event, µs ({rounds} rounds of {per_round})"),
        ["p50", "min–max", "p99", "min–max"],
    );
    for (name, figures) in [
        ("outlast: gateway, Redis, worker, Redis, gateway", ours),
        ("baseline: the bare chain through Redis", chain),
        ("baseline: a bare WebSocket echo", echo),
        ("the chain in blocking calls, without a runtime", floor),
    ] {
        let (p50, p99) = (figures.p50_us, figures.p99_us);
        let between = |min: f64, max: f64| format!("{min:.0}–{max:.0}");
        rows.row(
            name,
            [
                format!("{:.0}", p50.median),
                between(p50.min, p50.max),
                format!("{:.0}", p99.median),
                between(p99.min, p99.max),
            ],
        );
    }
    let between = |min: f64, max: f64| format!("{min:.2}–{max:.2}");
    for (name, p50, p99) in [
        (
            "outlast ÷ (chain + echo), round by round",
            ratio_p50,
            ratio_p99,
        ),
        (
            "outlast ÷ (blocking chain + echo), round by round",
            &latency.ratio_floor_p50,
            &latency.ratio_floor_p99,
        ),
    ] {
        rows.row(
            name,
            [
                format!("{:.2}", p50.median),
                between(p50.min, p50.max),
                format!("{:.2}", p99.median),
                between(p99.min, p99.max),
            ],
        );
    }
    rows.goal(
        ratio_p50.median,
        latency::RATIO_MAX,
        &format!("p50 ≤ {}", latency::RATIO_MAX),
    );
    rows.note(&format!(
        "processor time of an action: gateway {:.0} µs, worker {:.0} µs, Redis {:.0} µs",
        latency.gateway_cpu_us, latency.worker_cpu_us, latency.redis_cpu_us
    ));
    rows.load(latency.load_average);
}

fn memory_rows(rows: &mut Rows, memory: &Memory) {
    let title = format!(
        "the gateway's memory with {} idle sessions",
        memory.sessions
    );
    rows.head(&title, ["KB each", "MB before", "MB with", ""]);
    let in_room = format!("each in a room of {}", memory::ROOM_MEMBERS);
    for (name, held) in [
        ("in no room", memory.open),
        (in_room.as_str(), memory.joined),
    ] {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0 / 1024.0);
        let each = format!("{:.2}", held.per_session_bytes / 1024.0);
        let cells = [
            each,
            megabytes(held.before_bytes),
            megabytes(held.with_all_bytes),
            String::new(),
        ];
        rows.row(name, cells);
    }
    let max = memory::OPEN_BYTES_MAX;
    rows.goal(
        memory.open.per_session_bytes,
        max,
        &format!("in no room ≤ {} KB", max / 1024.0),
    );
    rows.load(memory.load_average);
}

fn throughput_rows(rows: &mut Rows, throughput: &Throughput) {
    let Throughput {
        sessions,
        rooms,
        under_way,
        ..
    } = throughput;
    rows.head(
        &format!("{sessions} sessions in {rooms} rooms, {under_way} actions under way each"),
        ["actions/s", "events/s", "per commit", "commit ms"],
    );
    rows.row(
        "one gateway, one worker, one Redis",
        [
            format!("{:.0}", throughput.actions_per_s),
            format!("{:.0}", throughput.events_per_s),
            format!("{:.1}", throughput.entries_per_commit),
            format!("{:.2}", throughput.commit_ms),
        ],
    );
    rows.note(&format!(
        "processor time of an action: gateway {:.0} µs, worker {:.0} µs, Redis {:.0} µs",
        throughput.gateway_cpu_us, throughput.worker_cpu_us, throughput.redis_cpu_us
    ));
    rows.load(throughput.load_average);
}

fn game_rows(rows: &mut Rows, game: &Game) {
    let Game {
        arenas, players, ..
    } = game;
    rows.head(
        &format!("{arenas} × {players} players, who hear every tick"),
        ["ticks/s", "slowest", "between p50", "p99 ms"],
    );
    rows.row(
        "ticks of an arena",
        [
            format!("{:.2}", game.ticks_per_s),
            format!("{:.2}", game.ticks_per_s_min),
            format!("{:.1}", game.between_p50_ms),
            format!("{:.1}", game.between_p99_ms),
        ],
    );
    rows.note(&format!(
        "{:.0} frames/s to players, {:.0} steers/s from them, {:.0} commits/s of {:.2} ms",
        game.frames_per_s, game.steers_per_s, game.commits_per_s, game.commit_ms
    ));
    let percent = |share: f64| share * 100.0;
    rows.note(&format!(
        "of one processor: gateway {:.0} %, worker {:.0} %, Redis {:.0} %",
        percent(game.gateway_cpu),
        percent(game.worker_cpu),
        percent(game.redis_cpu)
    ));
    let (wanted, min) = (game::TICKS_PER_S, game::TICKS_PER_S_MIN);
    // The goal is a floor.
    let met = -game.ticks_per_s_min;
    rows.goal(
        met,
        -min,
        &format!("{wanted} ticks/s, in the slowest ≥ {min}"),
    );
    rows.load(game.load_average);
}

/// Lines under each other.
#[derive(Debug, Default)]
struct Rows(String);

impl Rows {
    fn head(&mut self, title: &str, columns: [&str; 4]) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(title, columns.map(str::to_owned));
        self.0.push_str(&"─".repeat(54 + 4 * 13));
        self.0.push('\n');
    }

    fn row(&mut self, name: &str, cells: [String; 4]) {
        self.line(name, cells);
    }

    fn goal(&mut self, figure: f64, max: f64, goal: &str) {
        let met = if figure <= max { "met" } else { "MISSED" };
        self.note(&format!("goal: {goal}: {met}"));
    }

    fn note(&mut self, text: &str) {
        self.0.push_str(&format!("  {text}\n"));
    }

    fn load(&mut self, [before, after]: [f64; 2]) {
        self.note(&format!(
            "load average: {before:.2} before, {after:.2} after"
        ));
    }

    fn line(&mut self, name: &str, cells: [String; 4]) {
        let [a, b, c, d] = cells;
        // Writing into a string cannot fail.
        writeln!(self.0, "{name:<54}{a:>13}{b:>13}{c:>13}{d:>13}").ok();
    }
}
