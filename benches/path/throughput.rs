//! The number of actions a second that one gateway, one worker and one Redis take, with sessions that do not wait
//! for one outcome before they ask for the next. The clients run on the same machine.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    client::{self, Frame},
    crowd::Member,
    fleet::{Fleet, Metrics},
    machine::{Cpu, load_average},
    options::Options,
};

const SESSIONS: usize = 64;
const ROOMS: usize = 16;
const ROOM_MEMBERS: usize = SESSIONS / ROOMS;
/// The number of actions of a session that are on their way at the same time.
const UNDER_WAY: u64 = 32;
/// The longest time that the rest may take, once nobody asks for more.
const REST_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
pub(crate) struct Throughput {
    pub(crate) sessions: usize,
    pub(crate) rooms: usize,
    pub(crate) under_way: u64,
    pub(crate) actions: u64,
    pub(crate) actions_per_s: f64,
    /// Every action's event reaches every member of its room.
    pub(crate) events_per_s: f64,
    pub(crate) commits: f64,
    pub(crate) entries_per_commit: f64,
    pub(crate) commit_ms: f64,
    /// Processor time of an action, in microseconds.
    pub(crate) gateway_cpu_us: f64,
    pub(crate) worker_cpu_us: f64,
    pub(crate) redis_cpu_us: f64,
    pub(crate) load_average: [f64; 2],
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Throughput> {
    let load_before = load_average();
    eprintln!(
        "throughput: {SESSIONS} sessions in {ROOMS} rooms, {} s",
        options.seconds
    );
    let fleet = Fleet::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let talk = runtime.block_on(talk(&fleet, Duration::from_secs(options.seconds)))?;
    let Talk {
        before,
        after,
        actions,
        took,
    } = talk;

    let rose = |name| after.metrics.sum(name) - before.metrics.sum(name);
    let commits = rose("outlast_worker_commits_total");
    let per_action = |after: Cpu, before: Cpu| (after - before).total_s() * 1e6 / actions as f64;
    let actions_per_s = actions as f64 / took.as_secs_f64();
    Ok(Throughput {
        sessions: SESSIONS,
        rooms: ROOMS,
        under_way: UNDER_WAY,
        actions,
        actions_per_s,
        events_per_s: actions_per_s * ROOM_MEMBERS as f64,
        commits,
        entries_per_commit: rose("outlast_worker_commit_entries_sum") / commits,
        commit_ms: rose("outlast_worker_commit_seconds_sum") * 1e3 / commits,
        gateway_cpu_us: per_action(after.gateway, before.gateway),
        worker_cpu_us: per_action(after.worker, before.worker),
        redis_cpu_us: per_action(after.redis, before.redis),
        load_average: [load_before, load_average()],
    })
}

struct Talk {
    before: Moment,
    after: Moment,
    actions: u64,
    took: Duration,
}

/// The resources that the processes have used up by now.
struct Moment {
    metrics: Metrics,
    gateway: Cpu,
    worker: Cpu,
    redis: Cpu,
}

impl Moment {
    fn now(fleet: &Fleet) -> anyhow::Result<Self> {
        Ok(Moment {
            metrics: fleet.worker_metrics()?,
            gateway: fleet.gateway.cpu()?,
            worker: fleet.worker.cpu()?,
            redis: fleet.redis.process.cpu()?,
        })
    }
}

/// Everybody talks for a while, and then until everybody has heard everything.
async fn talk(fleet: &Fleet, length: Duration) -> anyhow::Result<Talk> {
    let mut talkers = Vec::new();
    for number in 0..SESSIONS {
        let room = format!("chat/room-{}", number % ROOMS);
        let mut member = Member::open(fleet.address).await?;
        member.join(&room, &format!("member {number}")).await?;
        talkers.push(Talker {
            member,
            room,
            n: 1,
            settled: 1,
            heard: 0,
            said_last: 0,
        });
    }
    let before = Moment::now(fleet)?;
    let start = Instant::now();
    let mut talking = JoinSet::new();
    for talker in talkers {
        talking.spawn(timeout(length + REST_WITHIN, talker.talk(start + length)));
    }
    let mut done = Vec::new();
    while let Some(talker) = talking.join_next().await {
        done.push(talker?.context("not everything was heard in time")??);
    }
    let took = start.elapsed();
    let after = Moment::now(fleet)?;
    for talker in &done {
        let same_room = done.iter().filter(|other| other.room == talker.room);
        let said: u64 = same_room.map(Talker::said).sum();
        ensure!(
            talker.heard == said,
            "{} of {said} events were heard",
            talker.heard
        );
    }
    Ok(Talk {
        before,
        after,
        actions: done.iter().map(Talker::said).sum(),
        took,
    })
}

/// A session that says one thing after the other.
struct Talker {
    member: Member,
    room: String,
    /// Its last action, and the last one that has become an event.
    n: u64,
    settled: u64,
    /// The number of events of its room that it has heard, its own ones included.
    heard: u64,
    /// The number of sessions of its room that have said their last: after these nothing comes.
    said_last: usize,
}

/// The last words of everybody.
const LAST: &str = "that was all";

impl Talker {
    async fn talk(mut self, until: Instant) -> anyhow::Result<Self> {
        let (mut may_talk, mut has_said_last) = (true, false);
        while self.said_last < ROOM_MEMBERS {
            may_talk = may_talk && Instant::now() < until;
            let free = UNDER_WAY - (self.n - self.settled);
            // Several in one write, as a busy client's come.
            if may_talk && free >= UNDER_WAY / 2 {
                let words = vec!["a word in the crowd"; free as usize];
                self.say(&words).await?;
            } else if !may_talk && !has_said_last && free > 0 {
                has_said_last = true;
                self.say(&[LAST]).await?;
            }
            self.hear().await?;
        }
        Ok(self)
    }

    fn said(&self) -> u64 {
        self.n - 1
    }

    async fn say(&mut self, texts: &[&str]) -> anyhow::Result<()> {
        let (first, room) = (self.n + 1, &self.room);
        self.n += texts.len() as u64;
        let frames = (first..)
            .zip(texts)
            .map(|(n, text)| client::say(room, n, text));
        self.member.send_all(frames).await
    }

    async fn hear(&mut self) -> anyhow::Result<()> {
        let text = self.member.receive().await?;
        let frame: Frame = serde_json::from_str(&text)?;
        match frame.t {
            "event" => {}
            "live" => return Ok(()),
            _ => bail!("{text}, where an event was expected"),
        }
        if !text.contains(r#""said":"#) {
            return Ok(());
        }
        self.heard += 1;
        self.said_last += usize::from(text.contains(LAST));
        if frame.by == Some(self.member.number) {
            self.settled += 1;
            ensure!(
                frame.n == Some(self.settled),
                "{text}, where {} was next",
                self.settled
            );
        }
        Ok(())
    }
}
