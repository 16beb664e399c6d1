//! True if arenas keep their ten ticks a second, and what that costs: players who steer and hear every
//! tick, in one large arena and in many small ones, on one gateway, one worker and one Redis. The
//! players run on the same machine.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout, timeout_at},
};

use crate::{
    crowd::Member,
    fleet::{Fleet, Metrics},
    machine::{Cpu, load_average},
    options::Options,
    stats::Percentiles,
};

/// The number of ticks a second that are promised (B2).
pub(crate) const TICKS_PER_S: f64 = 10.0;
/// The number that is asked for here: nine of ten in every arena.
pub(crate) const TICKS_PER_S_MIN: f64 = 9.0;
/// The time between two changes of a player's way.
const STEER_EVERY: Duration = Duration::from_millis(500);
/// The number of players that come in at the same time.
const COMING_MAX: usize = 32;
/// The time that everything plays before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
const COME_WITHIN: Duration = Duration::from_secs(60);

/// Players in arenas of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Game {
    pub(crate) arenas: usize,
    pub(crate) players: usize,
    pub(crate) seconds: f64,
    /// In the slowest arena, and in the middle one.
    pub(crate) ticks_per_s_min: f64,
    pub(crate) ticks_per_s: f64,
    /// From one tick to the next at a player.
    pub(crate) between_p50_ms: f64,
    pub(crate) between_p99_ms: f64,
    pub(crate) frames_per_s: f64,
    pub(crate) steers_per_s: f64,
    pub(crate) commits_per_s: f64,
    pub(crate) commit_ms: f64,
    /// The share of one processor that each uses.
    pub(crate) gateway_cpu: f64,
    pub(crate) worker_cpu: f64,
    pub(crate) redis_cpu: f64,
    pub(crate) load_average: [f64; 2],
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Game>> {
    [(1, 50), (100, 10)]
        .into_iter()
        .map(|(arenas, players)| measure_one(arenas, players, options.seconds))
        .collect()
}

fn measure_one(arenas: usize, players: usize, seconds: u64) -> anyhow::Result<Game> {
    let load_before = load_average();
    eprintln!("game: {arenas} arenas of {players} players, {seconds} s");
    let fleet = Fleet::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let length = Duration::from_secs(seconds);
    let (before, after, heard) = runtime.block_on(play(&fleet, arenas, players, length))?;

    let took_s = (after.at - before.at).as_secs_f64();
    let rose = |name| after.metrics.sum(name) - before.metrics.sum(name);
    let share = |after: Cpu, before: Cpu| (after - before).total_s() / took_s;
    let commits = rose("outlast_worker_commits_total");
    // One player of each arena counts for it.
    let mut rates: Vec<f64> = (0..arenas)
        .map(|arena| heard[arena * players].between_ms.len() as f64 / took_s)
        .collect();
    rates.sort_by(f64::total_cmp);
    let all = heard.iter();
    let frames: u64 = all.map(|heard| heard.frames).sum();
    let steers: u64 = heard.iter().map(|heard| heard.steers).sum();
    let between = heard.iter().flat_map(|heard| heard.between_ms.clone());
    let between = Percentiles::of(between.collect());
    Ok(Game {
        arenas,
        players,
        seconds: took_s,
        ticks_per_s_min: rates[0],
        ticks_per_s: rates[rates.len() / 2],
        between_p50_ms: between.p50,
        between_p99_ms: between.p99,
        frames_per_s: frames as f64 / took_s,
        steers_per_s: steers as f64 / took_s,
        commits_per_s: commits / took_s,
        commit_ms: rose("outlast_worker_commit_seconds_sum") * 1e3 / commits,
        gateway_cpu: share(after.gateway, before.gateway),
        worker_cpu: share(after.worker, before.worker),
        redis_cpu: share(after.redis, before.redis),
        load_average: [load_before, load_average()],
    })
}

/// The resources that the processes have used up by now.
struct Moment {
    at: Instant,
    metrics: Metrics,
    gateway: Cpu,
    worker: Cpu,
    redis: Cpu,
}

impl Moment {
    fn now(fleet: &Fleet) -> anyhow::Result<Self> {
        Ok(Moment {
            at: Instant::now(),
            metrics: fleet.worker_metrics()?,
            gateway: fleet.gateway.cpu()?,
            worker: fleet.worker.cpu()?,
            redis: fleet.redis.process.cpu()?,
        })
    }
}

/// Everybody comes in and plays; answers what each has heard between the two moments, arena by arena.
async fn play(
    fleet: &Fleet,
    arenas: usize,
    players: usize,
    length: Duration,
) -> anyhow::Result<(Moment, Moment, Vec<Heard>)> {
    let numbers: Vec<usize> = (0..arenas * players).collect();
    let mut all = Vec::new();
    for some in numbers.chunks(COMING_MAX) {
        let come = some.iter().map(|number| async move {
            let room = format!("game/arena-{}", number / players);
            let mut member = Member::open(fleet.address).await?;
            member.join(&room, &format!("player {number}")).await?;
            anyhow::Ok(Player {
                member,
                room,
                n: 1,
                heard: Heard::default(),
                number: *number,
            })
        });
        let come = timeout(COME_WITHIN, futures_util::future::try_join_all(come)).await;
        // Those who are in already would be taken for slow readers.
        all.extend(come.context("not everybody came in")??);
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + length;
    let mut playing = JoinSet::new();
    for player in all {
        playing.spawn(player.play(begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = Moment::now(fleet)?;
    tokio::time::sleep_until(end.into()).await;
    let after = Moment::now(fleet)?;
    let mut done = Vec::new();
    while let Some(player) = playing.join_next().await {
        done.push(player??);
    }
    done.sort_by_key(|player| player.number);
    let heard = done.into_iter().map(|player| player.heard).collect();
    Ok((before, after, heard))
}

struct Player {
    member: Member,
    room: String,
    n: u64,
    heard: Heard,
    number: usize,
}

/// A player's frames and steers during the measurement.
#[derive(Default)]
struct Heard {
    frames: u64,
    steers: u64,
    /// From one tick to the next.
    between_ms: Vec<f64>,
}

impl Player {
    async fn play(mut self, begin: Instant, end: Instant) -> anyhow::Result<Self> {
        let mut steer = interval(STEER_EVERY);
        steer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Not everybody at the same moment.
        steer.reset_after(STEER_EVERY.mul_f64(rand::random()));
        let mut last_tick = None;
        while Instant::now() < end {
            tokio::select! {
                text = timeout_at(end.into(), self.member.receive()) => {
                    let Ok(text) = text else { break };
                    let text = text?;
                    let (now, counts) = (Instant::now(), Instant::now() >= begin);
                    self.heard.frames += u64::from(counts);
                    if text.contains(r#"{"tick":"#) {
                        let between = last_tick.replace(now).map(|last| now - last);
                        let between_ms = between.map(|between: Duration| between.as_secs_f64() * 1e3);
                        self.heard.between_ms.extend(between_ms.filter(|_| counts));
                    } else if text.starts_with(r#"{"t":"result""#) {
                        ensure!(text.contains(r#""ok":true"#), "refused: {text}");
                    } else if !text.starts_with(r#"{"t":"event""#) {
                        bail!("{text}, where a tick was expected");
                    }
                }
                _ = steer.tick() => {
                    self.n += 1;
                    self.heard.steers += u64::from(Instant::now() >= begin);
                    let (room, n) = (&self.room, self.n);
                    let [x, y] = [(); 2].map(|()| rand::random_range(-1.0..=1.0));
                    let frame = format!(r#"{{"t":"act","room":"{room}","n":{n},"data":{{"steer":{{"x":{x:.2},"y":{y:.2}}}}}}}"#);
                    self.member.send(frame).await?;
                }
            }
        }
        if self.heard.between_ms.is_empty() {
            bail!("{} heard no tick", self.room);
        }
        Ok(self)
    }
}
