//! Section 11: the command line.

use std::time::{Duration, Instant};

use outlast_testkit::{
    Exit, RedisServer, Server, eventually,
    frames::{act, room_of},
    free_address, free_port, http, in_time,
    outlast::{command, role},
};
use serde_json::json;

/// The status and the whole answer.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let answer = http::request("GET", address, path, &[], "").expect("an answer");
    (answer.status, answer.text)
}

/// It failed in time, and its last line names the cause and the remedy.
pub(crate) fn refused(exit: &Exit, names: &[&str]) {
    assert_ne!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.code.is_some(),
        "it was killed, since it did not end: {exit:?}"
    );
    let last = exit.last_line();
    assert!(last.starts_with("error: "), "{exit:?}");
    for name in names {
        assert!(last.contains(name), "{name:?} does not stand in: {last}");
    }
    assert_eq!(exit.stdout, "");
}

#[tokio::test]
async fn l1_killed_and_started_again_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let start = || {
        let mut command = command(&["--listen", &address, "--admin-listen", "off"]);
        command.current_dir(folder.path());
        Server::spawn(command)
    };
    let server = start();
    assert!(folder.path().join("outlast-data").exists());
    let (status, page) = get(server.address(), "/");
    assert_eq!(status, 200);
    assert!(
        page.contains("<!doctype html>") && page.contains("content-security-policy"),
        "{page}"
    );
    let mut client = server.member("chat/l1", "Ada").await;
    client.say("chat/l1", 2, "before").await;
    server.kill();
    let server = start();
    let mut again = client
        .resume_at(server.address(), room_of("chat/l1", &client.pos))
        .await;
    assert_eq!(again.welcome["rooms"], json!({"chat/l1": "replay"}));
    again.say("chat/l1", 3, "after").await;
    let mut other = server.open().await;
    let joined = other.join("chat/l1", 1, "Bo").await;
    assert_eq!(joined["state"]["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn l2_any_number_of_each_role_share_a_store() {
    let redis = RedisServer::start();
    let _behind = (
        Server::worker(&redis, &[]),
        Server::worker(&redis, &[]),
        Server::keeper(&redis, &[]),
        Server::keeper(&redis, &[]),
        Server::all(&redis.url(), &[]),
    );
    let gateways = [Server::gateway(&redis, &[]), Server::gateway(&redis, &[])];
    let mut one = gateways[0].member("chat/l2", "Ada").await;
    let mut two = gateways[1].member("chat/l2", "Bo").await;
    one.expect("event").await;
    one.say("chat/l2", 2, "across").await;
    assert_eq!(two.expect("event").await["data"], json!({"said": "across"}));
}

#[test]
fn l3_stores_that_do_not_fit_are_refused() {
    for role in ["gateway", "worker", "sessions"] {
        refused(&Server::run(&[role, "--allow-anonymous"]), &["--store"]);
        let exit = Server::run(&[role, "--allow-anonymous", "--store", "memory:"]);
        refused(&exit, &["memory:", "all"]);
        let exit = Server::run(&[role, "--allow-anonymous", "--store", "embedded:/nowhere"]);
        refused(&exit, &["embedded:", "all"]);
    }
    refused(
        &Server::run(&["--store", "mysql://x", "--allow-anonymous"]),
        &["mysql", "redis://"],
    );
}

#[tokio::test]
async fn l3_a_store_with_another_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = format!("embedded:{}", folder.path().display());
    let redis = RedisServer::start();
    for store in [embedded.as_str(), &redis.url()] {
        let server = Server::all(store, &["--partitions", "8"]);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        let exit = Server::run_command(role("all", store, &["--partitions", "16"]));
        refused(&exit, &["--partitions 8"]);
    }
}

#[tokio::test]
async fn l3_a_folder_that_is_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", folder.path().display());
    let _server = Server::all(&store, &[]);
    let exit = Server::run_command(role("all", &store, &[]));
    refused(&exit, &[folder.path().to_str().unwrap()]);
}

#[tokio::test]
async fn l4_flags_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outlast.toml");
    std::fs::write(
        &file,
        "store = \"memory:\"\nallow_anonymous = true\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"off\"\n\
         session_ttl_ms = 1001\nheartbeat_ms = 2001\nactions_per_s = 31\n",
    )
    .unwrap();
    let mut command = command(&[
        "--config",
        file.to_str().unwrap(),
        "--session-ttl-ms",
        "1003",
    ]);
    command
        .env("OUTLAST_SESSION_TTL_MS", "1002")
        .env("OUTLAST_HEARTBEAT_MS", "2002");
    let server = Server::spawn(command);
    let client = server.open().await;
    assert_eq!(client.welcome["ttl_ms"], 1_003);
    assert_eq!(client.welcome["heartbeat_ms"], 2_002);
    assert_eq!(client.welcome["limits"]["actions_per_s"], 31);
}

#[tokio::test]
async fn l4_the_admin_listener_tells_health_readiness_and_metrics() {
    let admin = free_address();
    let mut redis = RedisServer::start();
    let _worker = Server::worker(&redis, &[]);
    let server = Server::gateway(&redis, &["--admin-listen", &admin]);
    assert_eq!(get(&admin, "/healthz").0, 200);
    assert_eq!(get(&admin, "/readyz").0, 200);
    let probe = ["probe", "--admin-listen", &admin];
    assert_eq!(Server::run(&probe).code, Some(0));
    let client = server.member("chat/l4", "Ada").await;
    let room = room_of("chat/l4", &client.pos);
    let mut again = client.resume_at(server.address(), room).await;
    again.find("live").await;
    let (status, metrics) = get(&admin, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "outlast_gateway_sockets ",
        "outlast_gateway_catch_ups_total{kind=\"replay\"} 1\n",
        "outlast_gateway_catching_up 0\n",
    ] {
        assert!(metrics.contains(line), "{line:?} is not in {metrics}");
    }
    redis.kill();
    eventually("readiness fails without the store", async || {
        (get(&admin, "/readyz").0 == 503).then_some(())
    })
    .await;
    assert_eq!(get(&admin, "/healthz").0, 200);
    refused(&Server::run(&probe), &["not ready: 503", "store"]);
    let healthz = format!("http://{admin}/healthz");
    assert_eq!(Server::run(&["probe", &healthz]).code, Some(0));
    redis.restart();
    eventually("readiness returns with the store", async || {
        (get(&admin, "/readyz").0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn l4_two_processes_share_the_default_admin_port() {
    let base = [
        "all",
        "--store",
        "memory:",
        "--listen",
        "127.0.0.1:0",
        "--allow-anonymous",
    ];
    let servers = [Server::start(&base), Server::start(&base)];
    for server in &servers {
        server.open().await;
    }
}

#[test]
fn l4_a_probe_of_nothing_fails() {
    let nowhere = format!("http://127.0.0.1:{}/readyz", free_port());
    refused(
        &Server::run(&["probe", &nowhere]),
        &[&nowhere, "nothing answers"],
    );
}

#[test]
fn l5_a_wrong_flag_is_named() {
    refused(
        &Server::run(&["--session-ttl", "5"]),
        &["--session-ttl", "--session-ttl-ms"],
    );
    refused(
        &Server::run(&["--session-ttl-ms", "soon"]),
        &["--session-ttl-ms", "soon"],
    );
    refused(&Server::run(&["dance"]), &["dance"]);
    refused(
        &Server::run(&["--config", "/nowhere/x.toml"]),
        &["/nowhere/x.toml"],
    );
    refused(
        &Server::run(&["--store", "memory:"]),
        &["--allow-anonymous", "--token-secret-file"],
    );
    refused(
        &Server::run(&["--token-key-file", "/nowhere.pem", "--store", "memory:"]),
        &["/nowhere.pem"],
    );
    refused(&Server::run(&["--shards", "3"]), &["--shards"]);
}

#[test]
fn l5_a_wrong_key_in_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outlast.toml");
    std::fs::write(&file, "session_ttl = 5\n").unwrap();
    refused(
        &Server::run(&["--config", file.to_str().unwrap()]),
        &["session_ttl", "outlast.toml"],
    );
}

#[test]
fn l5_a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let base = ["--store", "memory:", "--allow-anonymous"];
    let exit = Server::run(&[&base[..], &["--admin-listen", "off", "--listen", &address]].concat());
    refused(&exit, &[&address, "--listen"]);
    let exit = Server::run(
        &[
            &base[..],
            &["--listen", "127.0.0.1:0", "--admin-listen", &address],
        ]
        .concat(),
    );
    refused(&exit, &[&address, "--admin-listen"]);
}

#[tokio::test]
async fn l5_an_unreachable_store_is_named_within_five_seconds() {
    // A port where nothing listens, and one where something does that never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let store = format!("redis://user:hidden@127.0.0.1:{port}");
        in_time(Duration::from_secs(5), async || {
            let start = Instant::now();
            let exit = Server::run(&["worker", "--store", &store, "--admin-listen", "off"]);
            let took = start.elapsed();
            refused(&exit, &[&port.to_string()]);
            assert!(
                !exit.stderr.contains("hidden"),
                "the password is shown: {}",
                exit.stderr
            );
            took
        })
        .await;
    }
}

#[tokio::test]
async fn l5_a_store_lost_later_is_not_an_exit() {
    let mut redis = RedisServer::start();
    let (gateway, worker) = (Server::gateway(&redis, &[]), Server::worker(&redis, &[]));
    let mut client = gateway.member("chat/l5", "Ada").await;
    let start = Instant::now();
    redis.kill();
    client.send(act("chat/l5", 2, json!({"say": "x"}))).await;
    assert_eq!(client.expect("error").await["code"], "busy");
    redis.restart();
    eventually("all goes on", async || {
        client.send(act("chat/l5", 2, json!({"say": "x"}))).await;
        (client.next().await["t"] == "event").then_some(())
    })
    .await;
    for log in [gateway.log(), worker.log()] {
        let lines = log
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .count();
        let most = 40 + 10 * start.elapsed().as_secs() as usize;
        assert!(lines < most, "an outage is a storm in the log:\n{log}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let help = Server::run(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--session-ttl-ms"));
    assert_eq!(Server::run(&["--version"]).code, Some(0));
}
