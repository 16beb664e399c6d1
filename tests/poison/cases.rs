use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use outlast_testkit::{PATIENCE, RedisServer, Server, frames::act, free_address, outlast::role};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::supervised::{Supervised, http};

/// Each by its name.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("w12_embedded_a_room_that_aborts", || {
        embedded(json!("abort"), 7)
    }),
    ("w12_embedded_a_room_that_overflows_the_stack", || {
        embedded(json!("overflow"), 7)
    }),
    ("w11_embedded_a_room_that_loops", || {
        embedded(json!("loop"), 0)
    }),
    ("w11_embedded_a_room_that_sleeps", || {
        embedded(json!({"sleep": 8_000}), 0)
    }),
    (
        "w11_a_process_whose_thread_is_lost_hands_over_and_ends",
        a_lost_thread,
    ),
    ("w12_redis_a_room_that_aborts", || redis(json!("abort"), 7)),
    ("w12_redis_a_room_that_overflows_the_stack", || {
        redis(json!("overflow"), 7)
    }),
    ("w11_redis_a_room_that_loops", || redis(json!("loop"), 0)),
    ("w11_redis_a_room_that_sleeps", || {
        redis(json!({"sleep": 8_000}), 0)
    }),
    ("w12_p4_a_room_that_aborts_when_it_is_loaded", || {
        stopped("arm", json!("abort"))
    }),
    ("w11_p4_a_room_that_loops_when_it_is_loaded", || {
        stopped("arm", json!("loop"))
    }),
    (
        "w17_a_room_that_aborts_no_longer_when_it_is_loaded_runs_again_by_itself",
        runs_again,
    ),
    ("w12_p4_a_room_that_aborts_when_it_is_woken", || {
        stopped("wake", json!("abort"))
    }),
    ("w12_p4_a_room_that_aborts_when_it_is_written_down", || {
        stopped("write", json!("abort"))
    }),
    ("w11_p4_a_room_that_loops_when_it_is_written_down", || {
        stopped("write", json!("loop"))
    }),
    ("w11_p4_a_room_that_loops_when_it_is_woken", || {
        stopped("wake", json!("loop"))
    }),
];

/// The time after which the neighbours of a room that does not come back go on: a step, and a second; twice that on a
/// machine that is busy with other things.
const STEP: Duration = Duration::from_secs(2);
const OVERRUN_WITHIN: Duration = Duration::from_secs(2 * (2 + 1));

/// `outlast all` with a folder of its own, and an operator who is asked over HTTP.
struct Alone {
    server: Supervised,
    admin: String,
    file: PathBuf,
    _folder: TempDir,
}

impl Alone {
    fn start() -> Alone {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("harmful");
        let store = format!("embedded:{}", folder.path().join("store").display());
        let admin = free_address();
        let listen = free_address();
        let flags = [
            "--listen",
            &listen,
            "--admin-listen",
            &admin,
            "--partitions",
            "1",
        ];
        let server = Supervised::start(role("all", &store, &flags), &file);
        let alone = Alone {
            server,
            admin,
            file,
            _folder: folder,
        };
        alone.says("poison/good", "first");
        alone
    }

    /// Posts until the room has taken it or refused it. Answers how long that took.
    fn posts(&self, room: &str, key: &str, action: &Value) -> (u16, Value, Duration) {
        let start = Instant::now();
        let path = format!("/v1/rooms/{room}/actions");
        loop {
            let answer = http(&self.admin, "POST", &path, key, &action.to_string());
            match answer {
                Some((status @ (200 | 422), body)) => {
                    let body = serde_json::from_str(&body).unwrap();
                    return (status, body, start.elapsed());
                }
                other => assert!(
                    start.elapsed() < PATIENCE,
                    "{other:?}\n{}",
                    self.server.log()
                ),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the time that the room took to take something.
    fn says(&self, room: &str, key: &str) -> Duration {
        let (status, body, took) = self.posts(room, key, &json!({"say": key}));
        assert_eq!(status, 200, "{body}");
        took
    }

    /// Returns an operator's view of a room.
    fn set_aside(&self, room: &str) -> Option<Value> {
        let path = format!("/v1/rooms/{room}/set-aside");
        let (status, body) = http(&self.admin, "GET", &path, "", "")?;
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }
}

/// In the embedded store: the process is started again whenever it dies.
fn embedded(evil: Value, deaths_max: usize) {
    let alone = Alone::start();
    let (answer, longest) = std::thread::scope(|scope| {
        let evil = scope.spawn(|| alone.posts("poison/bad", "evil", &json!({"do": evil})));
        let mut longest = Duration::ZERO;
        for number in 0.. {
            longest = longest.max(alone.says("poison/good", &format!("meanwhile {number}")));
            if evil.is_finished() {
                break;
            }
        }
        (evil.join().unwrap(), longest)
    });
    let (status, body, took) = answer;
    println!(
        "told after {took:?}, {} deaths, neighbours waited {longest:?}",
        alone.server.deaths()
    );
    assert_eq!(
        (status, &body["code"]),
        (422, &json!("room_error")),
        "{body}"
    );
    assert!(
        alone.server.deaths() <= deaths_max,
        "{} deaths",
        alone.server.deaths()
    );
    if deaths_max == 0 {
        assert!(longest < OVERRUN_WITHIN, "{longest:?}");
    }
    let shown = alone.set_aside("poison/bad").unwrap();
    assert_eq!(shown["stopped"], Value::Null, "{shown}");
    assert!(
        shown["set_aside"][0]["input"]["do"]["post"].is_object(),
        "{shown}"
    );
    assert!(alone.server.log().contains("an input is set aside"));
    // The room itself goes on, and the answer stands.
    alone.says("poison/bad", "after");
    let (status, again, _) = alone.posts("poison/bad", "evil", &json!({"say": "another"}));
    assert_eq!((status, again), (422, body));
}

fn a_lost_thread() {
    let alone = Alone::start();
    let (status, _, _) = alone.posts("poison/bad", "evil", &json!({"do": "loop"}));
    assert_eq!(status, 422);
    let start = Instant::now();
    for number in 0.. {
        assert!(start.elapsed() < PATIENCE, "{}", alone.server.log());
        alone.says("poison/good", &format!("meanwhile {number}"));
        if alone.server.deaths() > 0 {
            break;
        }
    }
    assert!(
        start.elapsed() > 3 * STEP,
        "it may yet come back: {:?}",
        start.elapsed()
    );
    assert!(
        alone.server.log().contains("error: "),
        "{}",
        alone.server.log()
    );
    alone.says("poison/bad", "after");
    assert_eq!(alone.server.deaths(), 1);
}

/// A server with a room whose loading or waking is deadly, and which stands still.
fn with_stopped(how: &str, evil: &Value) -> Alone {
    let alone = Alone::start();
    std::fs::write(&alone.file, "").unwrap();
    if how != "wake" {
        // Not harmful until it is loaded, or written down, again.
        std::fs::remove_file(&alone.file).unwrap();
    }
    let path = "/v1/rooms/poison/bad/actions";
    let body = json!({how: evil}).to_string();
    http(&alone.admin, "POST", path, "arms", &body);
    std::fs::write(&alone.file, "").unwrap();
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0.. {
        assert!(start.elapsed() < PATIENCE, "{}", alone.server.log());
        std::thread::scope(|scope| {
            // Has it loaded, unless it is stopped.
            scope.spawn(|| http(&alone.admin, "POST", path, "wants", r#"{"say": "it"}"#));
            longest = longest.max(alone.says("poison/good", &format!("meanwhile {number}")));
        });
        let shown = alone.set_aside("poison/bad");
        if shown.is_some_and(|shown| shown["stopped"].is_string()) {
            break;
        }
    }
    println!(
        "stopped after {:?}, {} deaths, neighbours waited {longest:?}",
        start.elapsed(),
        alone.server.deaths()
    );
    assert!(
        alone.server.deaths() <= 7,
        "{} deaths",
        alone.server.deaths()
    );
    alone
}

/// A room whose loading or waking is deadly stands still, until it is mended and an operator asks.
fn stopped(how: &str, evil: Value) {
    let alone = with_stopped(how, &evil);
    let path = "/v1/rooms/poison/bad/actions";
    let shown = alone.set_aside("poison/bad").unwrap();
    assert_eq!(
        shown["set_aside"],
        json!([]),
        "it is no input's fault: {shown}"
    );
    let (status, _) = http(&alone.admin, "POST", path, "wants", r#"{"say": "it"}"#).unwrap();
    assert_eq!(status, 503, "busy");
    // It is tried by nobody.
    let deaths = alone.server.deaths();
    std::fs::remove_file(&alone.file).unwrap();
    let (status, body) = http(&alone.admin, "POST", "/v1/rooms/poison/bad/reload", "", "").unwrap();
    assert_eq!(status, 200, "{body}");
    alone.says("poison/bad", "wants");
    if evil == json!("abort") {
        assert_eq!(alone.server.deaths(), deaths);
    }
}

/// A room that stands still is tried again by itself.
fn runs_again() {
    let alone = with_stopped("arm", &json!("abort"));
    let deaths = alone.server.deaths();
    std::fs::remove_file(&alone.file).unwrap();
    let took = alone.says("poison/bad", "wants");
    println!("it ran again after {took:?}");
    assert_eq!(alone.server.deaths(), deaths);
}

/// Two workers on one Redis, each started again when it dies.
fn redis(evil: Value, deaths_max: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(on_redis(evil, deaths_max));
}

async fn on_redis(evil: Value, deaths_max: usize) {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("harmful");
    let gateway = Server::gateway(&redis, &["--partitions", "1"]);
    let worker = || role("worker", &redis.url(), &["--partitions", "1"]);
    let workers = [(); 2].map(|()| Supervised::start(worker(), &file));
    let mut ada = gateway.member("poison/bad", "Ada").await;
    let mut bob = gateway.member("poison/good", "Bob").await;
    bob.say("poison/good", 2, "before").await;
    ada.send(act("poison/bad", 2, json!({"do": evil}))).await;
    ada.send(act("poison/bad", 3, json!({"say": "after"})))
        .await;
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    let mut told = None;
    for n in 3.. {
        let asked = Instant::now();
        bob.say("poison/good", n, "meanwhile").await;
        longest = longest.max(asked.elapsed());
        if told.is_some() {
            break;
        }
        while let Some(frame) = ada.next_within(Duration::from_millis(100)).await {
            if frame["t"] == "result" && frame["n"] == 2 {
                told = Some(frame);
                break;
            }
            assert_ne!(frame["t"], "closed", "the session's socket stays");
        }
        assert!(start.elapsed() < PATIENCE, "nobody is told");
    }
    let told = told.unwrap();
    let deaths: usize = workers.iter().map(Supervised::deaths).sum();
    println!(
        "told after {:?}, {deaths} deaths, neighbours waited {longest:?}",
        start.elapsed()
    );
    assert_eq!(
        (&told["ok"], &told["code"]),
        (&json!(false), &json!("room_error")),
        "{told}"
    );
    assert!(deaths <= deaths_max, "{deaths} deaths");
    if deaths_max == 0 {
        assert!(longest < OVERRUN_WITHIN, "{longest:?}");
    }
    ada.until("event", |frame| frame["n"] == 3).await;
    ada.say("poison/bad", 4, "the room goes on").await;
    let notes = redis.cli(&["HGETALL", "ol:{p0}:notes"]);
    assert!(notes.contains("letter:"), "it is kept: {notes}");
}
