//! The faults of a store in another process: it loses answers, and is away.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use outlast_sessions::{SessionError, SessionSettings};
use outlast_store::NodeId;
use outlast_testkit::{PATIENCE, RedisServer, eventually, seeded};
use tokio::time::sleep;

use crate::{
    keepers::keepers_may_be_killed_at_any_moment,
    world::{Gateway, World, a_while, connect, quick, room, user},
};

#[tokio::test]
async fn s6_s7_keepers_may_be_killed_at_any_moment_on_redis() {
    let server = RedisServer::start();
    let settings = SessionSettings {
        lease_ms: 300,
        ..quick()
    };
    let store = connect(&server.address(), PATIENCE).await;
    keepers_may_be_killed_at_any_moment(World::on(store, settings)).await;
}

/// The longest time that a command may take: long enough for a busy machine.
const COMMAND: Duration = Duration::from_millis(1_000);

/// The time for which the store stalls.
const STALL: Duration = Duration::from_millis(1_200);

#[tokio::test(flavor = "multi_thread")]
async fn s3_a_resume_whose_answer_the_store_loses_is_made_or_can_be_repeated() {
    let server = RedisServer::start();
    let store = connect(&server.address(), COMMAND).await;
    let world = World::on(
        store,
        SessionSettings {
            ttl_ms: 60_000,
            ..quick()
        },
    );
    let gateway = NodeId::from("gateway1");
    let mut random = seeded();
    let open = async || world.sessions.open(user("ada"), &gateway).await.ok();
    let mut last = eventually("a session is open", open).await;
    let (mut made, mut failed) = (0, 0);
    let done = tokio_util::sync::CancellationToken::new();
    let cuts = {
        let done = done.clone();
        tokio::spawn(async move {
            while !done.is_cancelled() {
                // What it was sent while it was halted it does afterwards, when nobody waits any more.
                server.signal("STOP");
                sleep(STALL).await;
                server.signal("CONT");
                a_while(&mut random, Duration::from_millis(50)).await;
                server.run::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                a_while(&mut random, Duration::from_millis(50)).await;
            }
            server
        })
    };
    let deadline = Instant::now() + PATIENCE;
    while (made < 20 || failed < 5) && Instant::now() < deadline {
        match world.resume(&last, &gateway).await {
            Ok(resumed) => {
                assert!(resumed.generation > last.generation);
                (last, made) = (resumed, made + 1);
            }
            Err(SessionError::Store(_)) => {
                failed += 1;
                sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("after {made} resumes: {error}"),
        }
    }
    done.cancel();
    let _server = cuts.await.unwrap();
    println!("{made} were made, {failed} failed");
    assert!(made > 0 && failed > 0, "{made} were made, {failed} failed");
    until_resumed(&world, last, &gateway).await;
}

async fn until_resumed(world: &World, last: outlast_sessions::Attachment, gateway: &NodeId) {
    eventually("resumed", async || world.resume(&last, gateway).await.ok()).await;
}

#[tokio::test]
async fn s7_a_store_that_is_away_is_waited_for_and_costs_nobody_its_session() {
    let server = RedisServer::start();
    let settings = SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    };
    let world = World::on(connect(&server.address(), 4 * COMMAND).await, settings);
    let keeper = world.keeper();
    let (alive, dead) = (NodeId::from("gateway1"), NodeId::from("gateway2"));
    let one = Gateway::start(&world, &alive, vec![]).await;
    let two = Gateway::start(&world, &dead, vec![]).await;
    let here = world.open(&alive, &[room("a")]).await;
    let there = world.open(&dead, &[room("b")]).await;
    let closes = world.open(&alive, &[room("c")]).await;
    sleep(Duration::from_secs(2)).await;

    server.signal("STOP");
    two.die();
    let detached = {
        let (sessions, sid) = (world.sessions.clone(), closes.sid);
        tokio::spawn(async move { sessions.detach(sid, 1, Duration::ZERO).await })
    };
    sleep(8 * COMMAND).await;
    assert!(
        !detached.is_finished(),
        "a lost socket is not forgotten meanwhile"
    );
    // The store's clock is that of this machine.
    let back_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    server.signal("CONT");
    detached.await.unwrap().unwrap();
    for (session, room) in [(&there, room("b")), (&closes, room("c"))] {
        let told_ms = eventually("told away", async || {
            world.told_away(&room, session.sid).await
        })
        .await;
        let after_ms = told_ms - back_ms;
        assert!(
            after_ms >= world.settings.grace_ms,
            "told {after_ms} ms after the outage"
        );
    }
    assert!(world.holds(&alive, here.sid).await);
    assert_eq!(world.told(&room("a")).await, []);
    one.die();
    keeper.stop().await;
}
