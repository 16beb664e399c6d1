//! SPEC section 1.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use outlast_gateway::{Auth, GatewaySettings, Keys};
use outlast_protocol::{ClientFrame, Codec, ServerFrame};
use outlast_testkit::{Client, PATIENCE, frames::say};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Setup, World};

pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

pub fn token(sub: &str, expires_in_s: i64, rooms: Option<&[&str]>) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    let mut claims = json!({"sub": sub, "exp": now + expires_in_s});
    if let Some(rooms) = rooms {
        claims["rooms"] = json!(rooms);
    }
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap()
}

async fn with_tokens() -> World {
    let auth = Auth::tokens(Keys::secret(SECRET).unwrap(), false);
    World::with(Setup {
        auth,
        ..Setup::default()
    })
    .await
}

fn status(refused: Result<Client, tungstenite::Error>) -> u16 {
    match refused {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it connects"),
    }
}

async fn open_with(world: &World, token: Option<&str>, header: Option<&str>) -> Client {
    let bearer = header.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|bearer| ("Authorization", bearer.as_str()))
        .collect();
    let mut client = Client::connect_with(world.address(), &headers)
        .await
        .unwrap();
    client.send(json!({"t": "open", "token": token})).await;
    client
}

#[tokio::test]
async fn h1_the_subprotocol_decides_the_codec() {
    let world = World::start().await;
    let connect = |offer: &'static str| {
        let address = world.address();
        async move { Client::connect_with(address, &[(PROTOCOL, offer)]).await }
    };
    let json = connect("outlast.v1.json").await;
    json.unwrap().open().await;
    assert_eq!(status(connect("outlast.v2.json, other").await), 400);

    for offer in [
        "outlast.v1.msgpack",
        "future, outlast.v1.msgpack, outlast.v1.json",
    ] {
        let mut client = connect(offer).await.unwrap();
        let open = Codec::MsgPack.encode_client(&ClientFrame::Open {
            token: None,
            client: None,
        });
        client.send_message(Message::binary(open)).await;
        let Message::Binary(welcome) = client.message().await else {
            panic!("not binary")
        };
        let welcome = Codec::MsgPack.decode_server(&welcome).unwrap();
        assert!(
            matches!(welcome, ServerFrame::Welcome { .. }),
            "{welcome:?}"
        );
    }
}

#[tokio::test]
async fn h1_no_websocket_is_a_plain_refusal() {
    let world = World::start().await;
    let mut tcp = TcpStream::connect(world.address()).await.unwrap();
    tcp.write_all(b"GET /v1/connect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn h2_the_first_frame_has_to_come_in_time_counted_from_the_connection() {
    let settings = GatewaySettings {
        first_frame_ms: 600,
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let start = Instant::now();
    let mut silent = TcpStream::connect(world.address()).await.unwrap();
    let mut slow = TcpStream::connect(world.address()).await.unwrap();
    slow.write_all(b"GET /v1/connect HTTP/1.1\r\n")
        .await
        .unwrap();
    for tcp in [&mut silent, &mut slow] {
        // It may end with an error, since what was sent was not read.
        let mut rest = Vec::new();
        let end = tcp.read_to_end(&mut rest);
        tokio::time::timeout(PATIENCE, end).await.unwrap().ok();
        assert!(start.elapsed() >= Duration::from_millis(600));
    }
    let mut client = world.connect().await;
    client.expect_bye(4004).await;

    // Headers that take their time leave less of it for the first frame. Where everything stood still until
    // both were over, nobody can tell; on the wrong count, the first one is always the later.
    for _ in 0..20 {
        let mut first = TcpStream::connect(world.address()).await.unwrap();
        let request = b"GET /v1/connect HTTP/1.1\r\nHost: x\r\n";
        first.write_all(request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        let mut second = world.connect().await;
        let rest = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        first.write_all(rest).await.unwrap();
        let first = async {
            let mut answer = Vec::new();
            let end = first.read_to_end(&mut answer);
            tokio::time::timeout(PATIENCE, end).await.unwrap().ok();
            String::from_utf8_lossy(&answer).into_owned()
        };
        let in_order = tokio::select! {
            answer = first => answer.contains("4004"),
            _ = second.message() => false,
        };
        if in_order {
            return;
        }
    }
    panic!("the first frame's time is not counted from the connection");
}

#[tokio::test]
async fn h2_frames_may_come_right_behind_the_first() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.send(json!({"t": "open"})).await;
    client
        .send(json!({"t": "join", "room": "chat/a", "n": 1, "data": {"name": "Ada"}}))
        .await;
    client.send(say("chat/a", 2, "hi")).await;
    client.expect("welcome").await;
    client.expect("joined").await;
    assert_eq!(client.expect("event").await["n"], 2);
}

/// A text frame as a client writes it, masked with zeros, or not at all.
fn raw_frame(text: &str, masked: bool) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 126);
    let mut frame = vec![0x81, len | if masked { 0x80 } else { 0 }];
    frame.extend(if masked { &[0; 4][..] } else { &[] });
    frame.extend(text.as_bytes());
    frame
}

/// Sends this right after the request to connect, in one piece; returns what comes until `until` does.
async fn raw(world: &World, rest: &[u8], until: &str) -> String {
    let mut tcp = TcpStream::connect(world.address()).await.unwrap();
    let request = b"GET /v1/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(&[request, rest].concat()).await.unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if text.contains(until) {
            return text;
        }
        let read = tokio::time::timeout(PATIENCE, tcp.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(read, 0, "{text}");
        answer.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn h2_the_first_frame_may_come_together_with_the_request() {
    let world = World::start().await;
    raw(&world, &raw_frame(r#"{"t":"open"}"#, true), "welcome").await;
}

#[tokio::test]
async fn f2_a_frame_that_is_not_masked_is_a_protocol_error() {
    let world = World::start().await;
    raw(&world, &raw_frame(r#"{"t":"open"}"#, false), "4004").await;
    // A ping that comes in pieces is none.
    raw(&world, &[0x09, 0x80, 0, 0, 0, 0], "4004").await;
}

#[tokio::test]
async fn h2_any_other_first_frame_is_a_protocol_error() {
    let world = World::start().await;
    for frame in [
        json!({"t": "pong"}),
        json!({"t": "join", "room": "chat/a", "n": 1}),
        json!({"t": "dance"}),
        json!({"t": "resume", "sid": "x", "key": "y"}),
        json!({"t": "resume", "sid": "x", "key": "y", "rooms": {"chat/a": "1"}}),
        json!([]),
    ] {
        let mut client = world.connect().await;
        client.send(frame).await;
        let bye = client.expect_bye(4004).await;
        assert_eq!(bye["resume"], false);
    }
}

#[tokio::test]
async fn h4_foreign_origins_are_refused() {
    let settings = GatewaySettings {
        allow_origin: vec!["https://app.example".to_owned()],
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let own = format!("http://{}", world.address());
    for origin in [own.as_str(), "https://app.example"] {
        let mut client = Client::connect_with(world.address(), &[("Origin", origin)])
            .await
            .unwrap();
        client.open().await;
    }
    for origin in ["https://evil.example", "null", "http://app.example"] {
        let refused = Client::connect_with(world.address(), &[("Origin", origin)]).await;
        assert_eq!(status(refused), 403, "{origin}");
    }
    for two in [
        [own.as_str(), "https://evil.example"],
        ["https://evil.example", own.as_str()],
    ] {
        let refused =
            Client::connect_with(world.address(), &two.map(|origin| ("Origin", origin))).await;
        assert_eq!(status(refused), 403, "each has to pass: {two:?}");
    }
}

#[tokio::test]
async fn r1_a_client_may_name_rooms_that_it_has_left_without_knowing() {
    let world = World::start().await;
    let (_, welcome) = world.open().await;
    let rooms = |count: usize| -> serde_json::Map<String, Value> {
        (0..count)
            .map(|i| (format!("chat/{i}"), Value::Null))
            .collect()
    };
    let mut client = world.connect().await;
    client.resume(&welcome, json!(rooms(256))).await;
    let resumed = client.expect("resumed").await;
    assert_eq!(resumed["rooms"].as_object().unwrap().len(), 256);
    let mut client = world.connect().await;
    client.resume(&welcome, json!(rooms(257))).await;
    client.expect_bye(4004).await;
}

#[tokio::test]
async fn h5_the_token_is_in_the_frame_or_in_a_header_and_the_frame_wins() {
    let world = with_tokens().await;
    let (ada, bad) = (token("ada", 3_600, None), "x.y.z");
    for (frame, header) in [
        (Some(&*ada), None),
        (None, Some(&*ada)),
        (Some(&*ada), Some(bad)),
    ] {
        open_with(&world, frame, header)
            .await
            .expect("welcome")
            .await;
    }
    for (frame, header) in [(None, None), (Some(bad), Some(&*ada)), (None, Some(bad))] {
        let bye = open_with(&world, frame, header)
            .await
            .expect_bye(4003)
            .await;
        assert!(!bye["reason"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn h5_a_resume_may_bring_a_newer_token_of_the_same_user() {
    let world = with_tokens().await;
    let mut client = open_with(&world, Some(&token("ada", 3_600, None)), None).await;
    let welcome = client.expect("welcome").await;
    let resume = |token: String| json!({"t": "resume", "sid": welcome["sid"], "key": welcome["key"], "token": token, "rooms": {}});
    let mut other = world.connect().await;
    other.send(resume(token("bob", 3_600, None))).await;
    other.expect_bye(4003).await;
    let mut same = world.connect().await;
    same.send(resume(token("ada", 3_600, None))).await;
    same.expect("resumed").await;
}

#[tokio::test]
async fn h5_the_token_names_the_rooms_that_may_be_joined() {
    let world = with_tokens().await;
    let mut client = open_with(&world, Some(&token("ada", 3_600, Some(&["chat/a*"]))), None).await;
    client.expect("welcome").await;
    client
        .send(json!({"t": "join", "room": "chat/b", "n": 1, "data": {"name": "Ada"}}))
        .await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("forbidden"), &json!(1))
    );
    client.join_at_once("chat/ab", 1, "Ada").await;
}

#[tokio::test]
async fn h6_a_token_that_expires_ends_the_connection_unless_it_was_renewed() {
    let world = with_tokens().await;
    // A busy machine may take so long that the token expires on the way: then it gets another one.
    let welcomed = async |user: &str| {
        for expires_in_s in [2, 4, 8, 16] {
            let token = token(user, expires_in_s, None);
            let mut client = open_with(&world, Some(&token), None).await;
            let welcome = client.frame().await;
            if welcome["t"] == "welcome" {
                return (client, welcome, expires_in_s as u64);
            }
            assert_eq!(welcome["code"], 4003, "{welcome}");
        }
        panic!("nobody gets in")
    };
    let (mut renewed, welcome, expires_in_s) = loop {
        let (mut client, welcome, expires_in_s) = welcomed("bob").await;
        let longer = json!({"t": "token", "token": token("bob", 600, None)});
        client.send(longer).await;
        // What comes next says that it was taken, or that it came too late.
        client
            .send(json!({"t": "act", "room": "chat/a", "n": 1, "data": {}}))
            .await;
        if client.frame().await["code"] == "not_joined" {
            break (client, welcome, expires_in_s);
        }
    };
    let (mut short, _, _) = welcomed("ada").await;
    short.expect_bye(4003).await;
    let expired = Duration::from_millis(1_000 * expires_in_s + 500);
    renewed.expect_nothing(expired).await;
    // The session knows: without a new token it can be resumed.
    drop(renewed);
    let mut again = world.connect().await;
    again.resume(&welcome, json!({})).await;
    again.expect("resumed").await;
}

#[tokio::test]
async fn h6_a_wrong_token_ends_the_connection() {
    let world = with_tokens().await;
    let wrong: [Value; 3] = [
        json!("x.y.z"),
        json!(token("bob", 3_600, None)),
        json!(token("ada", -1, None)),
    ];
    for wrong in wrong {
        let mut client = open_with(&world, Some(&token("ada", 3_600, None)), None).await;
        client.expect("welcome").await;
        client.send(json!({"t": "token", "token": wrong})).await;
        client.expect_bye(4003).await;
    }
}

#[tokio::test]
async fn pages_are_served_beside() {
    let world = World::start().await;
    let mut tcp = TcpStream::connect(world.address()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("pages"),
        "{answer}"
    );
}
