//! Entries that another version, or a human, has left.

use outlast_store::{Membership, NodeId, Role, Rooms};

use outlast_testkit::RedisServer;

use crate::scene::{LAYOUT, TTL, claim, connect, next_commit, partition, room};

#[tokio::test]
async fn w6_a_member_that_cannot_be_read_hides_no_other() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let me = NodeId::from("me");
    store.heartbeat(&me, Role::Worker).await.unwrap();
    for unknown in ["observer x", "worker", "\u{e9}"] {
        server.run::<()>(&["ZADD", "ol:members", "5", unknown]);
    }
    let (_, members) = store.nodes().await.unwrap();
    let ids: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(ids, ["me"]);
}

#[tokio::test]
async fn w6_a_wake_that_cannot_be_read_hides_no_other() {
    let server = RedisServer::start();
    let store = connect(&server, LAYOUT).await.unwrap();
    let epoch = claim(&*store, TTL).await;
    let commit = next_commit(&*store, epoch, &"gateway".into()).await;
    store.commit(&commit).await.unwrap();
    let wakes = store.wakes(partition(), 1).await.unwrap();
    assert_eq!(wakes.first().map(|(of, _)| of), Some(&room()));
    let key = format!("ol:{{p{}}}:wakes", partition().0);
    server.run::<()>(&["ZADD", &key, "0", "NOT A ROOM"]);
    assert_eq!(store.wakes(partition(), 1).await, Ok(wakes.clone()));
    assert_eq!(store.wakes(partition(), 9).await, Ok(wakes));
}
