//! Two deployments that share a Redis.

use std::time::Duration;

use outlast_store::{
    Announcements, Layout, Leases, Membership, NodeId, Nudge, Records, Role, Rooms, StoreEvent,
    Topic, TopicId,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{
    RedisServer,
    redis::{Cluster, Site, users},
};

use crate::scene::{
    LAYOUT, TTL, append, claim, everything, hear, lease, new_record, next_commit, partition,
    patient, room,
};

async fn connect(
    url: &str,
    prefix: &str,
    layout: Layout,
    settings: RedisSettings,
) -> std::sync::Arc<Redis> {
    let settings = RedisSettings {
        prefix: prefix.parse().unwrap(),
        ..settings
    };
    Redis::connect(url, layout, settings).await.unwrap()
}

/// Does a bit of everything in the one, and finds nothing of it in the other.
async fn keep_to_themselves(url: &str, settings: &RedisSettings) {
    let ours = connect(url, "ours", LAYOUT, settings.clone()).await;
    // Whose layout is its own affair, too.
    let other = Layout {
        partitions: 8,
        shards: 1,
    };
    connect(url, "other", other, settings.clone()).await;
    let theirs = connect(url, "theirs", LAYOUT, settings.clone()).await;
    let me = NodeId::from("gateway");
    let (here, mut listener) = ours.listen(&me).await.unwrap();
    here.subscribe(&room()).await.unwrap();

    let record = new_record();
    let shard = LAYOUT.shard(&record.sid);
    theirs.write(shard, record.clone()).await.unwrap();
    theirs.heartbeat(&me, Role::Gateway).await.unwrap();
    append(&*theirs).await.unwrap();
    let epoch = claim(&*theirs, TTL).await;
    let commit = next_commit(&*theirs, epoch, &me).await;
    theirs.commit(&commit).await.unwrap();
    theirs.nudge(None, &Nudge::Released).await.unwrap();
    theirs.nudge(Some(&me), &Nudge::Released).await.unwrap();

    assert_eq!(ours.nodes().await.unwrap().1, []);
    assert_eq!(ours.read(shard, &record.sid).await.unwrap().record, None);
    assert_eq!(ours.grouped(shard, "ada", 9).await, Ok(Vec::new()));
    assert_eq!(ours.owners(shard).await.unwrap(), []);
    assert_eq!(ours.due(shard, 9).await, Ok(Vec::new()));
    let topic = ours.read_topic(partition(), TopicId::default(), 9, Duration::ZERO);
    assert_eq!(topic.await.unwrap(), []);
    assert_eq!(ours.load(&room()).await.unwrap(), Default::default());
    assert_eq!(ours.cursor(partition()).await.unwrap(), Default::default());
    assert_eq!(ours.lease_holders(&[lease()]).await.unwrap()[0].owner, None);

    // And ours is all that is heard.
    let epoch = claim(&*ours, TTL).await;
    let commit = next_commit(&*ours, epoch, &me).await;
    ours.commit(&commit).await.unwrap();
    let StoreEvent::Room(news) = hear(&mut *listener).await else {
        panic!("nothing of theirs comes before our own room's news");
    };
    assert_eq!(news.entries, commit.rooms[0].entries);
}

fn keys_are_ours(server: &RedisServer, prefixes: &[&str]) {
    let keys: Vec<String> = server.run(&["KEYS", "*"]);
    assert!(!keys.is_empty());
    for key in keys {
        let prefix = key.split_once(':').map(|(prefix, _)| prefix);
        assert!(prefixes.contains(&prefix.unwrap()), "{key}");
    }
}

#[tokio::test]
async fn l7_two_deployments_share_a_redis_and_see_nothing_of_each_other() {
    let server = RedisServer::start();
    let unnamed = crate::scene::connect(&server, LAYOUT).await.unwrap();
    append(&*unnamed).await.unwrap();
    keep_to_themselves(&server.url(), &patient()).await;
    keep_to_themselves(&format!("{}/3", server.url()), &patient()).await;
    keys_are_ours(&server, &["ol", "ours", "theirs", "other"]);
}

#[tokio::test]
async fn l7_two_deployments_share_a_cluster_and_see_nothing_of_each_other() {
    let cluster = Cluster::start();
    keep_to_themselves(&cluster.url(), &patient()).await;
    for master in cluster.masters() {
        keys_are_ours(master, &["ours", "theirs", "other"]);
    }
}

/// The shipped users, for a deployment with another prefix: `sed 's/\([~&]\)ol:/\1ours:/g'`.
#[tokio::test]
async fn l7_a_user_of_one_deployment_can_do_nothing_in_another() {
    let server = RedisServer::start_for_users(&[]);
    for line in users::renamed("ours") {
        let words: Vec<_> = ["ACL", "SETUSER"]
            .into_iter()
            .chain(line.split(' '))
            .collect();
        server.run::<()>(&words);
    }
    let settings = RedisSettings {
        access: everything(),
        ..patient()
    };
    let store = connect(&server.url(), "ours", LAYOUT, settings.clone()).await;
    append(&*store).await.unwrap();
    store
        .heartbeat(&"gateway".into(), Role::Gateway)
        .await
        .unwrap();
    let other = Redis::connect(&server.url(), LAYOUT, settings).await;
    let refused = other.unwrap_err().to_string();
    assert!(
        refused.contains("NOPERM") || refused.contains("permission"),
        "{refused}"
    );
}
