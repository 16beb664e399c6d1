//! The load test that ships with outlast, run small: each storm is weathered, a fault is found out, and
//! nothing that it starts outlives it. Everything is real but the size.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod tls;
mod tool;
mod wire;

use std::process::Stdio;

use outlast_testkit::{Server, eventually_blocking, process};
use serde_json::Value;

use self::{
    tool::{Ended, children, is_running, run, tool},
    wire::{Fault, Wire},
};

/// 200 clients in 10 rooms.
fn small(scenario: &str, more: &[&str]) -> (Ended, Value) {
    let size = ["--clients", "200", "--rooms", "10", "--rate", "50"];
    let times = ["--warmup", "1", "--watch", "2", "--patience", "240"];
    run(&[&[scenario], &size[..], &times, more].concat())
}

fn fact(run: &Value, key: &str) -> f64 {
    let mut facts = run["facts"].as_array().unwrap().iter();
    let fact = facts.find(|fact| fact["key"] == key);
    fact.unwrap_or_else(|| panic!("no {key} in {run}"))["value"]
        .as_f64()
        .unwrap()
}

#[test]
fn a_killed_gateway_is_weathered() {
    let (ended, run) = small("kill", &[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(fact(&run, "cut"), 100.0, "{ended}");
    assert!(fact(&run, "times_bare") > 0.0, "{ended}");
    assert!(
        run["verdict"]["entries_seen"].as_u64().unwrap() > 200,
        "{ended}"
    );
    // Who was let in and did not hear of it in time has resumed once more.
    assert!(
        run["verdict"]["resumed"].as_u64().unwrap() >= 100,
        "{ended}"
    );
}

#[test]
fn cut_sockets_are_weathered_with_the_jitter_of_the_sdk() {
    let (ended, run) = small(
        "cut",
        &["--share", "0.25", "--jitter", "sdk", "--processes", "2"],
    );
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(fact(&run, "cut"), 50.0, "{ended}");
}

#[test]
fn d3_a_drain_leaves_nobody_without_a_socket() {
    let (ended, run) = small("drain", &["--drain-ms", "20000"]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(fact(&run, "without_socket"), 0.0, "{ended}");
    assert_eq!(fact(&run, "moved"), 100.0, "{ended}");
}

#[test]
fn w4_a_dead_worker_is_weathered() {
    let (ended, run) = small("worker", &[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(
        run["verdict"]["actions_settled"].as_u64().unwrap() > 50,
        "{ended}"
    );
}

#[test]
fn l5_a_store_that_dies_and_returns_is_weathered() {
    let (ended, run) = small("store", &[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(fact(&run, "stalled_s") >= 0.9, "{ended}");
}

/// Storms a deployment of one process behind a wire that may be faulty.
fn behind_a_wire(fault: Fault) -> Ended {
    let server = Server::alone(&["--log", "warn"]);
    let wire = Wire::start(server.address().to_owned(), fault);
    let url = format!("ws://{}", wire.address());
    let size = ["--clients", "20", "--rooms", "2", "--rate", "50"];
    let times = [
        "--warmup",
        "1",
        "--watch",
        "3",
        "--patience",
        if fault == Fault::None { "240" } else { "10" },
        "--no-bare",
    ];
    run(&[&["cut", "--url", &url], &size[..], &times].concat()).0
}

#[test]
fn a_sound_deployment_behind_a_url_passes() {
    let ended = behind_a_wire(Fault::None);
    assert_eq!(ended.code, Some(0), "{ended}");
}

#[test]
fn a_deployment_behind_tls_is_stormed_by_who_trusts_it() {
    let server = Server::alone(&["--log", "warn"]);
    let front = tls::Front::start(server.address().to_owned());
    let (url, ca_file) = (front.url(), front.ca_file().display().to_string());
    let size = ["--clients", "20", "--rooms", "2", "--rate", "50"];
    let times = ["--warmup", "1", "--watch", "1", "--no-bare"];
    let storm = ["cut", "--url", &url];
    let (ended, run) = self::run(&[&storm, &["--ca-file", &ca_file][..], &size, &times].concat());
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(run["verdict"]["resumed"], 10, "{ended}");

    let ended = self::run(&["cut", "--url", &url]).0;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("certificate"), "{ended}");
    let ended = self::run(&["cut", "--url", &url, "--ca-file", "/nowhere.pem"]).0;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("--ca-file /nowhere.pem"), "{ended}");
}

#[test]
fn e1_an_event_that_the_network_swallows_is_found_out() {
    let ended = behind_a_wire(Fault::Drop);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(!ended.stdout.contains("lost 0,"), "{ended}");
}

#[test]
fn e1_an_event_that_the_network_doubles_is_found_out() {
    let ended = behind_a_wire(Fault::Double);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stdout.contains("doubled 1,"), "{ended}");
}

#[test]
fn nothing_that_it_starts_outlives_it() {
    for signal in ["INT", "KILL"] {
        let mut storm = tool(&[
            "kill",
            "--clients",
            "20",
            "--rooms",
            "2",
            "--no-bare",
            "--warmup",
            "60",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        // Redis, the keeper, the worker and two gateways.
        let started = eventually_blocking("all five are started", || {
            Some(children(storm.id())).filter(|started| started.len() == 5)
        });
        process::signal(storm.id(), signal);
        assert!(!storm.wait().unwrap().success());
        eventually_blocking(
            &format!("SIG{signal} leaves nothing of {started:?}"),
            || {
                let mut started = started.iter();
                started.all(|pid| !is_running(*pid)).then_some(())
            },
        );
    }
}

#[test]
fn what_cannot_be_done_is_told_with_its_remedy() {
    let ended = run(&["drain", "--url", "ws://127.0.0.1:1"]).0;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(
        ended.stderr.contains("error: ") && ended.stderr.contains("--storm-command"),
        "{ended}"
    );
}
