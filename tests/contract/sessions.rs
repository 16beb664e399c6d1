//! Section 4: sessions.

use std::time::{Duration, Instant};

use outlast_testkit::{
    Client, RedisServer, Server, eventually,
    frames::{act, leave, resume, room_of, said},
    in_time,
};
use serde_json::{Value, json};

#[tokio::test]
async fn s1_open_makes_a_session() {
    let store = ["all", "--store", "memory:", "--allow-anonymous"];
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "off"];
    let server = Server::start(&[store, listen].concat());
    let (one, two) = (server.open().await, server.open().await);
    let sid = uuid::Uuid::parse_str(one.welcome["sid"].as_str().unwrap()).unwrap();
    assert_eq!(sid.get_version_num(), 7);
    assert_ne!(one.welcome["sid"], two.welcome["sid"]);
    assert_ne!(one.welcome["key"], two.welcome["key"]);
    // 128 bits are 22 characters of base64.
    assert!(one.welcome["key"].as_str().unwrap().len() >= 22);
    assert_eq!(one.welcome["gen"], 1);
    assert_eq!(one.welcome["ttl_ms"], 120_000);
    assert_eq!(one.welcome["heartbeat_ms"], 25_000);
    assert_eq!(
        one.welcome["limits"],
        json!({"frame_bytes": 65_536, "actions_per_s": 50})
    );
}

#[tokio::test]
async fn s1_the_store_does_not_know_the_key() {
    let redis = RedisServer::start();
    let server = Server::gateway(&redis, &[]);
    let client = server.open().await;
    let key = client.welcome["key"].as_str().unwrap();
    let file = std::fs::read_dir(redis.folder().join("appendonlydir")).unwrap();
    for file in file {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes
            .windows(key.len())
            .any(|window| window == key.as_bytes());
        assert!(!found, "the key lies in the store");
    }
}

#[tokio::test]
async fn s2_a_session_outlives_its_gateway() {
    let redis = RedisServer::start();
    let (a, b) = (Server::gateway(&redis, &[]), Server::gateway(&redis, &[]));
    let _worker = Server::worker(&redis, &[]);
    let _keeper = Server::keeper(&redis, &[]);
    let mut client = a.member("chat/s2", "Ada").await;
    client.say("chat/s2", 2, "before").await;
    a.kill();
    let rooms = room_of("chat/s2", &client.pos);
    let mut again = client.resume_at(b.address(), rooms).await;
    assert_eq!(again.welcome["rooms"], json!({"chat/s2": "replay"}));
    again.expect("live").await;
    again.say("chat/s2", 3, "after").await;
}

#[tokio::test]
async fn s3_resume_turns_the_key_and_raises_gen() {
    let server = Server::alone(&[]);
    let first = server.open().await;
    let second = first.resume_at(server.address(), json!({})).await;
    assert_eq!(second.welcome["gen"], 2);
    assert_eq!(second.welcome["sid"], first.welcome["sid"]);
    assert_ne!(second.welcome["key"], first.welcome["key"]);
    // The answer may have been lost: the key that this resume was made with still works …
    let third = first.resume_at(server.address(), json!({})).await;
    assert_eq!(third.welcome["gen"], 3);
    // … and the one that only the lost answer bore does not.
    let mut void = server.connect().await;
    void.send(resume(&second.welcome, json!({}))).await;
    void.closes_with(4001).await;
    // The newest works; from then on the first is void.
    let fourth = third.resume_at(server.address(), json!({})).await;
    assert_eq!(fourth.welcome["gen"], 4);
    let mut void = server.connect().await;
    void.send(resume(&first.welcome, json!({}))).await;
    void.closes_with(4001).await;
}

#[tokio::test]
async fn s4_what_is_wrong_with_a_resume_is_not_told() {
    // Whatever else the machine does comes in between once, and not each time.
    let mut apart = Vec::new();
    while apart.len() < 10 {
        match told_apart().await {
            None => return,
            Some(medians) => apart.push(medians),
        }
    }
    panic!("the medians tell them apart: {apart:#?}");
}

/// The medians of how long each answer takes, if they tell them apart.
async fn told_apart() -> Option<Vec<Duration>> {
    let server = Server::alone(&["--sessions-per-user", "1000"]);
    let client = server.open().await;
    let mut ended = server.open().await;
    ended.send(json!({"t": "end"})).await;
    ended.closes_with(4010).await;
    let resume =
        |sid: &Value, key: &str| json!({"t": "resume", "sid": sid, "key": key, "rooms": {}});
    let unknown = json!("01900000-0000-7000-8000-000000000000");
    let cases = [
        resume(&client.welcome["sid"], "wrong"),
        resume(&unknown, client.welcome["key"].as_str().unwrap()),
        resume(
            &ended.welcome["sid"],
            ended.welcome["key"].as_str().unwrap(),
        ),
        resume(&json!("no uuid"), "wrong"),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    let mut byes = Vec::new();
    for _ in 0..31 {
        for (frame, times) in cases.iter().zip(&mut times) {
            let mut client = server.connect().await;
            let start = Instant::now();
            client.send(frame.clone()).await;
            let bye = client.expect("bye").await;
            times.push(start.elapsed());
            byes.push(bye);
        }
    }
    assert!(
        byes.windows(2).all(|pair| pair[0] == pair[1]),
        "the answers differ"
    );
    assert_eq!(byes[0]["code"], 4001);
    assert_eq!(byes[0]["resume"], false);
    let medians: Vec<_> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[times.len() / 2]
        })
        .collect();
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    let alike = *most - *least < Duration::from_millis(1) || *most < *least * 13 / 10;
    (!alike).then_some(medians)
}

#[tokio::test]
async fn s5_a_newer_socket_takes_over() {
    let redis = RedisServer::start();
    let (a, b) = (Server::gateway(&redis, &[]), Server::gateway(&redis, &[]));
    let _worker = Server::worker(&redis, &[]);
    let mut older = a.member("chat/s5", "Ada").await;
    let rooms = room_of("chat/s5", &older.pos);
    let mut newer = older.resume_at(b.address(), rooms).await;
    older
        .try_send(act("chat/s5", 2, json!({"say": "from the older"})))
        .await;
    older.closes_with(4002).await;
    newer.expect("live").await;
    let came = newer.say("chat/s5", 2, "from the newer").await;
    assert_eq!(said(&came), ["from the newer"]);
}

#[tokio::test]
async fn s6_end_is_a_leave_everywhere_and_nothing_behind_it_counts() {
    let server = Server::alone(&[]);
    let mut witness = server.member("chat/s6", "Bo").await;
    let mut client = server.member("chat/s6", "Ada").await;
    witness.expect("event").await;
    client.send(json!({"t": "end"})).await;
    client
        .try_send(act("chat/s6", 2, json!({"say": "from beyond"})))
        .await;
    let bye = client.closes_with(4010).await;
    assert_eq!(bye["resume"], false);
    let left = witness.expect("event").await;
    assert_eq!(
        left["data"],
        json!({"left": {"member": client.member, "reason": "ended"}})
    );
    let came = witness.say("chat/s6", 2, "still here").await;
    assert_eq!(said(&came), ["still here"]);
    let mut again = server.connect().await;
    again.send(resume(&client.welcome, json!({}))).await;
    again.closes_with(4001).await;
}

#[tokio::test]
async fn s6_a_session_that_does_not_return_expires() {
    let server = Server::alone(&["--session-ttl-ms", "1500", "--detach-grace-ms", "300"]);
    let mut witness = server.member("chat/s6", "Bo").await;
    let client = server.member("chat/s6", "Ada").await;
    witness.expect("event").await;
    let (member, resume) = (client.member, resume(&client.welcome, json!({})));
    client.cut();
    let left = json!({"left": {"member": member, "reason": "expired"}});
    let mut told = witness.expect("event").await;
    // Who finds out late that it was away may find at once that it is over.
    if told["data"] == json!({"away": member}) {
        told = witness.expect("event").await;
    }
    assert_eq!(told["data"], left);
    let mut again = server.connect().await;
    again.send(resume).await;
    again.closes_with(4001).await;
}

#[tokio::test]
async fn s7_whoever_returns_within_the_grace_was_never_away() {
    let server = Server::alone(&["--detach-grace-ms", "60000"]);
    let mut witness = server.member("chat/s7", "Bo").await;
    let client = server.member("chat/s7", "Ada").await;
    let member = client.member;
    witness.expect("event").await;
    let (address, pos) = (server.address().to_owned(), client.pos.clone());
    let resume = resume(&client.welcome, room_of("chat/s7", &pos));
    client.cut();
    let mut again = Client::connect(&address).await;
    again.send(resume).await;
    again.expect("resumed").await;
    again.expect("live").await;
    again.member = member;
    again.say("chat/s7", 2, "back at once").await;
    assert_eq!(
        witness.expect("event").await["data"],
        json!({"said": "back at once"})
    );
}

#[tokio::test]
async fn s7_whoever_returns_later_was_away() {
    let told_within = Duration::from_millis(1_500 + 2_000);
    in_time(told_within, async || {
        let server = Server::alone(&["--detach-grace-ms", "1500"]);
        let mut witness = server.member("chat/s7", "Bo").await;
        let client = server.member("chat/s7", "Ada").await;
        let member = client.member;
        witness.expect("event").await;
        let resume = resume(&client.welcome, room_of("chat/s7", &client.pos));
        let start = Instant::now();
        client.cut();
        assert_eq!(
            witness.expect("event").await["data"],
            json!({"away": member})
        );
        let told = start.elapsed();
        assert!(told >= Duration::from_millis(1_500), "told after {told:?}");
        let mut back = server.connect().await;
        back.send(resume).await;
        assert_eq!(
            witness.expect("event").await["data"],
            json!({"back": member})
        );
        told
    })
    .await;
}

#[tokio::test]
async fn s7_rooms_are_told_also_when_the_gateway_is_lost() {
    in_time(Duration::from_millis(1_500 + 2_000), told_of_a_lost_gateway).await;
}

async fn told_of_a_lost_gateway() -> Duration {
    let redis = RedisServer::start();
    let (a, b) = (Server::gateway(&redis, &[]), Server::gateway(&redis, &[]));
    let _worker = Server::worker(&redis, &[]);
    let _keeper = Server::keeper(&redis, &["--detach-grace-ms", "1500"]);
    let mut witness = b.member("chat/s7", "Bo").await;
    let client = a.member("chat/s7", "Ada").await;
    witness.expect("event").await;
    let start = Instant::now();
    a.kill();
    assert_eq!(
        witness.expect("event").await["data"],
        json!({"away": client.member})
    );
    start.elapsed()
}

#[tokio::test]
async fn s8_one_session_more_is_refused_and_takes_nothing_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "x".repeat(40)).unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret("x".repeat(40).as_bytes());
    let claims = json!({"sub": "ada", "exp": 4_000_000_000u64});
    let token = jsonwebtoken::encode(&Default::default(), &claims, &key).unwrap();
    let bound = [
        "--sessions-per-user",
        "2",
        "--token-secret-file",
        secret.to_str().unwrap(),
    ];
    let server = Server::alone(&bound);
    let open = json!({"t": "open", "token": token});
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send(open.clone()).await;
        client.expect("welcome").await;
        clients.push(client);
    }
    let mut third = server.connect().await;
    third.send(open.clone()).await;
    assert_eq!(third.closes_with(4009).await["resume"], false);
    for client in &mut clients {
        client.join("chat/s8", 1, "Ada").await;
    }
    clients[0].send(json!({"t": "end"})).await;
    clients[0].closes_with(4010).await;
    eventually("another session fits again", async || {
        let mut client = server.connect().await;
        client.send(open.clone()).await;
        let answer = client.next().await;
        (answer["t"] == "welcome").then_some(())
    })
    .await;
}

#[tokio::test]
async fn s8_sockets_of_one_address_are_bounded() {
    let server = Server::alone(&["--sockets-per-address", "2"]);
    let (mut one, two) = (server.open().await, server.open().await);
    let mut third = server.connect().await;
    third.try_send(json!({"t": "open"})).await;
    third.closes_with(4009).await;
    one.join("chat/s8", 1, "Ada").await;
    two.cut();
    eventually("another socket fits again", async || {
        let mut client = server.connect().await;
        client.try_send(json!({"t": "open"})).await;
        (client.next().await["t"] == "welcome").then_some(())
    })
    .await;
}

#[tokio::test]
async fn s3_a_session_resumes_without_its_rooms_too() {
    let server = Server::alone(&[]);
    let mut client = server.member("chat/s3", "Ada").await;
    client.send(leave("chat/s3", 2)).await;
    client.expect("left").await;
    let again = client.resume_at(server.address(), json!({})).await;
    assert_eq!(again.welcome["rooms"], json!({}));
}

#[tokio::test]
async fn l10_a_gateway_goes_by_the_ttl_that_keepers_were_given() {
    let redis = RedisServer::start();
    let mut before = Server::gateway(&redis, &["--session-ttl-ms", "60000"]);
    assert_eq!(
        before.open().await.welcome["ttl_ms"],
        60_000,
        "there is no keeper yet"
    );
    let ttl = ["--session-ttl-ms", "4000", "--detach-grace-ms", "200"];
    let _keeper = Server::keeper(&redis, &ttl);
    let agrees = async |gateway: &Server| {
        let ttl_ms = gateway.open().await.welcome["ttl_ms"].as_u64();
        (ttl_ms == Some(4_000)).then_some(())
    };
    eventually("it tells clients what the keeper does", async || {
        agrees(&before).await
    })
    .await;
    let warned = before.log();
    assert!(warned.contains("session ttl or grace changed"), "{warned}");
    before = Server::gateway(&redis, &["--session-ttl-ms", "60000"]);
    assert_eq!(before.open().await.welcome["ttl_ms"], 4_000);

    let lost = before.open().await;
    let frame = resume(&lost.welcome, json!({}));
    lost.cut();
    eventually("it expires when the client was told", async || {
        let mut again = before.connect().await;
        again
            .send(json!({"t": "resume", "sid": frame["sid"], "key": "wrong", "rooms": {}}))
            .await;
        let gone = again.next().await;
        let keys = redis.cli(&[
            "KEYS",
            &format!("*session:{}", frame["sid"].as_str().unwrap()),
        ]);
        (gone["code"] == 4001 && keys.is_empty()).then_some(())
    })
    .await;
}
