//! The observation of a process: its log (section 11, L4), and its traces.

mod collector;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use outlast_testkit::{
    RedisServer, Server, eventually,
    frames::{act, leave, room_of},
    free_address, free_port,
    outlast::{command, role},
};
use serde_json::{Value, json};

use self::collector::{Collector, attribute};
use crate::command_line::get;

const FINE: &str = "info,outlast_gateway=debug,outlast_sessions=debug,outlast_worker=debug";

/// The lines of a log in JSON; each of them has to be an object with these fields.
fn lines(server: &Server) -> Vec<Value> {
    let log = server.log();
    let lines = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
        line
    });
    lines.collect()
}

/// Returns the log lines of a session, in order.
fn of_session(server: &Server, sid: &Value) -> Vec<String> {
    let lines = lines(server).into_iter();
    lines
        .filter(|line| line["sid"] == *sid)
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn stands_in_order(said: &[String], expected: &[&str]) -> bool {
    let mut said = said.iter();
    expected
        .iter()
        .all(|message| said.any(|line| line == message))
}

#[tokio::test]
async fn l4_a_session_is_followed_by_its_sid_through_every_process() {
    let redis = RedisServer::start();
    let flags = ["--log-format", "json", "--log", FINE];
    let ttl = ["--session-ttl-ms", "1500", "--detach-grace-ms", "200"];
    let flags = [&flags[..], &ttl].concat();
    let gateways = [0, 1].map(|_| Server::gateway(&redis, &flags));
    let worker = Server::worker(&redis, &flags);
    let keeper = Server::keeper(&redis, &flags);
    let mut ada = gateways[0].member("chat/a", "Ada").await;
    let sid = ada.welcome["sid"].clone();
    ada.say("chat/a", 2, "hello").await;
    let mut again = ada
        .resume_at(gateways[1].address(), room_of("chat/a", &ada.pos))
        .await;
    again.find("live").await;
    ada.closes_with(4002).await;
    again.cut();

    let expected: [(&str, &Server, &[&str]); 4] = [
        (
            "the first gateway",
            &gateways[0],
            &["session opened", "attached", "socket closed by the server"],
        ),
        (
            "the second gateway",
            &gateways[1],
            &[
                "session resumed",
                "session resumed a room",
                "attached",
                "socket closed or lost",
                "session detached",
            ],
        ),
        (
            "the worker",
            &worker,
            &[
                "member joined",
                "member is away",
                "member's session is over",
            ],
        ),
        (
            "the keeper",
            &keeper,
            &[
                "session is away; rooms notified",
                "session is over; rooms notified",
            ],
        ),
    ];
    for (who, server, messages) in expected {
        eventually(&format!("{who} told the session's way"), async || {
            stands_in_order(&of_session(server, &sid), messages).then_some(())
        })
        .await;
    }
    let joined = lines(&worker)
        .into_iter()
        .find(|line| line["message"] == "member joined");
    let joined = joined.unwrap();
    assert_eq!(joined["room"], "chat/a");
    assert_eq!((&joined["member"], &joined["n"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn l4_what_clients_do_is_not_a_line_of_the_log() {
    let server = Server::alone(&["--log-format", "json"]);
    let mut ada = server.member("chat/a", "Ada").await;
    // The last that is said at the start, which comes through a pipe.
    eventually("all partitions are held", async || {
        let held = |line: &Value| line["message"] == "partitions acquired" && line["held"] == 16;
        lines(&server).iter().any(held).then_some(())
    })
    .await;
    let start: BTreeSet<_> = lines(&server).iter().map(Value::to_string).collect();
    for n in 2..50 {
        ada.say("chat/a", n, "hello").await;
    }
    let mut again = ada
        .resume_at(server.address(), room_of("chat/a", &ada.pos))
        .await;
    again.find("live").await;
    again.send(act("chat/a", 50, json!({"say": ""}))).await;
    again.find("result").await;
    again.send(leave("chat/a", 51)).await;
    again.find("left").await;
    again.send(json!({"t": "end"})).await;
    again.closes_with(4010).await;
    let now: BTreeSet<_> = lines(&server).iter().map(Value::to_string).collect();
    let more: Vec<_> = now.difference(&start).collect();
    assert!(more.is_empty(), "{more:#?}");
}

#[tokio::test]
async fn l4_a_store_that_is_away_is_a_line_or_two() {
    let mut redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &["--log-format", "json"]);
    let _worker = Server::worker(&redis, &[]);
    let mut members = Vec::new();
    for name in 0..10 {
        members.push(gateway.member(&format!("chat/{name}"), "Ada").await);
    }
    let before = lines(&gateway).len();
    redis.kill();
    // Several heartbeats, and as many tries of each room to read its log.
    tokio::time::sleep(Duration::from_secs(3)).await;
    redis.restart();
    eventually("the gateway goes on", async || {
        let lines = lines(&gateway);
        let back = "heartbeats to the store succeed again";
        lines
            .iter()
            .any(|line| line["message"] == back)
            .then_some(())
    })
    .await;
    let said = &lines(&gateway)[before..];
    assert!(said.len() <= 8, "{said:#?}");
}

#[tokio::test]
async fn l4_the_format_comes_from_the_environment_and_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outlast.toml");
    std::fs::write(&file, "log_format = \"json\"\n").unwrap();
    let start = |setting: &dyn Fn(&mut Command)| {
        let mut command = role("all", "memory:", &["--log", "info"]);
        setting(&mut command);
        Server::spawn(command)
    };
    let from_environment = start(&|command| {
        command.env("OUTLAST_LOG_FORMAT", "json");
    });
    let from_file = start(&|command| {
        command.arg("--config").arg(&file);
    });
    for server in [from_environment, from_file] {
        eventually("it says that it starts", async || {
            lines(&server)
                .iter()
                .any(|line| line["message"] == "starting" && line["role"] == "all")
                .then_some(())
        })
        .await;
    }
}

// The collector answers while a process is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn attaches_commits_takeovers_and_drains_are_traced() {
    let collector = Collector::start().await;
    let redis = RedisServer::start();
    let store = redis.url();
    let start = |name: &str, flags: &[&str]| {
        let mut command = role(name, &store, flags);
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
        Server::spawn(command)
    };
    let gateway = start("gateway", &["--drain-ms", "1000"]);
    let worker = start("worker", &[]);
    let mut ada = gateway.member("chat/a", "Ada").await;
    ada.say("chat/a", 2, "hello").await;
    let mut again = ada
        .resume_at(gateway.address(), room_of("chat/a", &ada.pos))
        .await;
    again.find("live").await;
    let sid = again.welcome["sid"].as_str().unwrap().to_owned();

    let attach = collector
        .span("outlast-gateway", "attach", |span| {
            attribute(span, "how").as_deref() == Some("resume")
        })
        .await;
    assert_eq!(attribute(&attach, "sid"), Some(sid));
    assert_eq!(attribute(&attach, "generation").as_deref(), Some("2"));
    assert_eq!(attribute(&attach, "outcome").as_deref(), Some("attached"));
    for part in ["attach.record", "attach.rooms", "attach.log"] {
        let part = collector
            .span("outlast-gateway", part, |span| {
                span.parent_span_id == attach.span_id
            })
            .await;
        assert_eq!(part.trace_id, attach.trace_id);
    }
    let commit = collector
        .span("outlast-worker", "commit", |span| {
            attribute(span, "entries").is_some_and(|entries| entries != "0")
        })
        .await;
    assert_eq!(attribute(&commit, "rooms").as_deref(), Some("1"));
    collector
        .span("outlast-worker", "takeover", |span| {
            attribute(span, "partition") == attribute(&commit, "partition")
        })
        .await;
    // What was not exported yet is, before the process ends.
    again.cut();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    assert!(collector.has("outlast-gateway", "drain"));
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    assert!(collector.has("outlast-worker", "hand_over"));
}

/// A process whose spans go to this collector.
fn traced(endpoint: &str, admin: &str, queue: &str) -> Server {
    let flags = ["--admin-listen", admin, "--log-format", "json"];
    let flags = [&flags[..], &["--otlp-endpoint", endpoint]].concat();
    let mut command = role("all", "memory:", &flags);
    command
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", queue);
    Server::spawn(command)
}

fn spans_lost(admin: &str, outcome: &str) -> u64 {
    let (_, text) = get(admin, "/metrics");
    let series = format!("outlast_traces_spans_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Lines about spans that went nowhere.
fn complaints(server: &Server) -> Vec<Value> {
    let lost = |line: &Value| line["target"] == "outlast::observe::traces::span_counts";
    lines(server).into_iter().filter(lost).collect()
}

#[tokio::test]
async fn a_collector_that_is_away_is_one_warning_and_nothing_else() {
    let admin = free_address();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let server = traced(&nobody, &admin, "2048");
    let mut ada = server.member("chat/a", "Ada").await;
    for n in 2.. {
        ada.say("chat/a", n, "hello").await;
        // More than one batch has come to nothing by then.
        if spans_lost(&admin, "refused") > 40 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = complaints(&server);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0]["level"], "WARN");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nothing() {
    let admin = free_address();
    // It takes connections into its backlog, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let server = traced(&endpoint, &admin, "8");
    let mut ada = server.member("chat/a", "Ada").await;
    for n in 2..40 {
        ada.say("chat/a", n, "hello").await;
    }
    assert!(spans_lost(&admin, "dropped") > 0);
    eventually("it is said that spans are lost", async || {
        (complaints(&server).len() == 1).then_some(())
    })
    .await;
    server.signal("TERM");
    let told = Instant::now();
    assert_eq!(server.wait(), Some(0));
    println!("ended {:?} after it was told to", told.elapsed());
}

#[test]
fn l5_a_collector_that_makes_no_sense_is_named() {
    let refused = |setting: &dyn Fn(&mut Command), names: &[&str]| {
        let mut command = command(&["all", "--store", "memory:", "--allow-anonymous"]);
        setting(&mut command);
        let exit = Server::run_command(command);
        let last = exit.last_line();
        assert!(last.starts_with("error: "), "{exit:?}");
        for name in names {
            assert!(last.contains(name), "{name:?} does not stand in: {last}");
        }
    };
    refused(
        &|command| {
            command.args(["--otlp-endpoint", "collector:4318"]);
        },
        &["--otlp-endpoint", "http://127.0.0.1:4318"],
    );
    refused(
        &|command| {
            command
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        },
        &["OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "4318"],
    );
    refused(
        &|command| {
            command.args(["--log-format", "xml"]);
        },
        &["--log-format", "xml"],
    );
}
