//! B4: the room that shows the fleet, for operators.

use std::{collections::HashMap, time::Duration};

use outlast_testkit::{Client, RedisServer, Server, frames::leave, outlast::command};
use serde_json::{Value, json};

use crate::tokens::{SECRET, claims, hs256, with_secret};

const ROOM: &str = "stats/fleet";

fn operator() -> String {
    let mut claims = claims("operator", 3_600);
    claims["admin"] = json!(true);
    hs256(&claims)
}

fn watch(n: u64) -> Value {
    json!({"t": "join", "room": ROOM, "n": n})
}

async fn open(server: &Server, token: &str) -> Client {
    let mut client = server.connect().await;
    client.send(json!({"t": "open", "token": token})).await;
    client.expect("welcome").await;
    client
}

async fn is_turned_away(client: &mut Client, hint: &str) {
    client.send(watch(1)).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["code"], &error["n"]),
        (&json!("forbidden"), &json!(1))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(hint), "{message}");
}

/// An operator's view of the fleet.
struct Watch {
    client: Client,
    /// The newest report of each process, by its pid.
    reports: HashMap<u64, Value>,
    /// Whom the room gave up, by id.
    lost: Vec<Value>,
    gone: Vec<Value>,
}

impl Watch {
    async fn begin(mut client: Client) -> Watch {
        client.send(watch(1)).await;
        client.find("joined").await;
        Watch {
            client,
            reports: HashMap::new(),
            lost: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Reads on until something holds of what was seen.
    async fn until(&mut self, holds: impl Fn(&Watch) -> bool) {
        while !holds(self) {
            let frame = self.client.next().await;
            assert_ne!(frame["t"], "closed", "{frame}");
            let data = &frame["data"];
            if let Some(pid) = data["report"]["pid"].as_u64() {
                // A machine that is busy with other things may have taken its time to answer.
                self.lost.retain(|id| *id != data["report"]["id"]);
                self.reports.insert(pid, data["report"].clone());
            }
            let lost = data["roll"]["lost"].as_array();
            self.lost.extend(lost.into_iter().flatten().cloned());
            self.gone.extend(data.get("gone").cloned());
        }
    }

    fn of(&self, server: &Server) -> Option<&Value> {
        self.reports.get(&u64::from(server.pid()))
    }

    /// Returns the number of partitions that this worker holds, as it says.
    fn partitions(&self, server: &Server) -> u64 {
        let held = |report: &Value| report["worker"]["partitions"].as_u64();
        self.of(server).and_then(held).unwrap_or(0)
    }
}

#[tokio::test]
async fn b4_every_process_is_seen_and_one_that_is_killed_is_lost() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let gateway = Server::gateway(&redis, &["--token-secret-file", file.to_str().unwrap()]);
    let one = Server::worker(&redis, &[]);
    let two = Server::worker(&redis, &[]);
    let keeper = Server::keeper(&redis, &[]);

    let mut watch = Watch::begin(open(&gateway, &operator()).await).await;
    watch
        .until(|seen| {
            [&gateway, &one, &two, &keeper]
                .iter()
                .all(|server| seen.of(server).is_some())
                && seen.partitions(&one) + seen.partitions(&two) == 16
        })
        .await;
    for (server, role) in [(&gateway, "gateway"), (&one, "worker"), (&keeper, "keeper")] {
        let report = watch.of(server).unwrap();
        for other in ["gateway", "worker", "keeper"] {
            assert_eq!(report.get(other).is_some(), other == role, "{report}");
        }
    }
    // A second report counts what happened since the first.
    let has_counted = |report: &Value| {
        report["gateway"]["delivered"].as_u64() > Some(0) && report["over_ms"].as_u64() > Some(0)
    };
    watch
        .until(|seen| seen.of(&gateway).is_some_and(has_counted))
        .await;
    assert_eq!(watch.of(&gateway).unwrap()["gateway"]["sockets"], 1);

    let id = watch.of(&one).unwrap()["id"].clone();
    one.kill();
    // Nobody else is, or stays so.
    watch.until(|seen| seen.lost == [id.clone()]).await;
    watch.until(|seen| seen.partitions(&two) == 16).await;

    let id = watch.of(&keeper).unwrap()["id"].clone();
    keeper.signal("TERM");
    assert_eq!(keeper.wait(), Some(0));
    watch.until(|seen| seen.gone.contains(&id)).await;
}

#[tokio::test]
async fn b4_who_is_cut_off_misses_no_report() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let key = ["--token-secret-file", file.to_str().unwrap()];
    let one = Server::gateway(&redis, &key);
    let two = Server::gateway(&redis, &key);
    let _worker = Server::worker(&redis, &[]);
    let _keeper = Server::keeper(&redis, &[]);
    let mut watch = Watch::begin(open(&one, &operator()).await).await;
    watch
        .until(|seen| seen.of(&one).and(seen.of(&two)).is_some())
        .await;

    let pos = watch.client.pos.clone();
    let id = watch.of(&one).unwrap()["id"].clone();
    one.kill();
    let again = watch
        .client
        .resume_at(two.address(), json!({ ROOM: pos }))
        .await;
    assert_eq!(again.welcome["rooms"][ROOM], "replay");
    watch.client = again;
    watch.until(|seen| seen.lost.contains(&id)).await;
}

#[tokio::test]
async fn b4_d3_a_gateway_that_drains_is_seen_and_says_goodbye() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let one = Server::gateway(&redis, &["--token-secret-file", file.to_str().unwrap()]);
    let two = Server::gateway(&redis, &[]);
    let _worker = Server::worker(&redis, &[]);
    let stays = two.open().await;
    let mut watch = Watch::begin(open(&one, &operator()).await).await;
    let drains = |seen: &Watch| {
        seen.of(&two)
            .map(|report| report["gateway"]["draining"] == true)
    };
    watch.until(|seen| drains(seen) == Some(false)).await;
    two.signal("TERM");
    watch.until(|seen| drains(seen) == Some(true)).await;
    let id = watch.of(&two).unwrap()["id"].clone();
    stays.cut();
    watch.until(|seen| seen.gone.contains(&id)).await;
    assert_eq!(watch.lost, Vec::<Value>::new());
    assert_eq!(two.wait(), Some(0));
}

#[tokio::test]
async fn b4_while_nobody_watches_nothing_is_called_or_reported() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let gateway = Server::gateway(&redis, &["--token-secret-file", file.to_str().unwrap()]);
    let _worker = Server::worker(&redis, &[]);
    let log = || redis.cli(&["KEYS", "ol:*:log:stats/fleet"]);
    let client = open(&gateway, &operator()).await;
    assert_eq!(log(), "", "nobody has watched yet");

    let mut watch = Watch::begin(client).await;
    watch.until(|seen| seen.of(&gateway).is_some()).await;
    watch.client.send(leave(ROOM, 2)).await;
    watch.client.find("left").await;
    // What was on its way may still come in, and is refused.
    let end = || redis.cli(&["XREVRANGE", &log(), "+", "-", "COUNT", "1"]);
    let before = end();
    assert!(before.contains("\"left\""), "{before}");
    assert_eq!(
        watch.client.next_within(Duration::from_millis(2_500)).await,
        None
    );
    assert_eq!(end(), before);
}

#[tokio::test]
async fn h5_b4_only_operators_watch() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_secret(folder.path(), &[]);
    is_turned_away(
        &mut open(&server, &hs256(&claims("ada", 3_600))).await,
        "\"admin\": true",
    )
    .await;
    let elsewhere = json!({"sub": "operator", "admin": true, "rooms": ["chat/*"]});
    is_turned_away(
        &mut open(&server, &hs256(&elsewhere)).await,
        "does not allow",
    )
    .await;
    Watch::begin(open(&server, &operator()).await).await;

    let anonymous = Server::alone(&[]);
    is_turned_away(&mut anonymous.open().await, "--token-secret-file").await;
}

#[tokio::test]
async fn l1_b4_who_tries_it_out_at_this_machine_watches_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    command.current_dir(folder.path());
    let server = Server::spawn(command);
    let mut watch = Watch::begin(server.open().await).await;
    watch.until(|seen| seen.of(&server).is_some()).await;
    let report = watch.of(&server).unwrap();
    for role in ["gateway", "worker", "keeper"] {
        assert!(
            report.get(role).is_some(),
            "one process, and all it does: {report}"
        );
    }

    let proxied = [("x-forwarded-for", "192.0.2.1")];
    let mut client = Client::connect_with(server.address(), &proxied)
        .await
        .unwrap();
    client.open().await;
    is_turned_away(&mut client, "--token-secret-file").await;
}
