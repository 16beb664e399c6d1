//! Sections 2, 7 and 9: flow, and what the server closes for.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use outlast_testkit::{
    Client, Server,
    frames::{act, join, room_of, said},
    outlast::role,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn f1_the_server_pings_and_closes_whoever_is_silent() {
    let server = Server::alone(&["--heartbeat-ms", "4000"]);
    let mut alive = server.open().await;
    let start = Instant::now();
    let mut silent = server.open().await;
    let answers = tokio::spawn(async move {
        for _ in 0..3 {
            let frame = alive.next().await;
            assert_eq!(frame, json!({"t": "ping"}));
            alive.send(json!({"t": "pong"})).await;
        }
        alive.join("chat/f1", 1, "Ada").await;
    });
    let bye = silent.closes_with(4006).await;
    assert_eq!(bye["resume"], true);
    assert!(start.elapsed() >= Duration::from_secs(8));
    answers.await.unwrap();
}

#[tokio::test]
async fn f3_who_comes_when_no_file_can_be_opened_is_told_to_come_back() {
    const FILES: usize = 120;
    let own = role("all", "memory:", &[]);
    let mut limited = std::process::Command::new("sh");
    let line = format!("ulimit -n {FILES}; exec \"$0\" \"$@\"");
    limited.args(["-c", &line]).arg(own.get_program());
    limited
        .args(own.get_args())
        .stdin(std::process::Stdio::null());
    let server = Server::spawn(limited);
    let mut witness = server.member("chat/f3", "Bo").await;
    let mut held = Vec::new();
    for _ in 0..2 * FILES {
        let address = server.address();
        held.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    // Whoever is taken in is told nothing before it has said something.
    let mut refused = Vec::new();
    let answers = held.iter_mut().map(|tcp| {
        let mut answer = [0; 12];
        async move {
            tokio::io::AsyncReadExt::read_exact(tcp, &mut answer)
                .await
                .unwrap();
            answer
        }
    });
    let mut answers: futures_util::stream::FuturesUnordered<_> = answers.collect();
    let first = tokio::time::timeout(Duration::from_secs(8), answers.next());
    refused.extend(first.await.expect("somebody is told"));
    drop(answers);
    assert_eq!(refused, [*b"HTTP/1.1 503"]);
    let log = server.log();
    assert_eq!(
        log.matches("accepting connections failed").count(),
        1,
        "{log}"
    );
    witness
        .send(act("chat/f3", 2, json!({"say": "still here"})))
        .await;
    witness.find("event").await;
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "nobody is taken in again");
        let address = server.address();
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let answer = tokio::io::AsyncReadExt::read_u8(&mut tcp);
        if tokio::time::timeout(Duration::from_millis(200), answer)
            .await
            .is_err()
        {
            break;
        }
    }
    let mut later = server.member("chat/f3", "Ada").await;
    later
        .send(act("chat/f3", 2, json!({"say": "and so am I"})))
        .await;
    later.find("event").await;
}

#[tokio::test]
async fn f2_what_breaks_the_protocol_is_closed_and_nobody_else_notices() {
    let server = Server::alone(&[]);
    let mut witness = server.member("chat/f2", "Bo").await;
    let text = |text: &str| Message::text(text.to_owned());
    let deep = format!(
        r#"{{"t":"act","room":"chat/f2","n":1,"data":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for (what, message) in [
        ("no JSON", text("{nonsense")),
        ("no map", text("[1,2]")),
        ("no t", text("{}")),
        ("t of a wrong type", text(r#"{"t":7}"#)),
        ("a missing field", text(r#"{"t":"join","room":"chat/f2"}"#)),
        (
            "a wrong type",
            text(r#"{"t":"join","room":"chat/f2","n":"one"}"#),
        ),
        (
            "a negative number",
            text(r#"{"t":"leave","room":"chat/f2","n":-1}"#),
        ),
        ("too deep", text(&deep)),
        ("binary in JSON", Message::binary(&b"\x81\xa1t\xa4pong"[..])),
        ("a second open", text(r#"{"t":"open"}"#)),
    ] {
        let mut client = server.open().await;
        client.send_message(message).await;
        let bye = client.closes_with(4004).await;
        assert_eq!(bye["resume"], false, "{what}");
        assert!(!bye["reason"].as_str().unwrap().is_empty(), "{what}");
    }
    for first in [
        json!({"t": "pong"}),
        join("chat/f2", 1, "Ada"),
        json!({"t": "end"}),
    ] {
        let mut client = server.connect().await;
        client.send(first).await;
        client.closes_with(4004).await;
    }
    let mut big = server.open().await;
    big.send(act("chat/f2", 1, json!({"say": "x".repeat(70_000)})))
        .await;
    big.closes_with(1009).await;
    witness.say("chat/f2", 2, "nothing noticed").await;
}

#[tokio::test]
async fn f2_text_in_msgpack_and_invalid_utf8_are_closed() {
    let server = Server::alone(&[]);
    let packed = [("sec-websocket-protocol", "outlast.v1.msgpack")];
    let mut client = Client::connect_with(server.address(), &packed)
        .await
        .unwrap();
    client.send(json!({"t": "open"})).await;
    client.closes_with(4004).await;

    // A text frame by hand, masked with zeros, whose payload is no UTF-8.
    let mut stream = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let upgrade = format!(
        "GET /v1/connect HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address()
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    stream
        .write_all(&[0x81, 0x83, 0, 0, 0, 0, b'"', 0xff, b'"'])
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.contains(r#""t":"bye""#) && answer.contains("4004"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_unknown_type_is_an_error_and_the_connection_goes_on() {
    let server = Server::alone(&[]);
    let mut client = server.open().await;
    client.send(json!({"t": "dance", "room": 5})).await;
    let error = client.expect("error").await;
    assert!(
        error["message"].as_str().unwrap().contains("dance"),
        "{error}"
    );
    client
        .send(json!({"t": "join", "room": "chat/x", "n": 1, "data": {"name": "Ada"}, "later": 1}))
        .await;
    client.expect("joined").await;
}

/// A client that does not read is not closed; when it reads again it has everything.
#[tokio::test]
async fn f3_a_slow_reader_catches_up_and_costs_the_others_nothing() {
    let flags = ["--actions-per-s", "100000", "--log-entries", "100000"];
    let server = Server::alone(&flags);
    let mut talker = server.member("chat/f3", "Bo").await;

    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    let stream = socket
        .connect(server.address().parse().unwrap())
        .await
        .unwrap();
    let mut slow = Client::over(stream).await;
    for frame in [json!({"t": "open"}), join("chat/f3", 1, "Slow")] {
        slow.send(frame).await;
    }
    talker
        .until("event", |frame| frame["data"]["entered"]["name"] == "Slow")
        .await;

    let text = "x".repeat(1_900);
    let (start, mut last) = (Instant::now(), 1u64);
    // A machine that takes long for so much says less: nobody may read nothing for 30 s.
    while last < 2_500 && start.elapsed() < Duration::from_secs(15) {
        last += 1;
        talker
            .send(act(
                "chat/f3",
                last,
                json!({"say": format!("{last} {text}")}),
            ))
            .await;
        if last % 50 == 0 {
            talker.until("event", |frame| frame["n"] == last).await;
        }
    }
    let mut expected = 2;
    while expected <= last {
        let frame = slow.next().await;
        match frame["t"].as_str().unwrap() {
            "event" => {
                assert_eq!(frame["n"], expected, "lost, doubled or out of order");
                expected += 1;
            }
            // What it missed may have been larger than the state (R3).
            "snapshot" => expected = frame["n"].as_u64().map_or(expected, |n| n + 1),
            "welcome" | "joined" | "live" | "ping" => {}
            other => panic!("{other}: {frame}"),
        }
    }
}

#[tokio::test]
async fn f4_a_hostile_client_costs_the_others_nothing() {
    let server = Server::alone(&[]);
    let mut polite = server.member("chat/f4", "Ada").await;
    let address = server.address().to_owned();
    let flood = tokio::spawn(async move {
        for _ in 0..20 {
            let mut rude = Client::connect(&address).await;
            rude.try_send(json!({"t": "open"})).await;
            rude.try_send(join("chat/f4", 1, "Rude")).await;
            for _ in 0..500 {
                rude.try_send(json!({"t": "nonsense"})).await;
            }
            rude.try_send(json!("bye")).await;
        }
    });
    for n in 2..=40 {
        let came = polite.say("chat/f4", n, "still here").await;
        assert_eq!(said(&came), ["still here"]);
    }
    flood.await.unwrap();
    let again = polite
        .resume_at(server.address(), room_of("chat/f4", &polite.pos))
        .await;
    assert_eq!(again.welcome["rooms"], json!({"chat/f4": "replay"}));
}
