//! Section 1, H5 and H6: who a client is.

use std::{
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use outlast_testkit::{
    Client, Server,
    frames::{join, resume},
};
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "a secret for tests, 32 bytes or more of it";

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub(crate) fn claims(user: &str, lives_s: i64) -> Value {
    json!({"sub": user, "exp": now_s().saturating_add_signed(lives_s)})
}

pub(crate) fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

pub(crate) fn with_secret(folder: &Path, flags: &[&str]) -> Server {
    let file = folder.join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let key = ["--token-secret-file", file.to_str().unwrap()];
    Server::alone(&[&key, flags].concat())
}

async fn open(server: &Server, token: &str) -> Client {
    let mut client = server.connect().await;
    client.send(json!({"t": "open", "token": token})).await;
    client
}

fn openssl(args: &[&str], folder: &Path) {
    let done = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn h5_a_token_opens_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_secret(folder.path(), &[]);
    open(&server, &hs256(&claims("ada", 3_600)))
        .await
        .expect("welcome")
        .await;

    let other = EncodingKey::from_secret(b"another secret, which this server does not know");
    let forged = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims("ada", 3_600),
        &other,
    )
    .unwrap();
    let hs384 = jsonwebtoken::encode(
        &Header::new(Algorithm::HS384),
        &claims("ada", 3_600),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap();
    let nobody = hs256(&json!({"exp": now_s() + 3_600}));
    // {"alg":"none"} . {"sub":"ada"} . nothing
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.".to_owned();
    for token in [
        forged,
        hs384,
        nobody,
        unsigned,
        hs256(&claims("ada", -1)),
        "x".to_owned(),
    ] {
        let bye = open(&server, &token).await.closes_with(4003).await;
        assert!(!bye["reason"].as_str().unwrap().contains(&token), "{bye}");
    }
    let mut without = server.connect().await;
    without.send(json!({"t": "open"})).await;
    without.closes_with(4003).await;
}

#[tokio::test]
async fn h5_a_token_may_come_as_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_secret(folder.path(), &[]);
    let bearer = format!("Bearer {}", hs256(&claims("ada", 3_600)));
    let headers = [("authorization", bearer.as_str())];
    let mut client = Client::connect_with(server.address(), &headers)
        .await
        .unwrap();
    client.open().await;
}

#[tokio::test]
async fn h5_all_four_algorithms_and_key_sets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (name, args) in [
        (
            "rsa",
            &[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ][..],
        ),
        (
            "ec",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
        ),
        ("ed", &["genpkey", "-algorithm", "ED25519"]),
    ] {
        let private = format!("{name}.pem");
        openssl(&[args, &["-out", &private]].concat(), path);
        openssl(
            &[
                "pkey",
                "-in",
                &private,
                "-pubout",
                "-out",
                &format!("{name}.pub"),
            ],
            path,
        );
    }
    let private = |name: &str| std::fs::read(path.join(format!("{name}.pem"))).unwrap();
    let keys = [
        (
            "rsa",
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(&private("rsa")).unwrap(),
        ),
        (
            "ec",
            Algorithm::ES256,
            EncodingKey::from_ec_pem(&private("ec")).unwrap(),
        ),
        (
            "ed",
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(&private("ed")).unwrap(),
        ),
    ];
    for (name, algorithm, key) in &keys {
        let public = path.join(format!("{name}.pub"));
        let server = Server::alone(&["--token-key-file", public.to_str().unwrap()]);
        let token =
            jsonwebtoken::encode(&Header::new(*algorithm), &claims("ada", 3_600), key).unwrap();
        open(&server, &token).await.expect("welcome").await;
        open(&server, &hs256(&claims("ada", 3_600)))
            .await
            .closes_with(4003)
            .await;
    }

    let set = json!({"keys": [
        {"kty": "oct", "kid": "old", "alg": "HS256", "k": base64url(b"some older secret of 32 bytes!!!")},
        {"kty": "oct", "kid": "new", "alg": "HS256", "k": base64url(SECRET.as_bytes())},
    ]});
    let file = path.join("jwks.json");
    std::fs::write(&file, set.to_string()).unwrap();
    let server = Server::alone(&["--token-jwks-file", file.to_str().unwrap()]);
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("new".into());
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&header, &claims("ada", 3_600), &key).unwrap();
    open(&server, &token).await.expect("welcome").await;
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for sextet in 0..=chunk.len() {
            text.push(char::from(
                LETTERS[(bits >> (18 - 6 * sextet) & 63) as usize],
            ));
        }
    }
    text
}

#[tokio::test]
async fn h5_a_token_says_which_rooms_may_be_joined() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_secret(folder.path(), &[]);
    let token =
        hs256(&json!({"sub": "ada", "exp": now_s() + 3_600, "rooms": ["chat/a*", "chat/x"]}));
    let mut client = open(&server, &token).await;
    client.expect("welcome").await;
    for (room, allowed) in [
        ("chat/abc", true),
        ("chat/x", true),
        ("chat/b", false),
        ("chat/xy", false),
    ] {
        client.send(join(room, 1, "Ada")).await;
        let answer = client.next().await;
        if allowed {
            assert_eq!(answer["t"], "joined", "{room}: {answer}");
        } else {
            assert_eq!(
                (&answer["t"], &answer["code"]),
                (&json!("error"), &json!("forbidden"))
            );
            assert_eq!((&answer["room"], &answer["n"]), (&json!(room), &json!(1)));
        }
    }
}

#[tokio::test]
async fn h5_a_resume_may_bring_a_newer_token_of_the_same_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_secret(folder.path(), &[]);
    let mut client = open(&server, &hs256(&claims("ada", 3_600))).await;
    client.expect("welcome").await;
    let resume = |client: &Client, user: &str| {
        let mut frame = resume(&client.welcome, json!({}));
        frame["token"] = hs256(&claims(user, 3_600)).into();
        frame
    };
    let mut stranger = server.connect().await;
    stranger.send(resume(&client, "bo")).await;
    stranger.closes_with(4003).await;
    let mut again = server.connect().await;
    again.send(resume(&client, "ada")).await;
    again.expect("resumed").await;
}

#[tokio::test]
async fn h6_a_token_that_expires_ends_the_connection_unless_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_secret(folder.path(), &[]);
    let mut left_alone = open(&server, &hs256(&claims("ada", 8))).await;
    let mut renewed = open(&server, &hs256(&claims("bo", 8))).await;
    left_alone.expect("welcome").await;
    renewed.expect("welcome").await;
    renewed
        .send(json!({"t": "token", "token": hs256(&claims("bo", 3_600))}))
        .await;
    left_alone.closes_with(4003).await;
    renewed.join("chat/h6", 1, "Bo").await;

    let mut wrong = open(&server, &hs256(&claims("cy", 3_600))).await;
    wrong.expect("welcome").await;
    wrong
        .send(json!({"t": "token", "token": hs256(&claims("ada", 3_600))}))
        .await;
    wrong.closes_with(4003).await;
}
