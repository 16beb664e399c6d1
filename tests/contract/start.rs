//! A start that waits for its store (L12).

use std::time::{Duration, Instant};

use outlast_testkit::{
    RedisServer, Server, Starting, eventually, frames::act, free_address, free_port, in_time,
    outlast::role,
};
use serde_json::json;

use super::command_line::{get, refused};

/// A process of this role with further flags.
fn starting(name: &str, store: &str, admin: &str, flags: &[&str]) -> Starting {
    let flags = [&["--admin-listen", admin], flags].concat();
    Starting::spawn(role(name, store, &flags))
}

/// An answer of a listener, once there is one.
async fn answer(address: &str, path: &str) -> (u16, String) {
    eventually("somebody listens", async || {
        std::net::TcpStream::connect(address).ok()
    })
    .await;
    get(address, path)
}

#[tokio::test]
async fn l12_a_store_that_comes_later_is_waited_for() {
    let port = free_port();
    let store = format!("redis://127.0.0.1:{port}");
    let began = Instant::now();
    let clients = free_address();
    let mut fleet: Vec<(String, Starting)> = ["gateway", "worker", "sessions"]
        .into_iter()
        .map(|role| {
            let admin = free_address();
            let flags = ["--store-wait-ms", "60000", "--listen", &clients];
            let process = starting(role, &store, &admin, &flags);
            (admin, process)
        })
        .collect();
    for (admin, _) in &fleet {
        assert_eq!(answer(admin, "/healthz").await.0, 200);
        let (status, body) = answer(admin, "/readyz").await;
        assert!(
            status == 503 && body.contains("waits for the store"),
            "{body}"
        );
        let (status, body) = answer(admin, "/v1/sessions?user=a").await;
        assert!(status == 503 && body.contains("retry-after"), "{body}");
        assert_eq!(answer(admin, "/metrics").await.0, 200);
    }
    for path in ["/v1/connect", "/"] {
        let (status, body) = answer(&clients, path).await;
        assert!(status == 503 && body.contains("retry-after: 1"), "{body}");
    }
    // Longer than a start without the flag takes to give up (L5).
    eventually("six seconds are over", async || {
        (began.elapsed() > Duration::from_secs(6)).then_some(())
    })
    .await;
    for (_, process) in &mut fleet {
        assert!(process.is_waiting(), "{}", process.log());
        let log = process.log();
        assert!(
            log.contains("waiting for the store") && log.contains(&port.to_string()),
            "{log}"
        );
        assert!(
            log.lines()
                .filter(|line| line.contains("waits for"))
                .count()
                < 4,
            "{log}"
        );
    }
    let _redis = RedisServer::launch().port(port).start();
    let fleet: Vec<(String, Server)> = fleet
        .into_iter()
        .map(|(admin, process)| (admin, process.ready()))
        .collect();
    for (admin, _) in &fleet {
        assert_eq!(get(admin, "/readyz").0, 200);
    }
    let (_, gateway) = &fleet[0];
    let mut client = gateway.member("chat/l12", "Ada").await;
    client
        .send(act("chat/l12", 2, json!({"say": "here"})))
        .await;
    assert_eq!(
        client.expect("event").await["data"],
        json!({"said": "here"})
    );
}

#[tokio::test]
async fn l12_a_start_that_waits_ends_at_once_when_it_is_told_to() {
    let nowhere = free_port();
    // One that takes connections and never answers, too.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for store in [
        format!("redis://127.0.0.1:{nowhere}"),
        format!("redis-cluster://127.0.0.1:{nowhere}"),
        format!("redis-sentinel://127.0.0.1:{nowhere}/main"),
        format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port()),
    ] {
        let admin = free_address();
        in_time(Duration::from_secs(1), async || {
            let process = starting("worker", &store, &admin, &["--store-wait-ms", "60000"]);
            eventually("it says what it waits for", async || {
                process
                    .log()
                    .contains("waiting for the store")
                    .then_some(())
            })
            .await;
            assert_eq!(get(&admin, "/readyz").0, 503);
            let told = Instant::now();
            assert_eq!(process.end("TERM"), Some(0));
            told.elapsed()
        })
        .await;
    }
}

#[tokio::test]
async fn l12_what_waiting_cannot_mend_is_not_waited_for() {
    let redis = RedisServer::start();
    let url = redis.url();
    let worker = Server::worker(&redis, &[]);
    worker.kill();
    let run = |flags: &[&str]| {
        let began = Instant::now();
        let base = [
            "worker",
            "--admin-listen",
            "off",
            "--store-wait-ms",
            "60000",
        ];
        let exit = Server::run(&[&base[..], flags].concat());
        (exit, began.elapsed())
    };
    in_time(Duration::from_secs(5), async || {
        let (exit, took) = run(&["--store", &url, "--partitions", "8"]);
        refused(&exit, &["--partitions 16"]);
        took
    })
    .await;
    in_time(Duration::from_secs(5), async || {
        let store = url.replace("redis://", "redis://nobody:wrong@");
        let (exit, took) = run(&["--store", &store]);
        refused(&exit, &["WRONGPASS", "--store-password-file"]);
        took
    })
    .await;
}

#[tokio::test]
async fn l12_a_wait_has_an_end() {
    let port = free_port();
    let store = format!("redis://127.0.0.1:{port}");
    in_time(Duration::from_secs(11), async || {
        let began = Instant::now();
        let flags = ["--store", &store, "--store-wait-ms", "6000"];
        let exit = Server::run(&[&["worker", "--admin-listen", "off"][..], &flags].concat());
        let took = began.elapsed();
        refused(&exit, &[&port.to_string(), "is Redis running there?"]);
        assert!(took > Duration::from_secs(6), "{took:?}");
        took
    })
    .await;
}
