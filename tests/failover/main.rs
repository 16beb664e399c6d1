//! A Redis that is master is lost under load, and with it the newest of what it acknowledged: clients see
//! that it is gone (R4), or see nothing, and never something wrong.
//!
//! The processes are real, and so are Sentinel and Cluster.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

#[path = "../support/mod.rs"]
#[allow(unused_imports, reason = "shared with other tests")]
mod support;

mod histories;
mod out_of_reach;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use outlast_protocol::{Pos, RoomName, SnapshotReason};
use outlast_store::{Layout, Rooms, redis};
use outlast_testkit::{
    Server, eventually,
    outlast::{KEEP_ALL, role},
    redis::{CLOSELY_MS, Cluster, LOOSELY_MS, Sentinels, Site, users},
};
use reconnect_storm::{Case, Excuses, Finding, Outcome, Record, RoomLog, Seen, Violation, check};

use support::{People, logs};

/// Everybody who shares the store, each as the ACL user of its role.
fn processes(url: &str, password_file: &str) -> Vec<Server> {
    let roles = [
        "gateway", "gateway", "worker", "worker", "sessions", "sessions",
    ];
    let mut all = Vec::new();
    for name in roles {
        let user = format!("outlast-{name}");
        let mut flags = vec![
            "--store-user",
            &user,
            "--store-password-file",
            password_file,
        ];
        if name == "worker" {
            flags.extend(KEEP_ALL);
        }
        all.push(Server::spawn(role(name, url, &flags)));
    }
    all
}

/// Two of everything, the gateways first.
fn fleet(url: &str) -> Vec<Server> {
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), users::PASSWORD).unwrap();
    processes(url, &password.path().display().to_string())
}

/// Two of everything, and people who act at both gateways.
async fn a_fleet_with_people(url: &str) -> (Vec<Server>, People) {
    let processes = fleet(url);
    let gateways: Vec<_> = processes[..2]
        .iter()
        .map(|gateway| gateway.address().to_owned())
        .collect();
    let people = People::arrive(16, 4, &gateways, outlast_testkit::seed()).await;
    (processes, people)
}

/// The master of a room's partition is killed a while after the last that reached its replica.
async fn a_master_is_lost_under_load(mut site: impl Site) {
    let url = site.url();
    let (processes, people) = a_fleet_with_people(&url).await;
    let room: RoomName = "chat/room-0".parse().unwrap();
    let store = connect(&url).await;
    let topic = format!("ol:{{p{}}}:topic", Layout::default().partition(&room).0);
    let end = async || Some(store.read_tail(&room, 1).await.ok()?.last.off);
    let grown = async |from: u64| {
        let longer = async || end().await.filter(|off| *off >= from + 10);
        eventually("people act", longer).await
    };
    grown(grown(0).await).await;

    site.cut_off(&topic);
    let kept = eventually("the log has an end", end).await;
    grown(kept).await;
    let killed = Instant::now();
    site.owner(&topic).0.kill();
    site.watch(CLOSELY_MS);
    eventually("another master is there", end).await;
    let anew = Instant::now();
    site.watch(LOOSELY_MS);
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (records, rooms) = people.leave_off().await;
    let logs = logs(store.clone(), &rooms).await;
    let log_of_processes = || {
        let logs = processes.iter().map(Server::log);
        logs.collect::<Vec<_>>().join("\n──\n")
    };

    let first = first_outcome(&records, &room, &logs[&room], killed).expect("there was one");
    println!("the first outcome in {room} came {first:?} after the kill");
    let case = Case {
        excuses: Excuses {
            snapshots: vec![SnapshotReason::Diverged],
            sessions_may_go: true,
            rooms_may_be_slow: true,
        },
        ..Case::new(&records, &logs)
    };
    let verdict = check(&case);
    let lost = histories::check(&records, &logs, anew);
    println!("{verdict}\n{lost}");
    assert!(lost.wrong.is_empty(), "{lost}\n{}", log_of_processes());
    assert!(
        lost.resets > 0,
        "nobody saw that something was lost: {lost}"
    );
    assert_eq!(verdict.findings.len(), verdict.total(), "{verdict}");
    // What stands in no log any more was seen before the kill, and whoever had seen it was told before it
    // went on: that was just judged. Anything else is wrong all the same.
    let rest = verdict
        .findings
        .iter()
        .filter(|finding| !is_about_what_was_lost(finding, &logs));
    let rest: Vec<_> = rest.collect();
    assert!(rest.is_empty(), "{rest:#?}\n{}", log_of_processes());
    assert!(
        verdict.actions_settled > 30,
        "too little happened: {verdict}"
    );
}

/// Slots are moved under load, key by key: rooms wait, and nothing else happens.
async fn slots_are_moved_under_load(site: Cluster) {
    let url = site.url();
    let (processes, people) = a_fleet_with_people(&url).await;
    let store = connect(&url).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let room: RoomName = "chat/room-0".parse().unwrap();
    let topic = format!("ol:{{p{}}}:topic", Layout::default().partition(&room).0);
    for key in [&topic, "ol:{s0}:due", "ol:members"] {
        let moving = site.begin_to_move(site.slot(key));
        let mut moved = 0;
        loop {
            // Long enough that everybody meets the slot as it is now.
            tokio::time::sleep(Duration::from_millis(100)).await;
            if moving.next_key().is_none() {
                break;
            }
            moved += 1;
        }
        moving.finish();
        println!("the slot of {key} was moved with {moved} keys");
    }
    let last = store.read_tail(&room, 1).await.unwrap().last;
    let on = async || Some(store.read_tail(&room, 1).await.ok()?.last).filter(|end| *end != last);
    eventually("the room goes on", on).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let (records, rooms) = people.leave_off().await;
    let logs = logs(store.clone(), &rooms).await;
    let verdict = check(&Case::new(&records, &logs).with_slow_rooms());
    println!("{verdict}");
    let said: Vec<_> = processes.iter().map(Server::log).collect();
    assert!(
        verdict.findings.is_empty(),
        "{verdict}\n{}",
        said.join("\n──\n")
    );
    assert!(
        verdict.actions_settled > 100,
        "too little happened: {verdict}"
    );
}

/// True if a finding says no more than that a position stands in no log any more.
fn is_about_what_was_lost(finding: &Finding, logs: &BTreeMap<RoomName, RoomLog>) -> bool {
    let words = finding
        .what
        .split(|c: char| !(c.is_ascii_digit() || c == '-'));
    let positions: Vec<Pos> = words.filter_map(|word| word.parse().ok()).collect();
    let stands = |pos: &Pos| {
        let mut logs = finding.room.iter().filter_map(|room| logs.get(room));
        logs.any(|log| log.entries.iter().any(|entry| entry.pos == *pos))
    };
    let explained = matches!(finding.violation, Violation::Lost | Violation::Differing);
    explained && !positions.is_empty() && !positions.iter().any(stands)
}

/// Returns the time from a moment to the first outcome of an act in a room that stands in its log.
fn first_outcome(
    records: &[Record],
    room: &RoomName,
    log: &RoomLog,
    behind: Instant,
) -> Option<Duration> {
    let stands = |pos| log.entries.iter().any(|entry| entry.pos == pos);
    let first = |record: &Record| {
        let mut asked = BTreeSet::new();
        for seen in &record.observations {
            if let Seen::Asked {
                id, room: there, ..
            } = &seen.what
                && there == room
            {
                asked.insert(*id);
            }
            if let Seen::Settled {
                id,
                outcome: Outcome::Event(pos),
            } = &seen.what
                && stands(*pos)
                && asked.contains(id)
                && seen.at > behind
            {
                return Some(seen.at - behind);
            }
        }
        None
    };
    records.iter().filter_map(first).min()
}

async fn connect(url: &str) -> Arc<redis::Redis> {
    let settings = redis::RedisSettings::default();
    redis::Redis::connect(url, Layout::default(), settings)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_sentinels_name_another_master_under_load_and_nothing_goes_on_wrongly() {
    a_master_is_lost_under_load(Sentinels::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_another_node_takes_the_slots_under_load_and_nothing_goes_on_wrongly() {
    a_master_is_lost_under_load(Cluster::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_are_moved_under_load_and_nothing_is_lost_or_doubled() {
    slots_are_moved_under_load(Cluster::start()).await;
}
