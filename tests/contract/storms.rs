//! Section 8: storms and drains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use outlast_testkit::{
    Client, RedisServer, Server, eventually,
    frames::{act, room_of, said},
    free_address,
};
use serde_json::json;

use crate::command_line::get;

const ROOM: &str = "chat/storms";

/// A gateway with an admin listener.
fn watched(redis: &RedisServer, admin: &str, flags: &[&str]) -> Server {
    Server::gateway(redis, &[&["--admin-listen", admin], flags].concat())
}

/// The sum over all series of a metric.
fn sum(admin: &str, name: &str) -> f64 {
    let (_, text) = get(admin, "/metrics");
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let of_name = lines.filter(|(series, _)| series.split('{').next() == Some(name));
    of_name
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum()
}

#[tokio::test]
async fn d3_everybody_moves_to_the_other_gateway_and_the_process_ends_with_the_last() {
    let redis = RedisServer::start();
    let admin = free_address();
    let a = watched(&redis, &admin, &["--drain-ms", "600000"]);
    let (b, _worker) = (Server::gateway(&redis, &[]), Server::worker(&redis, &[]));
    let mut members = Vec::new();
    for name in ["Ada", "Bo", "Cy", "Dee"] {
        members.push(a.member(ROOM, name).await);
    }
    let mut speaker = b.member(ROOM, "Eve").await;
    assert_eq!(get(&admin, "/readyz").0, 200);
    a.signal("TERM");
    let mut after = Vec::new();
    for member in &mut members {
        let moving = member.find("move").await;
        let (after_ms, by_ms) = (&moving["after_ms"], &moving["by_ms"]);
        assert!(after_ms.as_u64().unwrap() + 5_000 <= by_ms.as_u64().unwrap());
        after.push(after_ms.as_u64().unwrap() as f64);
    }
    // So few move at once (D5): 750 ms in four parts, less what has passed until it was told.
    after.sort_by(f64::total_cmp);
    let part = 750.0 / 4.0;
    for (number, after_ms) in after.iter().enumerate() {
        assert!(*after_ms <= part * number as f64 + 1.0, "{after:?}");
    }
    assert_eq!(get(&admin, "/readyz").0, 503);
    assert_eq!(get(a.address(), "/").0, 200);
    assert_eq!(Client::refusal(a.address(), &[]).await, Some(503));

    // What is said while they move reaches each of them once, on the one socket or on the other.
    for (number, mut older) in members.into_iter().enumerate() {
        let (before, between) = (format!("before {number}"), format!("between {number}"));
        let n = 2 + 2 * number as u64;
        speaker.say(ROOM, n, &before).await;
        let heard = older
            .until("event", |frame| frame["data"]["said"] == before)
            .await;
        assert_eq!(said(&heard).last(), Some(&before));
        speaker.say(ROOM, n + 1, &between).await;
        let mut newer = older
            .resume_at(b.address(), room_of(ROOM, &older.pos))
            .await;
        assert_eq!(newer.welcome["rooms"], json!({ROOM: "replay"}));
        assert_eq!(said(&newer.until("live", |_| true).await), [between]);
        newer.send(act(ROOM, 2, json!({"say": "moved"}))).await;
        let member = newer.member;
        newer.until("event", |frame| frame["by"] == member).await;
        // The older one still delivered until it was replaced.
        older.closes_with(4002).await;
    }
    // It does not wait for the window's end.
    assert_eq!(a.wait(), Some(0));
}

#[tokio::test]
async fn d3_what_remains_at_the_end_of_the_window_is_closed() {
    let redis = RedisServer::start();
    let a = Server::gateway(&redis, &["--drain-ms", "8000"]);
    let (b, _worker) = (Server::gateway(&redis, &[]), Server::worker(&redis, &[]));
    let mut client = a.member(ROOM, "Ada").await;
    a.signal("TERM");
    client.expect("move").await;
    client.say(ROOM, 2, "still served").await;
    let bye = client.closes_with(4000).await;
    assert_eq!(
        (&bye["resume"], bye["retry_ms"].is_u64()),
        (&json!(true), true)
    );
    assert_eq!(a.wait(), Some(0));
    let again = client
        .resume_at(b.address(), room_of(ROOM, &client.pos))
        .await;
    assert_eq!(again.welcome["rooms"], json!({ROOM: "replay"}));
}

#[tokio::test]
async fn d3_a_second_signal_ends_the_drain() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let mut client = gateway.open().await;
    gateway.signal("TERM");
    client.expect("move").await;
    gateway.signal("INT");
    assert_eq!(gateway.wait(), Some(130));
}

#[tokio::test]
async fn d3_alone_there_is_nowhere_to_move_to() {
    let server = Server::alone(&[]);
    let mut client = server.member(ROOM, "Ada").await;
    server.signal("INT");
    client.closes_with(4000).await;
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test]
async fn d3_workers_and_keepers_wait_for_nobody() {
    let redis = RedisServer::start();
    let drain = ["--drain-ms", "600000"];
    for server in [
        Server::worker(&redis, &drain),
        Server::keeper(&redis, &drain),
    ] {
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
    }
}

#[tokio::test]
async fn d1_what_finds_no_place_is_told_when_to_come_back() {
    // Where each of them came so late that the one before was in by then, nobody was told anything.
    for _ in 0..10 {
        if tells_when_to_come_back().await {
            return;
        }
    }
    panic!("nobody was told when to come back");
}

async fn tells_when_to_come_back() -> bool {
    let server = Server::alone(&["--attach-rate", "1"]);
    eventually("the rate is shown", async || {
        let log = server.log();
        log.contains("attach_rate_per_s=1 ").then_some(())
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(server.connect().await);
    }
    for client in &mut clients {
        client.send(json!({"t": "open"})).await;
    }
    let (mut welcomes, mut busies) = (0, 0);
    for client in &mut clients {
        let frame = client.next().await;
        if frame["t"] == "welcome" {
            welcomes += 1;
            continue;
        }
        assert_eq!(frame["t"], "busy", "{frame}");
        let bye = client.closes_with(4013).await;
        assert_eq!(
            (&bye["retry_ms"], &bye["resume"]),
            (&frame["retry_ms"], &json!(true))
        );
        busies += 1;
    }
    assert!(welcomes >= 2, "{welcomes} {busies}");
    busies >= 2
}

#[tokio::test]
async fn d4_a_herd_that_comes_back_shares_its_reads() {
    let redis = RedisServer::start();
    let admin = free_address();
    let (a, b) = (Server::gateway(&redis, &[]), watched(&redis, &admin, &[]));
    let _worker = Server::worker(&redis, &[]);
    let mut members = Vec::new();
    for number in 0..50 {
        members.push(a.member(ROOM, &format!("m{number}")).await);
    }
    let [first, ..] = &mut members[..] else {
        panic!()
    };
    first.say(ROOM, 2, "behind them all").await;
    a.kill();
    let mut back = Vec::new();
    for (number, member) in members.iter_mut().enumerate() {
        // Some have read more of it than others have.
        let pos = member.pos.clone();
        let mut again = member.resume_at(b.address(), room_of(ROOM, &pos)).await;
        assert_eq!(again.welcome["rooms"], json!({ROOM: "replay"}), "{number}");
        back.push((again.until("live", |_| true).await, again));
    }
    for (came, _) in &back[1..] {
        assert_eq!(said(came), ["behind them all"]);
    }
    let reads = sum(&admin, "outlast_gateway_log_reads_total");
    assert!(
        reads <= 0.1 * members.len() as f64,
        "{reads} reads for {}",
        members.len()
    );
    assert!(sum(&admin, "outlast_gateway_entries_replayed_total") >= 49.0);
}

#[tokio::test]
async fn d4_who_reads_a_long_stretch_while_nothing_happens_gets_to_its_end() {
    const TEXTS: u64 = 6_000;
    let redis = RedisServer::start();
    let flags = ["--log-entries", "1000000", "--actions-per-s", "1000000"];
    let gateway = Server::gateway(&redis, &flags);
    let _worker = Server::worker(&redis, &flags[..2]);
    let mut talks = gateway.member(ROOM, "Bo").await;
    let pos = talks.pos.clone();
    let (mut asked, mut settled) = (1, 1);
    while settled < TEXTS {
        while asked < TEXTS.min(settled + 200) {
            asked += 1;
            talks.send(act(ROOM, asked, json!({"say": "text"}))).await;
        }
        let told = talks.next().await;
        match told["t"].as_str() {
            Some("event") => settled = told["n"].as_u64().unwrap_or(settled),
            // A busy machine: everything from there on is asked again.
            Some("error") => {
                let retry_ms = told["retry_ms"].as_u64().unwrap();
                tokio::time::sleep(Duration::from_millis(retry_ms)).await;
                asked = told["n"].as_u64().unwrap() - 1;
            }
            _ => {}
        }
    }
    // From now on no news wakes anybody, and the gateway's threads are interrupted at any place.
    let busy = Busy::start(4);
    // What it said itself is replayed, however long that is: a snapshot would leave out the outcomes (R3).
    let mut back = talks;
    for _ in 0..8 {
        back = back.resume_at(gateway.address(), room_of(ROOM, &pos)).await;
        let came = back.until("live", |_| true).await;
        assert_eq!(said(&came).len() as u64, TEXTS - 1);
    }
    drop(busy);
}

/// Threads that do nothing as fast as they can, until this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start(threads: usize) -> Busy {
        let busy = Arc::new(AtomicBool::new(true));
        for _ in 0..threads {
            let busy = busy.clone();
            thread::spawn(move || while busy.load(Ordering::Relaxed) {});
        }
        Busy(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
