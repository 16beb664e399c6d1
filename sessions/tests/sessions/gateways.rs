//! Gateways that die, and gateways that only look dead.

use std::time::Duration;

use outlast_sessions::{SessionError, SessionSettings};
use outlast_store::{LeaseName, NodeId, Role};
use outlast_testkit::eventually;
use tokio::time::sleep;

use crate::world::{Gateway, Lateness, World, quick, room};

/// The longest time that a gateway may be silent.
const SILENCE: Duration = Duration::from_millis(1_500);

fn patient() -> SessionSettings {
    SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    }
}

#[tokio::test]
async fn s7_the_rooms_of_a_dead_gateways_sessions_are_told_in_time() {
    let settings = SessionSettings {
        grace_ms: 3_000,
        ..patient()
    };
    let world = World::new(settings);
    let keeper = world.keeper();
    let (dead, room) = (NodeId::from("gateway1"), room("a"));
    let gateway = Gateway::start(&world, &dead, vec![]).await;
    let mut opened = Vec::new();
    for _ in 0..50 {
        opened.push(world.open(&dead, std::slice::from_ref(&room)).await);
    }
    sleep(SILENCE * 2).await;
    assert!(
        world.holds(&dead, opened[0].sid).await,
        "it beats, so it lives"
    );
    let lateness = Lateness::watch();
    gateway.die();
    let (lost_ms, members) = world.store.nodes().await.unwrap();
    let beat = members.iter().find(|member| member.id == dead);
    let beat_ms = beat.unwrap().heard_ms;
    for session in &opened {
        let told_ms = eventually("told away", async || {
            world.told_away(&room, session.sid).await
        })
        .await;
        let grace_ms = world.settings.grace_ms;
        assert!(told_ms >= beat_ms + grace_ms, "told too early");
        let after_ms = told_ms - lost_ms;
        let most_ms = lateness.stretch(grace_ms + 2_000);
        assert!(
            after_ms < most_ms,
            "told after {after_ms}, not {most_ms} ms"
        );
    }
    eventually("it is struck off", async || {
        let (_, members) = world.store.nodes().await.unwrap();
        members.iter().all(|member| member.id != dead).then_some(())
    })
    .await;
    let back = world.resume(&opened[0], &"gateway2".into()).await.unwrap();
    assert_eq!((back.generation, back.rooms), (2, vec![room]));
    keeper.stop().await;
}

#[tokio::test]
async fn s7_an_owner_that_nobody_has_heard_of_is_dead_after_a_while() {
    let world = World::new(patient());
    let opened = world.open(&"stranger".into(), &[room("a")]).await;
    let keeper = world.keeper();
    eventually("told away", async || {
        world.told_away(&room("a"), opened.sid).await
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s7_an_outage_of_the_store_costs_nobody_its_session() {
    let world = World::new(patient());
    let keeper = world.keeper();
    let (alive, dead) = (NodeId::from("gateway1"), NodeId::from("gateway2"));
    let one = Gateway::start(&world, &alive, vec![]).await;
    let two = Gateway::start(&world, &dead, vec![]).await;
    let here = world.open(&alive, &[room("a")]).await;
    let there = world.open(&dead, &[room("b")]).await;
    sleep(SILENCE * 2).await;
    two.die();
    // To everybody who is heard of through the store, this is what an outage looks like from behind.
    world.jump_ahead(Duration::from_secs(30));
    let back_ms = world.now_ms().await;
    let told_ms = eventually("told away", async || {
        world.told_away(&room("b"), there.sid).await
    })
    .await;
    assert!(
        told_ms - back_ms >= world.settings.grace_ms,
        "the outage was no time to come back in"
    );
    assert!(world.holds(&alive, here.sid).await);
    assert_eq!(world.told(&room("a")).await, []);
    one.die();
    keeper.stop().await;
}

#[tokio::test]
async fn s7_a_gateway_that_was_taken_for_dead_reclaims_its_sessions() {
    let world = World::new(patient());
    let keeper = world.keeper();
    let (one, two) = (NodeId::from("gateway1"), NodeId::from("gateway2"));
    world.store.heartbeat(&one, Role::Gateway).await.unwrap();
    let stays = world.open(&one, &[room("a")]).await;
    let moves = world.open(&one, &[room("a")]).await;
    let ends = world.open(&one, &[room("a")]).await;
    for session in [&stays, &moves, &ends] {
        eventually("told away", async || {
            world.told_away(&room("a"), session.sid).await
        })
        .await;
    }
    world.resume(&moves, &two).await.unwrap();
    world.sessions.end(ends.sid, None).await.unwrap();

    eventually("it is struck off", async || {
        let (_, members) = world.store.nodes().await.unwrap();
        members.iter().all(|member| member.id != one).then_some(())
    })
    .await;
    assert!(
        world
            .store
            .heartbeat(&one, Role::Gateway)
            .await
            .unwrap()
            .unknown
    );
    let gateway = Gateway::start(&world, &one, vec![]).await;
    assert_eq!(world.sessions.reclaim(stays.sid, 1, &one).await, Ok(()));
    let superseded = Err(SessionError::Superseded);
    assert_eq!(world.sessions.reclaim(moves.sid, 1, &one).await, superseded);
    assert_eq!(
        world.sessions.reclaim(ends.sid, 1, &one).await,
        Err(SessionError::Gone)
    );
    assert!(world.holds(&one, stays.sid).await);
    let seat = world.seat(&room("a"), stays.sid).await;
    assert!(!seat.away, "its room knows that it is here");
    assert_eq!(seat.turns, 2);

    let before = world.record(stays.sid).await.record;
    assert_eq!(world.sessions.reclaim(stays.sid, 1, &one).await, Ok(()));
    assert_eq!(
        world.record(stays.sid).await.record,
        before,
        "once more is only a look"
    );
    gateway.die();
    keeper.stop().await;
}

#[tokio::test]
async fn s7_a_gateway_that_comes_back_halfway_finds_out() {
    let world = World::new(patient());
    let one = NodeId::from("gateway1");
    world.store.heartbeat(&one, Role::Gateway).await.unwrap();
    // Half of the shards are held by somebody who does nothing about them.
    let lease = Duration::from_secs(60);
    for shard in world.store.layout().all_shards().take(2) {
        let claimed = world
            .store
            .claim(LeaseName::Shard(shard), &"idle".into(), lease)
            .await;
        assert!(claimed.unwrap().is_some());
    }
    let mut opened = Vec::new();
    for _ in 0..40 {
        opened.push(world.open(&one, &[room("a")]).await);
    }
    let held = async || {
        let mut held = 0;
        for session in &opened {
            held += usize::from(world.holds(&one, session.sid).await);
        }
        held
    };
    let keeper = world.keeper();
    let kept = eventually("some are detached", async || {
        let held = held().await;
        (held < opened.len()).then_some(held)
    })
    .await;
    assert!(kept > 0, "those in the idle shards stay where they are");
    // Its beat is taken as any other: the keeper has not been able to strike it off.
    assert!(
        !world
            .store
            .heartbeat(&one, Role::Gateway)
            .await
            .unwrap()
            .unknown
    );
    let sockets = opened.iter().map(|session| (session.sid, 1)).collect();
    let gateway = Gateway::start(&world, &one, sockets).await;
    eventually("it has all of them again", async || {
        (held().await == opened.len()).then_some(())
    })
    .await;
    sleep(SILENCE).await;
    assert_eq!(held().await, opened.len(), "and keeps them");
    for session in &opened {
        assert!(!world.seat(&room("a"), session.sid).await.away);
    }
    gateway.die();
    keeper.stop().await;
}

#[tokio::test]
async fn s7_rooms_are_told_once_more_that_a_reclaimed_session_is_here() {
    let world = World::new(patient());
    let one = NodeId::from("gateway1");
    let opened = world.open(&one, &[room("a")]).await;
    // Lost and reclaimed within the grace: as far as the record says, its rooms know of nothing. But a
    // keeper that is held up may be about to tell them.
    world
        .sessions
        .detach(opened.sid, 1, Duration::ZERO)
        .await
        .unwrap();
    world.sessions.reclaim(opened.sid, 1, &one).await.unwrap();
    assert_eq!(world.told(&room("a")).await, []);
    let gateway = Gateway::start(&world, &one, vec![]).await;
    let keeper = world.keeper();
    sleep(SILENCE).await;
    world.jump_ahead(Duration::from_secs(20));
    eventually("told", async || {
        (world.told(&room("a")).await.len() == 1).then_some(())
    })
    .await;
    let seat = world.seat(&room("a"), opened.sid).await;
    assert_eq!((seat.generation, seat.away), (1, false));
    assert!(world.holds(&one, opened.sid).await);
    gateway.die();
    keeper.stop().await;
}
