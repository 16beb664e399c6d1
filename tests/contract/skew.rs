//! Versions side by side. What another version would have written is written into Redis by hand, since what
//! it says is all that one version knows of another (W6).

use std::time::Duration;

use outlast_testkit::{
    Client, RedisServer, Server, eventually,
    frames::{act, resume},
    free_address, http,
};
use serde_json::{Value, json};

use crate::command_line::get;

/// Returns the store's key of this kind for `chat/skew`.
fn key_of(redis: &RedisServer, kind: &str) -> String {
    let key = redis.cli(&["KEYS", &format!("ol:*:{kind}:chat/skew")]);
    assert!(!key.is_empty(), "the room has a {kind}");
    key
}

async fn alarm(server: &Server, what: &str) {
    let logged = async || server.log().contains(what).then_some(());
    eventually(&format!("the log says {what:?}"), logged).await;
}

/// Acts until the room takes it: an `error` leaves `n` free. Answers all that came.
async fn taken(client: &mut Client, n: u64, text: &str) -> Vec<Value> {
    let mut came = Vec::new();
    loop {
        client.send(act("chat/skew", n, json!({"say": text}))).await;
        loop {
            let frame = client.next().await;
            let (t, of_n) = (frame["t"].as_str().map(String::from), frame["n"] == n);
            came.push(frame);
            match t.as_deref() {
                Some("event") if of_n => return came,
                Some("error") if of_n => break,
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn w6_a_room_that_a_newer_worker_wrote_stops_here_and_goes_on_where_it_can_be_read() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let _keeper = Server::keeper(&redis, &[]);
    let worker = Server::worker(&redis, &[]);
    let mut ada = gateway.member("chat/skew", "Ada").await;
    let mut eve = gateway.member("chat/skew", "Eve").await;
    let mut bob = gateway.member("chat/other", "Bob").await;
    ada.say("chat/skew", 2, "before").await;
    worker.kill();

    // A newer worker adds an entry in its own format, and dies.
    let (log, room) = (key_of(&redis, "log"), key_of(&redis, "room"));
    let end = redis.cli(&["HGET", &room, "end"]);
    let off: u64 = end.split('-').next().unwrap().parse().unwrap();
    let newer = format!("{}-77", off + 1);
    let entry = json!({"v": 2, "pos": newer, "at": 1, "is": {"e": {"data": {"said": "news"}}}});
    redis.cli(&["XADD", &log, &newer, "entry", &entry.to_string()]);
    redis.cli(&["HSET", &room, "end", &newer]);

    let worker = Server::worker(&redis, &[]);
    ada.send(act("chat/skew", 3, json!({"say": "in between"})))
        .await;
    let refused = ada.until("error", |frame| frame["n"] == 3).await.pop();
    assert_eq!(refused.unwrap()["code"], "busy");
    alarm(&worker, "a room is stopped: it cannot be loaded").await;
    bob.say("chat/other", 2, "the others go on").await;
    // What does not come again is kept for who can read the room.
    let member = eve.member;
    eve.send(json!({"t": "end"})).await;
    let parked = log.replace(":log:", ":parked:");
    let kept = async || {
        redis
            .cli(&["LRANGE", &parked, "0", "-1"])
            .contains("over")
            .then_some(())
    };
    eventually("the end of a session is kept", kept).await;
    worker.kill();

    // Who can read it goes on after it; here, as if the entry had never been another's.
    redis.cli(&["XDEL", &log, &newer]);
    redis.cli(&["HSET", &room, "end", &end]);
    let _worker = Server::worker(&redis, &[]);
    // By itself: nobody asks anything of the room.
    let left = |frame: &Value| frame["data"]["left"]["member"] == member;
    ada.until("event", left).await;
    let came = taken(&mut ada, 3, "behind").await;
    assert!(!came.iter().any(left), "twice: {came:#?}");
}

/// An operator of this machine asks that the room is loaded.
async fn reload(admin: &str) -> (u16, String) {
    let admin = admin.to_owned();
    let ask = move || http::request("POST", &admin, "/v1/rooms/chat/skew/reload", &[], "");
    let answer = tokio::task::spawn_blocking(ask).await.unwrap().unwrap();
    (answer.status, answer.body().to_owned())
}

#[tokio::test]
async fn p4_w9_a_stopped_room_is_loaded_at_once_when_an_operator_asks_and_by_itself_otherwise() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let worker = Server::worker(&redis, &[]);
    let mut ada = gateway.member("chat/skew", "Ada").await;
    worker.kill();
    let room = key_of(&redis, "room");
    let seat = format!("seat:{}", ada.welcome["sid"].as_str().unwrap());
    let breaks = || {
        let read = redis.cli(&["HGET", &room, &seat]);
        redis.cli(&["HSET", &room, &seat, "?"]);
        read
    };
    let mends = |read: String| redis.cli(&["HSET", &room, &seat, &read]);

    let read = breaks();
    let admin = free_address();
    let worker = Server::worker(&redis, &["--admin-listen", &admin]);
    ada.send(act("chat/skew", 2, json!({"say": "one"}))).await;
    let refused = ada.until("error", |frame| frame["n"] == 2).await.pop();
    let refused = refused.unwrap();
    assert_eq!(refused["code"], "busy");
    assert!(refused["retry_ms"].as_u64() > Some(0), "{refused}");
    alarm(&worker, "/v1/rooms/KIND/NAME/reload").await;
    let (status, problem) = reload(&admin).await;
    assert_eq!(status, 409, "{problem}");
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["code"], "stopped");
    assert!(
        problem["message"].as_str().unwrap().contains("seat:"),
        "it says what cannot be read: {problem}"
    );
    let (status, metrics) = {
        let admin = admin.clone();
        let ask = move || get(&admin, "/metrics");
        tokio::task::spawn_blocking(ask).await.unwrap()
    };
    let standing = metrics
        .lines()
        .any(|line| line.starts_with("outlast_worker_rooms_stopped{") && line.ends_with(" 1"));
    assert!(status == 200 && standing, "{metrics}");

    mends(read);
    let (status, shown) = reload(&admin).await;
    assert_eq!(status, 200, "{shown}");
    ada.say("chat/skew", 2, "one").await;
    assert_eq!(reload(&admin).await.0, 200, "one that runs is left alone");

    // And without an operator.
    worker.kill();
    let read = breaks();
    let worker = Server::worker(&redis, &[]);
    ada.send(act("chat/skew", 3, json!({"say": "two"}))).await;
    ada.until("error", |frame| frame["n"] == 3).await;
    mends(read);
    alarm(&worker, "a stopped room runs again").await;
    taken(&mut ada, 3, "two").await;
}

#[tokio::test]
async fn w6_what_a_newer_gateway_asks_is_kept_and_holds_up_nobody() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let worker = Server::worker(&redis, &[]);
    let mut ada = gateway.member("chat/skew", "Ada").await;
    let topic = key_of(&redis, "log").replace(":log:chat/skew", ":topic");
    let input = json!({"v": 2, "room": "chat/skew", "sid": ada.welcome["sid"], "gen": 1,
        "do": {"act": {"n": 2, "data": {"say": "news"}}}});
    redis.cli(&["XADD", &topic, "*", "input", &input.to_string()]);
    alarm(&worker, "cannot be read by this version, and is kept").await;
    ada.say("chat/skew", 2, "as ever").await;
    let kept = topic.replace(":topic", ":unread");
    let unread = redis.cli(&["LRANGE", &kept, "0", "-1"]);
    assert!(unread.contains("news"), "{unread}");
}

#[tokio::test]
async fn w6_what_a_newer_keeper_said_counts_as_soon_as_a_worker_can_read_it() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let worker = Server::worker(&redis, &[]);
    let mut ada = gateway.member("chat/skew", "Ada").await;
    let eve = gateway.member("chat/skew", "Eve").await;
    ada.expect("event").await;
    let topic = key_of(&redis, "log").replace(":log:chat/skew", ":topic");
    let kept = topic.replace(":topic", ":unread");
    let mut over = json!({"v": 2, "room": "chat/skew", "sid": eve.welcome["sid"], "gen": 1,
        "do": {"over": {"reason": "expired"}}});
    redis.cli(&["XADD", &topic, "*", "input", &over.to_string()]);
    alarm(&worker, "cannot be read by this version, and is kept").await;
    worker.kill();

    // A newer worker comes; here, as if what was said had been of this version.
    over.as_object_mut().unwrap().remove("v");
    redis.cli(&["LSET", &kept, "0", &over.to_string()]);
    let worker = Server::worker(&redis, &[]);
    let left = |frame: &Value| frame["data"]["left"]["member"] == eve.member;
    ada.until("event", left).await;
    assert_eq!(redis.cli(&["LLEN", &kept]), "0");
    alarm(&worker, "retrying inputs that no version could read so far").await;
}

#[tokio::test]
async fn w6_a_session_that_a_newer_version_wrote_is_not_taken_for_gone() {
    let redis = RedisServer::start();
    let gateway = Server::gateway(&redis, &[]);
    let _worker = Server::worker(&redis, &[]);
    let ada = gateway.member("chat/skew", "Ada").await;
    let key = redis.cli(&["KEYS", "ol:*:session:*"]);
    let record = redis.cli(&["HGET", &key, "value"]);
    let newer = record.replacen(r#""v":1"#, r#""v":2"#, 1);
    assert_ne!(newer, record);
    redis.cli(&["HSET", &key, "value", &newer]);

    let mut again = gateway.connect().await;
    again.send(resume(&ada.welcome, json!({}))).await;
    again.closes_with(4013).await;
    redis.cli(&["HSET", &key, "value", &record]);
    ada.resume_at(gateway.address(), json!({"chat/skew": ada.pos}))
        .await;
}
