//! Everything is killed at random while clients act, and nothing is lost, doubled or out of order.
//!
//! The processes are real, and so is Redis. `OUTLAST_SEED=…` draws the same accidents again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod fleet;
mod people;
#[path = "../support/support.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tests of the contract"
)]
mod support;

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Case, Marks, check};

use fleet::{Alone, Fleet};
use people::People;

/// Draws the seed, or takes the one that is asked for.
fn seeded(test: &str) -> (u64, StdRng) {
    let asked = std::env::var("OUTLAST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = asked.unwrap_or_else(rand::random);
    println!("{test}: OUTLAST_SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}

/// 40 clients in 8 rooms act for 30 s, while gateways, workers and keepers are killed and started again, a
/// worker is stopped past its lease and goes on, and Redis is killed and started again twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_nothing_is_lost_while_everything_is_killed() {
    let (seed, mut rng) = seeded("the fleet");
    let mut fleet = Fleet::start();
    let people = People::arrive(40, 8, &fleet.gateways(), seed).await;
    let (start, mut redis_kills, mut stops) = (
        Instant::now(),
        [9, 20].into_iter().peekable(),
        [4, 15].into_iter().peekable(),
    );
    while start.elapsed() < Duration::from_secs(30) {
        let seconds = start.elapsed().as_secs();
        if redis_kills.next_if(|at| seconds >= *at).is_some() {
            fleet
                .restart_redis(Duration::from_millis(rng.random_range(50..1_500)))
                .await;
        } else if stops.next_if(|at| seconds >= *at).is_some() {
            fleet.stop_a_worker(Duration::from_millis(2_600), &mut rng);
        } else {
            fleet.kill_any(Duration::from_millis(rng.random_range(50..1_500)), &mut rng);
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
        fleet.revive().await;
    }
    fleet.revive_all().await;
    println!("{}", fleet.accidents());
    let (records, rooms) = people.leave_off().await;
    let logs = fleet.logs(&rooms).await;
    let case = Case {
        clients: &records,
        logs: &logs,
        marks: Marks::CHAT,
        complete: true,
        excused: &[],
        sessions_may_go: false,
    };
    let verdict = check(&case);
    println!("{verdict}");
    assert!(
        verdict.is_clean(),
        "OUTLAST_SEED={seed}\n{verdict}\n{}",
        fleet.logs_of_processes()
    );
    assert!(
        verdict.actions_settled > 1_000,
        "too little happened: {verdict}"
    );
}

/// The same for one process with its embedded store, killed again and again under 10 clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_nothing_is_lost_while_the_only_process_is_killed() {
    let (seed, mut rng) = seeded("alone");
    let mut alone = Alone::start();
    let people = People::arrive(10, 3, &alone.gateways(), seed).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
        alone.kill_and_start();
    }
    let (records, rooms) = people.leave_off().await;
    let logs = alone.logs(&rooms).await;
    let case = Case {
        clients: &records,
        logs: &logs,
        marks: Marks::CHAT,
        complete: true,
        excused: &[],
        sessions_may_go: false,
    };
    let verdict = check(&case);
    println!("{verdict}");
    assert!(verdict.is_clean(), "OUTLAST_SEED={seed}\n{verdict}");
    assert!(
        verdict.actions_settled > 100,
        "too little happened: {verdict}"
    );
}
