//! Keepers that share, overlap, and are killed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use outlast_protocol::Sid;
use outlast_sessions::{SessionError, SessionSettings};
use outlast_store::{LeaseName, NodeId, RecordWrite, WriteOutcome};
use outlast_testkit::{PATIENCE, eventually, seeded};
use rand::RngExt;
use tokio::time::sleep;

use crate::world::{Gateway, World, a_while, quick, room, user};

impl World {
    /// Returns the holder of each shard's lease.
    async fn holders(&self) -> Vec<Option<NodeId>> {
        let names: Vec<_> = self
            .store
            .layout()
            .all_shards()
            .map(LeaseName::Shard)
            .collect();
        let survey = self.store.lease_holders(&names).await.unwrap();
        survey.into_iter().map(|lease| lease.owner).collect()
    }

    /// Returns the number of shards that each keeper holds, once all are held.
    async fn spread(&self) -> Option<Vec<usize>> {
        let holders: Option<Vec<_>> = self.holders().await.into_iter().collect();
        let mut holders = holders?;
        holders.sort();
        let mut counts: Vec<_> = holders.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
        counts.sort();
        Some(counts)
    }
}

#[tokio::test]
async fn keepers_share_the_shards_and_hand_over_at_once() {
    let world = World::new(SessionSettings {
        lease_ms: 600_000,
        ..quick()
    });
    let one = world.keeper();
    eventually("one has all", async || {
        (world.spread().await? == [4]).then_some(())
    })
    .await;
    let two = world.keeper();
    eventually("they share", async || {
        (world.spread().await? == [2, 2]).then_some(())
    })
    .await;
    one.stop().await;
    // The leases would last for longer than that is waited for.
    eventually("the other has all", async || {
        (world.spread().await? == [4]).then_some(())
    })
    .await;
    two.stop().await;
    assert_eq!(world.holders().await, [None, None, None, None]);
}

#[tokio::test]
async fn s2_another_keeper_takes_over_from_one_that_was_killed() {
    let world = World::new(quick());
    let one = world.keeper();
    let two = world.keeper();
    eventually("they share", async || {
        (world.spread().await? == [2, 2]).then_some(())
    })
    .await;
    one.kill().await;
    let mut opened = Vec::new();
    for _ in 0..16 {
        let session = world.open(&"gateway1".into(), &[room("a")]).await;
        world
            .sessions
            .detach(session.sid, 1, Duration::ZERO)
            .await
            .unwrap();
        opened.push(session.sid);
    }
    for sid in opened {
        eventually("it is gone", async || {
            (!world.exists(sid).await).then_some(())
        })
        .await;
        let seat = world.seat(&room("a"), sid).await;
        assert_eq!((seat.turns, seat.over.as_deref()), (1, Some("expired")));
    }
    two.stop().await;
}

/// Keepers are killed at random moments and others started, two at a time, while sessions are lost, come
/// back, end and expire. In the end every room knows, and none was told anything wrong.
pub(crate) async fn keepers_may_be_killed_at_any_moment(world: World) {
    let mut random = seeded();
    let one = NodeId::from("gateway1");
    let gateway = Gateway::start(&world, &one, vec![]).await;
    let rooms: Vec<_> = (0..6).map(|number| room(&number.to_string())).collect();
    let (mut lost, mut returned, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..120 {
        let from = random.random_range(0..4);
        let session = world.open(&one, &rooms[from..from + 2]).await;
        match number % 3 {
            0 => lost.push(session),
            1 => returned.push(session),
            _ => ended.push(session),
        }
    }
    let lost_ms = world.now_ms().await;
    for session in lost.iter().chain(&returned) {
        world
            .sessions
            .detach(session.sid, 1, Duration::ZERO)
            .await
            .unwrap();
    }

    let mut keepers = vec![world.keeper(), world.keeper()];
    let deadline = Instant::now() + PATIENCE;
    let (mut kills, mut left) = (0, true);
    while left || !returned.is_empty() || !ended.is_empty() {
        assert!(
            Instant::now() < deadline,
            "not all of them came to their end"
        );
        a_while(&mut random, Duration::from_millis(150)).await;
        let victim = random.random_range(0..2);
        keepers.remove(victim).kill().await;
        kills += 1;
        keepers.push(world.keeper());
        for _ in 0..3 {
            if let Some(session) = returned.pop() {
                match world.resume(&session, &one).await {
                    Ok(back) => world.sessions.end(back.sid, Some(2)).await.unwrap(),
                    // On a busy machine it may come too late.
                    Err(gone) => {
                        assert_eq!(gone, SessionError::Gone);
                        let now_ms = world.now_ms().await;
                        assert!(now_ms >= lost_ms + world.settings.ttl_ms, "gone too early");
                    }
                }
                lost.push(session);
            }
            if let Some(session) = ended.pop() {
                world.sessions.end(session.sid, None).await.unwrap();
                lost.push(session);
            }
        }
        left = false;
        for session in &lost {
            left |= world.exists(session.sid).await;
        }
    }
    println!("{kills} keepers were killed");
    for session in lost {
        for room in &session.rooms {
            let seat = world.seat(room, session.sid).await;
            assert!(
                seat.over.is_some(),
                "{room} was not told that {} is over",
                session.sid
            );
            assert!(seat.turns <= 1, "{seat:?}");
        }
        let gone = world.resume(&session, &one).await;
        assert_eq!(gone, Err(SessionError::Gone));
    }
    for keeper in keepers {
        keeper.stop().await;
    }
    gateway.die();
}

#[tokio::test]
async fn s6_s7_keepers_may_be_killed_at_any_moment() {
    let settings = SessionSettings {
        lease_ms: 300,
        ..quick()
    };
    keepers_may_be_killed_at_any_moment(World::new(settings)).await;
}

#[tokio::test]
async fn a_record_of_another_version_is_left_alone_and_holds_nobody_up() {
    let world = World::new(quick());
    let opened = world
        .sessions
        .open(user("ada"), &"dead".into())
        .await
        .unwrap();
    world
        .sessions
        .add_room(opened.sid, 1, &room("a"))
        .await
        .unwrap();
    let mut foreign = Vec::new();
    for _ in 0..300 {
        // More than a keeper takes on at a time, due before that one, and in the same shard.
        let sid = world.store.layout().place(Sid::nil(), "ada");
        let sid = Sid::from_u128(sid.as_u128() + 256 * foreign.len() as u128);
        let write = RecordWrite {
            sid,
            expect: 0,
            value: Some(Bytes::from_static(br#"{"v":9}"#)),
            due_ms: Some(1),
            owner: Some("dead".into()),
            group: None,
        };
        let shard = world.store.layout().shard(&sid);
        let written = world.store.write(shard, write).await.unwrap();
        assert_eq!(written, WriteOutcome::Done { version: 1 });
        foreign.push(sid);
    }
    let keeper = world.keeper();
    eventually("told away", async || {
        world.told_away(&room("a"), opened.sid).await
    })
    .await;
    eventually("it is gone", async || {
        (!world.exists(opened.sid).await).then_some(())
    })
    .await;
    for sid in foreign {
        assert_eq!(world.record(sid).await.record.unwrap().version, 1);
        let resumed = world
            .sessions
            .resume(&sid.to_string(), "", None, &"g".into())
            .await;
        assert!(
            matches!(resumed, Err(SessionError::Unreadable(_))),
            "{resumed:?}"
        );
    }
    sleep(Duration::from_millis(10)).await;
    keeper.stop().await;
}
