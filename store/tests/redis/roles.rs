//! The rights of each role, and their limits.

use outlast_store::{
    Input, NodeId, Rooms, Seat, SeatRead, StoreError, Topic,
    redis::{Access, Redis, RedisSettings},
};
use outlast_testkit::RedisServer;

use crate::scene::{
    ANY_TIME, LAYOUT, TTL, claim, everything, input, next_commit, partition, patient,
};

#[test]
fn what_one_role_needs_another_may_not() {
    let server = RedisServer::start_for_users(&[]);
    let may = |user: &str, command: &str| {
        let mut words = vec!["ACL", "DRYRUN", user];
        words.extend(command.split(' '));
        server.run::<String>(&words) == "OK"
    };
    let (gateway, worker, sessions) = ("outlast-gateway", "outlast-worker", "outlast-sessions");
    for (command, who) in [
        (
            "EVALSHA x 1 ol:{p1}:topic",
            &[gateway, worker, sessions][..],
        ),
        (
            "EVALSHA x 2 ol:{p1}:topic ol:{p1}:room:chat/a",
            &[gateway, worker],
        ),
        ("HMGET ol:{p1}:room:chat/a end", &[gateway, worker]),
        ("DEL ol:{p1}:room:chat/a", &[worker]),
        ("EVALSHA_RO x 1 ol:{p1}:log:chat/a", &[gateway, worker]),
        ("XREAD STREAMS ol:{p1}:topic 0", &[worker]),
        ("XADD ol:{p1}:log:chat/a 1-1 entry x", &[worker]),
        ("EVALSHA x 1 ol:{p1}:log:chat/a", &[worker]),
        ("EVALSHA x 2 ol:{p1}:lease ol:{p1}:epoch", &[worker]),
        ("HSET ol:{p1}:room:chat/a end 1-1", &[worker]),
        ("SPUBLISH ol:{p1}:live:chat/a x", &[worker]),
        (
            "HMGET ol:{s1}:session:x version owner",
            &[gateway, worker, sessions],
        ),
        ("HSET ol:{s1}:session:x owner y", &[gateway, sessions]),
        ("EVALSHA x 2 ol:{s1}:lease ol:{s1}:epoch", &[sessions]),
        ("ZRANGE ol:{s1}:owned - + BYLEX", &[gateway, sessions]),
        ("SSUBSCRIBE ol:{p1}:live:chat/a", &[gateway, worker]),
        (
            "SSUBSCRIBE ol:{p1}:live:stats/fleet",
            &[gateway, worker, sessions],
        ),
        ("XLEN ol:{p1}:topic", &[gateway, worker, sessions]),
        ("ZCARD ol:{s1}:due", &[sessions]),
        ("PUBLISH ol:nudge x", &[gateway, worker, sessions]),
        ("HGET other x", &[]),
        ("SUBSCRIBE other", &[]),
        ("KEYS *", &[]),
        ("SCAN 0", &[]),
        ("FLUSHALL", &[]),
        ("CONFIG GET *", &[]),
        ("ACL LIST", &[]),
        ("CLIENT LIST", &[]),
        ("EVAL x 0", &[]),
        ("FUNCTION LIST", &[]),
        ("DEBUG SLEEP 1", &[]),
        ("SHUTDOWN", &[]),
        ("REPLICAOF NO ONE", &[]),
        ("CLUSTER RESET", &[]),
        ("MONITOR", &[]),
    ] {
        for user in [gateway, worker, sessions] {
            assert_eq!(may(user, command), who.contains(&user), "{user}: {command}");
        }
        assert_eq!(
            may("outlast", command),
            !who.is_empty(),
            "outlast: {command}"
        );
    }
}

/// An ACL file of a version that did not know yet of taking up what was kept unread.
#[tokio::test]
async fn w2_who_may_not_do_all_of_a_commit_does_nothing_of_it() {
    let server = RedisServer::start_for_users(&[]);
    let settings = RedisSettings {
        access: everything(),
        ..patient()
    };
    let store = Redis::connect(&server.url(), LAYOUT, settings).await;
    let store = store.unwrap();
    let me = NodeId::from("gateway");
    let epoch = claim(&*store, TTL).await;
    let mut first = next_commit(&*store, epoch, &me).await;
    first.unread = vec!["kept".into()];
    store.commit(&first).await.unwrap();
    let mut second = next_commit(&*store, epoch, &me).await;
    second.reread = 1;

    server.run::<()>(&["ACL", "SETUSER", "outlast", "-ltrim"]);
    let refused = store.commit(&second).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(store.cursor(partition()).await, Ok(first.to));

    server.run::<()>(&["ACL", "SETUSER", "outlast", "+ltrim"]);
    store.commit(&second).await.unwrap();
    assert_eq!(store.unread(partition(), 9).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_gateway_may_see_where_sessions_sit() {
    let server = RedisServer::start_for_users(&[]);
    let connect = async |access| {
        let settings = RedisSettings {
            access,
            ..patient()
        };
        let store = Redis::connect(&server.url(), LAYOUT, settings).await;
        store.unwrap()
    };
    let whole = connect(everything()).await;
    let epoch = claim(&*whole, TTL).await;
    let commit = next_commit(&*whole, epoch, &NodeId::from("gateway")).await;
    whole.commit(&commit).await.unwrap();

    let gateway = Access {
        user: Some("outlast-gateway".into()),
        ..everything()
    };
    let store = connect(gateway).await;
    let (sid, _) = commit.rooms[0].seats[0];
    let inputs = vec![Input { sid, ..input() }, input()];
    let seen = store.arrive(partition(), ANY_TIME, inputs).await.unwrap();
    let last = commit.rooms[0].entries[0].pos;
    let seat = Seat::default();
    assert_eq!(seen, [Some(SeatRead { seat, last }), None]);
}
