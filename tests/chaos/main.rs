//! Everything is killed at random while clients act, and nothing is lost, doubled or out of order.
//!
//! The processes are real, and so is Redis. `OUTLAST_SEED=…` draws the same accidents again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod books;
mod churn;
mod fleet;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod traders;

use std::time::{Duration, Instant};

use outlast_testkit::seed;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Case, check};

use books::audit;
use fleet::{Alone, Fleet};
use support::People;
use traders::Traders;

/// Returns a seed, which is printed, and a generator with it.
fn seeded() -> (u64, StdRng) {
    let seed = seed();
    (seed, StdRng::seed_from_u64(seed))
}

/// 40 clients in 8 rooms act for 30 s, while gateways, workers and keepers are killed and started again, a
/// worker is stopped past its lease and goes on, and Redis is killed and started again twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_nothing_is_lost_while_everything_is_killed() {
    let (seed, mut rng) = seeded();
    let mut fleet = Fleet::start();
    let people = People::arrive(40, 8, &fleet.gateways(), seed).await;
    accidents(&mut fleet, Duration::from_secs(30), &mut rng).await;
    println!("{}", fleet.accidents());
    let (records, rooms) = people.leave_off().await;
    let logs = fleet.logs(&rooms).await;
    let case = Case::new(&records, &logs).with_slow_rooms();
    let verdict = check(&case);
    println!("{verdict}");
    assert!(
        verdict.is_clean(),
        "OUTLAST_SEED={seed}\n{verdict}\n{}",
        fleet.logs_of_processes()
    );
    assert!(
        verdict.actions_settled > 200,
        "too little happened: {verdict}"
    );
}

/// 50 clients trade for as many seconds as `OUTLAST_EXCHANGE_S` says, while everything is killed: no unit
/// of cash or goods comes or goes, and the ledger and the clients agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_market_balances_while_everything_is_killed() {
    let asked = std::env::var("OUTLAST_EXCHANGE_S").ok();
    let length = asked.map_or(12, |s| s.parse().expect("a whole number of seconds"));
    let (seed, mut rng) = seeded();
    let mut fleet = Fleet::start();
    let traders = Traders::arrive(50, &fleet.gateways(), seed).await;
    accidents(&mut fleet, Duration::from_secs(length), &mut rng).await;
    println!("{}", fleet.accidents());
    let (records, room) = traders.leave_off().await;
    let logs = fleet.logs(std::slice::from_ref(&room)).await;
    let case = Case {
        fingerprint: |_| None,
        ..Case::new(&records, &logs).with_slow_rooms()
    };
    let verdict = check(&case);
    println!("{verdict}");
    assert!(
        verdict.is_clean(),
        "OUTLAST_SEED={seed}\n{verdict}\n{}",
        fleet.logs_of_processes()
    );
    let audit = audit(&logs[&room], &records);
    println!("{audit}");
    assert!(
        audit.trades > length && audit.acknowledged as u64 > 2 * length,
        "too little happened: {audit}"
    );
}

/// Kills and starts again, over and over: gateways, workers and keepers at random; a worker is stopped past
/// its lease and goes on, twice, and Redis is killed and started again, twice. All is up again at the end.
async fn accidents(fleet: &mut Fleet, length: Duration, rng: &mut StdRng) {
    let at = |parts: [f64; 2]| {
        parts
            .map(|part| length.mul_f64(part))
            .into_iter()
            .peekable()
    };
    let (start, mut redis_kills, mut stops) = (Instant::now(), at([0.3, 0.67]), at([0.13, 0.5]));
    while start.elapsed() < length {
        let passed = start.elapsed();
        if redis_kills.next_if(|at| passed >= *at).is_some() {
            fleet
                .restart_redis(Duration::from_millis(rng.random_range(50..1_500)))
                .await;
        } else if stops.next_if(|at| passed >= *at).is_some() {
            fleet.stop_a_worker(Duration::from_millis(2_600), rng);
        } else {
            fleet.kill_any(Duration::from_millis(rng.random_range(50..1_500)), rng);
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
        fleet.revive().await;
    }
    fleet.revive_all().await;
}

/// The same for one process with its embedded store, killed again and again under 10 clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_nothing_is_lost_while_the_only_process_is_killed() {
    let (seed, mut rng) = seeded();
    let mut alone = Alone::start();
    let people = People::arrive(10, 3, &alone.gateways(), seed).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
        alone.kill_and_start();
    }
    let (records, rooms) = people.leave_off().await;
    let logs = alone.logs(&rooms).await;
    let case = Case::new(&records, &logs).with_slow_rooms();
    let verdict = check(&case);
    println!("{verdict}");
    assert!(verdict.is_clean(), "OUTLAST_SEED={seed}\n{verdict}");
    assert!(
        verdict.actions_settled > 30,
        "too little happened: {verdict}"
    );
}
