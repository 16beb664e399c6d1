//! Clients come, act, leave and come back without waiting, while processes are killed, bytes are held and cut, and
//! clocks jump. What they saw is judged against SPEC: nothing lost, doubled, out of order or stuck, and no ghosts.
//!
//! `OUTLAST_SEED=…` draws a round again; `OUTLAST_CHAOS_S=3600` goes on for so long on each store;
//! `OUTLAST_CHAOS_MIX=kills,links` chooses some kinds of trouble; `OUTLAST_CHAOS_KEEP=1` keeps what was written down
//! of rounds where nothing was wrong, too; `OUTLAST_CHAOS_BIN=…` tries another build of outlast.

mod census;
mod history;
mod http;
mod judge;
mod letter;
mod page;
mod poster;
mod round;
mod walker;
mod world;

use std::time::{Duration, Instant};

use outlast_testkit::seed;

use self::{
    round::{Round, play},
    world::{Mix, Store},
};

/// The time that clients churn in a round.
const SHORT: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(40);

/// The kinds of trouble that are asked for.
fn mix() -> Mix {
    let asked = std::env::var("OUTLAST_CHAOS_MIX").ok();
    let has = |kind: &str| {
        let asked = asked.as_deref();
        asked.is_none_or(|asked| asked.split(',').any(|one| one == kind))
    };
    Mix {
        kills: has("kills"),
        redis: has("redis"),
        clients: has("clients"),
        links: has("links"),
        clocks: has("clocks"),
        redis_clock: has("redis-clock"),
        hasty: has("hasty"),
    }
}

async fn rounds(store: Store) {
    let asked = |name: &str| std::env::var(name).ok();
    let length = asked("OUTLAST_CHAOS_S").map(|s| s.parse().expect("a whole number of seconds"));
    let long = length.map(Duration::from_secs);
    let (mut seed, start) = (seed(), Instant::now());
    let mut wrong = Vec::new();
    loop {
        let round = Round {
            store,
            seed,
            churn: if long.is_some() { LONG } else { SHORT },
            mix: mix(),
        };
        if let Err(what) = play(round).await {
            println!("{what}");
            wrong.push(seed);
        }
        seed = seed.wrapping_add(1);
        if long.is_none_or(|long| start.elapsed() >= long) {
            break;
        }
    }
    assert!(
        wrong.is_empty(),
        "wrong with OUTLAST_SEED= each of {wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e1_clients_churn_over_redis_and_nothing_is_lost_doubled_stuck_or_left_behind() {
    rounds(Store::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e1_clients_churn_over_one_process_and_nothing_is_lost_doubled_stuck_or_left_behind() {
    rounds(Store::Embedded).await;
}
