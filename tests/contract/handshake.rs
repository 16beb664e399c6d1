//! Section 1: how a connection begins.

use std::time::{Duration, Instant};

use outlast_testkit::{Client, Server, frames::join};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn h1_both_subprotocols_are_spoken() {
    let server = Server::alone(&[]);
    let mut json = server.member("chat/h1", "Ada").await;
    let offered = "nonsense, outlast.v1.msgpack";
    let mut msgpack =
        Client::connect_with(server.address(), &[("sec-websocket-protocol", offered)])
            .await
            .unwrap();
    for frame in [json!({"t": "open"}), join("chat/h1", 1, "Bo")] {
        msgpack
            .send_message(Message::binary(rmp_serde::to_vec_named(&frame).unwrap()))
            .await;
    }
    msgpack.expect("welcome").await;
    let joined = msgpack.expect("joined").await;
    assert_eq!(
        joined["state"]["members"].as_array().unwrap().len(),
        2,
        "{joined}"
    );
    let entered = json.expect("event").await;
    assert_eq!(
        entered["data"],
        json!({"entered": {"member": joined["member"], "name": "Bo"}})
    );
}

#[tokio::test]
async fn h1_no_subprotocol_is_json_and_only_unknown_ones_are_refused() {
    let server = Server::alone(&[]);
    let mut plain = Client::connect_with(server.address(), &[]).await.unwrap();
    plain.open().await;
    let unknown = [("sec-websocket-protocol", "soap, outlast.v9.json")];
    assert_eq!(Client::refusal(server.address(), &unknown).await, Some(400));
}

#[tokio::test]
async fn h2_frames_may_follow_the_first_without_waiting() {
    let server = Server::alone(&[]);
    let mut client = server.connect().await;
    client.send(json!({"t": "open"})).await;
    client.send(join("chat/h2", 1, "Ada")).await;
    client
        .send(json!({"t": "act", "room": "chat/h2", "n": 2, "data": {"say": "at once"}}))
        .await;
    client.expect("welcome").await;
    client.expect("joined").await;
    assert_eq!(
        client.expect("event").await["data"],
        json!({"said": "at once"})
    );
}

#[tokio::test]
async fn h2_whoever_says_nothing_is_closed_after_ten_seconds() {
    let server = Server::alone(&[]);
    let start = Instant::now();
    let mut tcp = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    let mut upgraded = server.connect().await;
    let silent = async {
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.ok();
        start.elapsed()
    };
    let (silent, bye) = tokio::join!(silent, upgraded.closes_with(4004));
    let upgraded = start.elapsed();
    assert_eq!(bye["resume"], false);
    for elapsed in [silent, upgraded] {
        let bounds = Duration::from_secs(10)..Duration::from_secs(60);
        assert!(bounds.contains(&elapsed), "closed after {elapsed:?}");
    }
}

#[tokio::test]
async fn h3_keys_and_tokens_are_not_logged() {
    let server = Server::alone(&["--log", "trace"]);
    let mut client = server.connect().await;
    client
        .send(json!({"t": "open", "token": "not.a.secret-token"}))
        .await;
    client.closes_with(4003).await;
    let client = server.member("chat/h3", "Ada").await;
    let again = client.resume_at(server.address(), json!({})).await;
    let log = server.log();
    assert!(!log.is_empty());
    for secret in [&client.welcome["key"], &again.welcome["key"]] {
        assert!(
            !log.contains(secret.as_str().unwrap()),
            "a key stands in the log"
        );
    }
    assert!(!log.contains("secret-token"), "a token stands in the log");
}

#[tokio::test]
async fn h4_origins_are_checked() {
    let server = Server::alone(&["--allow-origin", "https://app.example"]);
    let own = format!("http://{}", server.address());
    let port = server.address().rsplit_once(':').unwrap().1;
    let other_port = format!("http://127.0.0.1:{}1", &port[..port.len() - 1]);
    for (origin, expected) in [
        (own.as_str(), None),
        ("https://app.example", None),
        ("https://app.example.evil", Some(403)),
        ("http://app.example", Some(403)),
        ("https://evil.example", Some(403)),
        ("null", Some(403)),
        (
            &other_port,
            if other_port == own { None } else { Some(403) },
        ),
    ] {
        let refused = Client::refusal(server.address(), &[("origin", origin)]).await;
        assert_eq!(refused, expected, "{origin}");
    }
    assert!(
        Client::connect_with(server.address(), &[]).await.is_ok(),
        "no Origin passes"
    );
}
