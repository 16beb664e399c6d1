use std::time::{Duration, Instant};

use outlast_testkit::proxy::{Hitch, Proxy, Snag, Toward};
use rand::{RngExt, rngs::StdRng};

use super::{Machine, Role, World};

/// Which kinds of trouble there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    /// SIGKILL, SIGSTOP and SIGTERM of processes.
    pub(crate) kills: bool,
    /// SIGKILL and SIGSTOP of Redis.
    pub(crate) redis: bool,
    /// Bytes between clients and gateways.
    pub(crate) clients: bool,
    /// Bytes between processes and Redis.
    pub(crate) links: bool,
    /// Wall clocks of processes.
    pub(crate) clocks: bool,
    /// That of Redis.
    pub(crate) redis_clock: bool,
    /// Clients do not wait for the outcome of a leave.
    pub(crate) hasty: bool,
}

/// A wall clock that is wrong comes back after this.
const WRONG_MS: std::ops::Range<u64> = 500..4_000;

impl World {
    /// Something happens.
    pub(crate) async fn trouble(&mut self, mix: Mix, rng: &mut StdRng) {
        let machine = rng.random_range(0..self.machines.len());
        match rng.random_range(0..100) {
            0..26 if mix.kills => self.end_one(machine, rng),
            26..32 if mix.redis => self.redis_trouble(rng),
            32..52 if mix.clients => {
                let what = hitch(&self.front, 300, rng);
                self.did("clients", format!("between clients and gateways: {what}"));
            }
            52..88 if mix.links => {
                let machine = &self.machines[machine];
                let name = machine.name();
                if let Some(link) = &machine.link {
                    let what = hitch(link, 20_000, rng);
                    self.did("links", format!("between {name} and Redis: {what}"));
                }
            }
            88..96 if mix.clocks && self.machines[machine].has_settled() => {
                let ms = jump_ms(rng);
                let lasting = Duration::from_millis(rng.random_range(WRONG_MS));
                let machine = &mut self.machines[machine];
                machine.wrong_clock(ms, lasting);
                let what = format!(
                    "the clock of {} jumps {ms} ms for {lasting:?}",
                    machine.name()
                );
                self.did("clocks", what);
            }
            96..100 if mix.redis_clock && self.redis.is_some() => {
                let ms = jump_ms(rng);
                let lasting = Duration::from_millis(rng.random_range(WRONG_MS));
                self.redis_clock.shift_ms(ms);
                self.redis_clock_back = Some(Instant::now() + lasting);
                self.did("Redis's clock", format!("jumps {ms} ms for {lasting:?}"));
            }
            _ => {}
        }
    }

    fn end_one(&mut self, machine: usize, rng: &mut StdRng) {
        let machine = &mut self.machines[machine];
        if !machine.runs() {
            return;
        }
        let (name, away) = (machine.name(), rng.random_range(50..1_500));
        let away = Duration::from_millis(away);
        let (kind, away) = match rng.random_range(0..10) {
            0..6 => {
                machine.kill_for(away);
                ("KILL", away)
            }
            6..8 => {
                // Past the lease, at times.
                machine.stop_for(2 * away);
                ("STOP", 2 * away)
            }
            _ => {
                let drains = machine.role == Role::Gateway;
                let away = away + Duration::from_secs(if drains { 7 } else { 1 });
                machine.drain_for(away);
                ("TERM", away)
            }
        };
        self.did(kind, format!("{kind} {name} for {away:?}"));
    }

    fn redis_trouble(&mut self, rng: &mut StdRng) {
        let Some(redis) = self.redis.as_mut().filter(|_| self.redis_back.is_none()) else {
            return;
        };
        let away = Duration::from_millis(rng.random_range(50..1_500));
        let stops = rng.random_range(0..3) == 0;
        let what = if stops {
            redis.signal("STOP");
            "STOP"
        } else {
            redis.kill();
            "KILL"
        };
        self.redis_back = Some((Instant::now() + away, stops));
        self.did("Redis", format!("{what} Redis for {away:?}"));
    }

    /// Starts, or continues, what has been away for long enough, and sets right what was wrong for long enough.
    pub(crate) fn revive(&mut self, all: bool) {
        // Everything is due then.
        let now = Instant::now() + Duration::from_secs(if all { 3_600 } else { 0 });
        if let Some((_, stopped)) = self.redis_back.take_if(|(at, _)| *at <= now) {
            match (&mut self.redis, stopped) {
                (Some(redis), true) => redis.signal("CONT"),
                (Some(redis), false) => tokio::task::block_in_place(|| redis.restart()),
                (None, _) => {}
            }
        }
        if self.redis_clock_back.take_if(|at| *at <= now).is_some() {
            self.redis_clock.shift_ms(0);
        }
        let mut ended = Vec::new();
        for machine in &mut self.machines {
            machine.right_clock(now);
            ended.extend(machine.revive(now, &self.folder));
        }
        for what in ended {
            self.did("ended", what.clone());
            self.ended.push(what);
        }
    }

    /// Nothing more happens, and all is up again.
    pub(crate) fn calm(&mut self) {
        self.front.calm();
        for machine in &self.machines {
            machine.link.iter().for_each(Proxy::calm);
        }
        self.revive(true);
        // What was swallowed is gone for good: who waits for it has to notice. That is over now.
        self.did("calm", "everything is up again".into());
    }

    fn did(&mut self, kind: &'static str, what: String) {
        *self.counts.entry(kind).or_default() += 1;
        let at = self.begun.elapsed().as_secs_f64();
        self.diary.push(format!("{at:9.3} {what}"));
    }
}

impl Machine {
    fn wrong_clock(&mut self, ms: i64, lasting: Duration) {
        self.clock.shift_ms(ms);
        self.clock_back = Some(Instant::now() + lasting);
    }

    fn right_clock(&mut self, now: Instant) {
        if self.clock_back.take_if(|at| *at <= now).is_some() {
            self.clock.shift_ms(0);
        }
    }
}

/// Draws what happens on some, or all, connections of a proxy.
fn hitch(proxy: &Proxy, bytes: usize, rng: &mut StdRng) -> String {
    let toward = match rng.random_range(0..2) {
        0 => Toward::Server,
        _ => Toward::Client,
    };
    let after_bytes = match rng.random_range(0..3) {
        0 => 0,
        _ => rng.random_range(0..bytes),
    };
    let what = match rng.random_range(0..10) {
        0..4 => Snag::Cut,
        4..7 => Snag::Hold(Duration::from_millis(rng.random_range(1_000..3_000))),
        7 => Snag::Swallow,
        _ => Snag::Slow {
            by: Duration::from_millis(rng.random_range(5..150)),
            lasting: Duration::from_millis(rng.random_range(500..3_000)),
        },
    };
    let hitch = Hitch {
        toward,
        after_bytes,
        what,
    };
    let (all, share) = (rng.random_range(0..3) == 0, rng.random_range(1..4));
    let hit = proxy.hitch(hitch, |_| all || rng.random_range(0..share) == 0);
    let coming = rng.random_range(0..3) == 0 && what != Snag::Swallow;
    if coming {
        proxy.hitch_coming(hitch, Duration::from_millis(1_000));
    }
    let connections = proxy.connections();
    format!("{hitch:?} on {hit} of {connections} connections, on new ones: {coming}")
}

/// Back or ahead, by a second or by an hour.
fn jump_ms(rng: &mut StdRng) -> i64 {
    let far = [1_500, 10_000, 60_000, 3_600_000][rng.random_range(0..4)];
    match rng.random_range(0..2) {
        0 => far,
        _ => -far,
    }
}
