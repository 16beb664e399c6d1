//! Redis reads its append-only file as the user `default`, whoever wrote it, and asks again what that one may.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use outlast_store::{
    Leases, Membership, NodeId, Records, Role, Rooms, StoreError, Topic, TopicId,
    redis::{Access, Redis, RedisSettings},
};
use outlast_testkit::{
    PATIENCE, RedisServer,
    redis::users::{self, PASSWORD},
};

use tracing::span;

use crate::scene::{
    LAYOUT, TTL, append, claim, new_record, next_commit, partition, patient, room, until,
};

/// A server with an ACL file that keeps what it acknowledged.
fn server_with(acl: &Path) -> RedisServer {
    let acl = acl.to_str().unwrap();
    RedisServer::start_with(&["--appendfsync", "always", "--aclfile", acl])
}

async fn connect(server: &RedisServer, user: &str) -> Result<Arc<Redis>, StoreError> {
    let access = Access {
        user: Some(user.into()),
        password: Some(PASSWORD.into()),
        ..Access::default()
    };
    let settings = RedisSettings {
        access,
        ..patient()
    };
    Redis::connect(&server.url(), LAYOUT, settings).await
}

fn dump(server: &RedisServer) -> Vec<(String, Vec<u8>)> {
    let who = users::as_operator();
    let mut keys: Vec<String> = server.run_as(&who, &["KEYS", "*"]);
    keys.sort();
    let dumps = keys.into_iter().map(|key| {
        let dump = server.run_as(&who, &["DUMP", &key]);
        (key, dump)
    });
    dumps.collect()
}

/// Everything that the roles write is there after SIGKILL.
async fn outlives_sigkill(acl: &Path, [gateway, worker, sessions]: [&str; 3]) {
    let mut server = server_with(acl);
    let me = NodeId::from("gateway");
    {
        let gateway = connect(&server, gateway).await.unwrap();
        let record = new_record();
        let shard = LAYOUT.shard(&record.sid);
        gateway.write(shard, record).await.unwrap();
        for _ in 0..3 {
            append(&*gateway).await.unwrap();
        }
        gateway.heartbeat(&me, Role::Gateway).await.unwrap();
        let sessions = connect(&server, sessions).await.unwrap();
        let name = outlast_store::LeaseName::Shard(shard);
        sessions.claim(name, &me, TTL).await.unwrap().unwrap();
    }
    let store = connect(&server, worker).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    for _ in 0..3 {
        let mut commit = next_commit(&*store, epoch, &me).await;
        commit.unread = vec!["kept".into()];
        commit.rooms[0].park = vec![crate::scene::input()];
        store.commit(&commit).await.unwrap();
    }
    let load = store.load(&room()).await.unwrap();
    let topic = async |store: &Redis| {
        let read = store.read_topic(partition(), TopicId::default(), 9, PATIENCE);
        read.await.unwrap()
    };
    let inputs = topic(&store).await;
    let before = dump(&server);
    assert!(before.len() > 10, "{before:?}");

    server.kill();
    server.restart();
    server.wait_until_loaded(&users::as_operator());
    assert_eq!(dump(&server), before);
    let store = connect(&server, worker).await.unwrap();
    assert_eq!(store.load(&room()).await, Ok(load));
    assert_eq!(topic(&store).await, inputs);
}

#[tokio::test]
async fn l8_with_the_shipped_users_a_killed_redis_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("users.acl");
    fs::write(&acl, users::file()).unwrap();
    let roles = ["outlast-gateway", "outlast-worker", "outlast-sessions"];
    outlives_sigkill(&acl, roles).await;
    outlives_sigkill(&acl, ["outlast"; 3]).await;
}

/// The same with the users that Kubernetes makes of them.
#[tokio::test]
async fn l8_with_the_users_of_kubernetes_a_killed_redis_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/components/redis");
    let acl = folder.path().join("made.acl");
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    for role in ["gateway", "worker", "sessions"] {
        fs::write(secrets.join(role), format!("{PASSWORD}\n")).unwrap();
    }
    let made = Command::new("sh")
        .arg(component.join("login.sh"))
        .env("ACL_FILE", &acl)
        .env("PASSWORDS", &secrets)
        .env("USERS", component.join("users.acl"))
        .status();
    assert!(made.unwrap().success());
    let made = fs::read_to_string(&acl).unwrap();
    fs::write(&acl, made + &users::operator()).unwrap();
    let roles = ["outlast-gateway", "outlast-worker", "outlast-sessions"];
    outlives_sigkill(&acl, roles).await;

    let server = server_with(&acl);
    let ping = Command::new("sh")
        .arg("-c")
        .arg(probe(&component))
        .env("REDISCLI_HISTFILE", "/dev/null")
        .env("PORT", server.port().to_string())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(ping.status.success() && told.trim() == "PONG", "{ping:?}");
    let refused = server.run_as::<String>(
        &users::as_operator(),
        &["ACL", "DRYRUN", "probe", "GET", "ol:store"],
    );
    assert_ne!(refused, "OK");
}

/// The command of the manifest's probe, at the port of a test.
fn probe(component: &Path) -> String {
    let manifest = fs::read_to_string(component.join("redis.yaml")).unwrap();
    let probe = manifest
        .lines()
        .find(|line| line.contains("command: [redis-cli,"));
    let (_, words) = probe.unwrap().split_once('[').unwrap();
    let (words, _) = words.split_once(']').unwrap();
    words
        .replace(',', "")
        .replacen("redis-cli", "redis-cli -p $PORT", 1)
}

/// The log lines of this thread's tasks.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Told {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{value:?}");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The errors that are logged while a user is connected, until another connection has told one or a nudge.
async fn told(default: &str, options: &[&str], user: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("users.acl");
    let shipped = users::file();
    let (_, others) = shipped.split_once('\n').unwrap();
    fs::write(
        &acl,
        format!("user default {default}\n{others}user blind on >{PASSWORD} ~* &* +@all -acl\n"),
    )
    .unwrap();
    let acl = acl.to_str().unwrap();
    let server = RedisServer::start_with(&[options, &["--aclfile", acl]].concat());
    let told = Told::default();
    let _here = tracing::subscriber::set_default(told.clone());
    let store = connect(&server, user).await.unwrap();
    // What it looked at before it began to probe is said by then.
    let probed = async || {
        let stats: String = server.run_as(&users::as_operator(), &["INFO", "commandstats"]);
        let role = stats
            .lines()
            .find(|line| line.starts_with("cmdstat_role:"))
            .unwrap();
        let (_, calls) = role.split_once("calls=").unwrap();
        calls.split(',').next().unwrap().parse::<u32>().unwrap()
    };
    until(probed, |calls| *calls >= 3).await;
    drop(store);
    let told = told.0.lock().unwrap();
    told.clone()
}

#[tokio::test]
async fn l8_a_default_user_that_would_drop_writes_is_told_with_the_remedy() {
    for weak in [
        "on nopass resetkeys resetchannels -@all +ping",
        "off ~cache:* +@all",
        "off ~* +@all -hset",
    ] {
        let told = told(weak, &[], "outlast-worker").await;
        let [told] = told.as_slice() else {
            panic!("{weak}: {told:?}")
        };
        let remedy = told.contains("ACL SETUSER default off ~* &* +@all");
        assert!(remedy && told.contains("acknowledged writes"), "{told}");
    }
    let none = Vec::<String>::new();
    assert_eq!(told("off ~* &* +@all", &[], "outlast-worker").await, none);
    assert_eq!(
        told("off", &[], "blind").await,
        none,
        "who may not look does not guess"
    );
    let off = ["--appendonly", "no"];
    assert_eq!(
        told("off", &off, "outlast-worker").await,
        none,
        "there is nothing to read back"
    );
}
