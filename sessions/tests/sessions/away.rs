//! Losing a socket, and coming back.

use std::time::Duration;

use outlast_sessions::SessionSettings;
use outlast_store::NodeId;
use outlast_testkit::eventually;
use tokio::time::sleep;

use crate::world::{Gateway, Lateness, World, quick, room};

#[tokio::test]
async fn s7_rooms_are_told_when_the_grace_is_over_and_no_more_than_two_seconds_later() {
    let world = World::new(quick());
    let keeper = world.keeper();
    let rooms = [room("a"), room("b"), room("c")];
    let opened = world.open(&"gateway1".into(), &rooms).await;
    let lateness = Lateness::watch();
    let lost_ms = world.now_ms().await;
    world
        .sessions
        .detach(opened.sid, 1, Duration::ZERO)
        .await
        .unwrap();
    for room in &rooms {
        let told_ms = eventually("told away", async || {
            world.told_away(room, opened.sid).await
        })
        .await;
        let after_ms = told_ms - lost_ms;
        let grace_ms = world.settings.grace_ms;
        let most_ms = lateness.stretch(grace_ms + 2_000);
        assert!(
            (grace_ms..most_ms).contains(&after_ms),
            "told after {after_ms} ms, not {grace_ms} to {most_ms}"
        );
    }
    keeper.stop().await;
}

#[tokio::test]
async fn s7_the_grace_counts_from_the_loss_also_where_that_is_noted_later() {
    let settings = SessionSettings {
        grace_ms: 3_600_000,
        ttl_ms: 7_200_000,
        ..quick()
    };
    let world = World::new(settings);
    let keeper = world.keeper();
    let room = room("a");
    let opened = world
        .open(&"gateway1".into(), std::slice::from_ref(&room))
        .await;
    world
        .sessions
        .detach(opened.sid, 1, world.sessions.grace())
        .await
        .unwrap();
    eventually("told away", async || {
        world.told_away(&room, opened.sid).await
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s7_who_returns_within_the_grace_was_never_away() {
    let settings = SessionSettings {
        grace_ms: 20_000,
        ttl_ms: 600_000,
        ..quick()
    };
    let world = World::new(settings);
    let keeper = world.keeper();
    let (one, room) = (NodeId::from("gateway1"), room("a"));
    let gateway = Gateway::start(&world, &one, vec![]).await;
    let mut last = world.open(&one, std::slice::from_ref(&room)).await;
    for _ in 0..4 {
        world
            .sessions
            .detach(last.sid, last.generation, Duration::ZERO)
            .await
            .unwrap();
        // A keeper looks at it in between.
        sleep(Duration::from_millis(700)).await;
        last = world.resume(&last, &one).await.unwrap();
    }
    world.jump_ahead(Duration::from_secs(30));
    sleep(Duration::from_millis(1_800)).await;
    assert_eq!(world.told(&room).await, []);
    gateway.die();
    keeper.stop().await;
}

#[tokio::test]
async fn s7_who_returns_later_is_told_away_once_each_time() {
    let world = World::new(SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    });
    let keeper = world.keeper();
    let (one, room) = (NodeId::from("gateway1"), room("a"));
    let gateway = Gateway::start(&world, &one, vec![]).await;
    let mut last = world.open(&one, std::slice::from_ref(&room)).await;
    for time in 1..=2 {
        world
            .sessions
            .detach(last.sid, last.generation, Duration::ZERO)
            .await
            .unwrap();
        eventually("told away", async || {
            (world.told(&room).await.len() == time).then_some(())
        })
        .await;
        sleep(Duration::from_millis(700)).await;
        assert_eq!(world.told(&room).await.len(), time, "once is enough");
        last = world.resume(&last, &one).await.unwrap();
    }
    gateway.die();
    keeper.stop().await;
}

#[tokio::test]
async fn s2_a_session_outlives_its_socket_by_its_ttl() {
    let world = World::new(SessionSettings {
        ttl_ms: 600_000,
        ..quick()
    });
    let keeper = world.keeper();
    let gateway = NodeId::from("gateway1");
    let mut last = world.open(&gateway, &[room("a")]).await;
    for _ in 0..3 {
        world
            .sessions
            .detach(last.sid, last.generation, Duration::ZERO)
            .await
            .unwrap();
        world.jump_ahead(Duration::from_secs(500));
        sleep(Duration::from_millis(700)).await;
        last = world
            .resume(&last, &gateway)
            .await
            .expect("it is still there");
        assert_eq!(last.rooms, [room("a")]);
    }
    keeper.stop().await;
}
