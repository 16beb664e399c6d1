//! The end of a session, and of its rooms' patience.

use std::time::Duration;

use outlast_sessions::{SessionError, SessionSettings};
use outlast_store::{Commit, Cursor, Deadline, Input, LeaseName, NodeId, Nudge, Request, TopicId};
use outlast_testkit::{eventually, seeded};
use rand::RngExt;

use crate::world::{Ear, MANY, NO_WAIT, World, kill_after, quick, room};

fn rooms(count: usize) -> Vec<outlast_protocol::RoomName> {
    (0..count).map(|number| room(&number.to_string())).collect()
}

#[tokio::test]
async fn s6_end_tells_every_room_and_leaves_nothing() {
    let world = World::new(quick());
    let gateway = NodeId::from("gateway1");
    let rooms = rooms(20);
    let opened = world.open(&gateway, &rooms).await;
    let sid = opened.sid;
    let left = room("left");
    world.sessions.add_room(sid, 1, &left).await.unwrap();
    world.sessions.remove_room(sid, 1, &left).await.unwrap();

    world.sessions.end(sid, Some(1)).await.unwrap();
    for room in &rooms {
        let told = world.told(room).await;
        let [
            (
                _,
                Input {
                    sid: of,
                    generation: 1,
                    gateway: None,
                    request,
                    ..
                },
            ),
        ] = &told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!(
            (of, request),
            (
                &sid,
                &Request::Over {
                    reason: "ended".into()
                }
            )
        );
    }
    assert!(world.told(&left).await.is_empty());
    assert!(!world.exists(sid).await);
    assert!(!world.holds(&gateway, sid).await);
    assert_eq!(
        world.resume(&opened, &gateway).await,
        Err(SessionError::Gone)
    );
    assert_eq!(
        world.sessions.add_room(sid, 1, &room("x")).await,
        Err(SessionError::Gone)
    );
    assert_eq!(
        world.sessions.end(sid, Some(1)).await,
        Err(SessionError::Gone)
    );
}

#[tokio::test]
async fn s6_a_session_ended_from_elsewhere_loses_its_socket() {
    let world = World::new(quick());
    let gateway = NodeId::from("gateway1");
    let mut ear = Ear::of(&world, &gateway).await;
    let opened = world.open(&gateway, &[room("a")]).await;
    world.sessions.end(opened.sid, None).await.unwrap();
    assert_eq!(ear.hear().await, Nudge::Over { sid: opened.sid });
}

#[tokio::test]
async fn s6_a_session_that_nobody_comes_back_to_expires() {
    let world = World::new(quick());
    let gateway = NodeId::from("gateway1");
    let keeper = world.keeper();
    let rooms = rooms(5);
    let opened = world.open(&gateway, &rooms).await;
    let lost_ms = world.now_ms().await;
    world
        .sessions
        .detach(opened.sid, 1, Duration::ZERO)
        .await
        .unwrap();
    for room in &rooms {
        eventually("the room is told", async || {
            world.seat(room, opened.sid).await.over
        })
        .await;
        let told = world.told(room).await;
        let (at_ms, over) = told.last().unwrap();
        assert_eq!(
            over.request,
            Request::Over {
                reason: "expired".into()
            }
        );
        assert!(
            *at_ms >= lost_ms + world.settings.ttl_ms,
            "expired too early"
        );
    }
    eventually("the record is gone", async || {
        (!world.exists(opened.sid).await).then_some(())
    })
    .await;
    assert_eq!(
        world.resume(&opened, &gateway).await,
        Err(SessionError::Gone)
    );
    keeper.stop().await;
}

#[tokio::test]
async fn s6_whoever_is_killed_while_it_ends_a_session_the_keeper_completes_it() {
    let world = World::new(SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    });
    let gateway = NodeId::from("gateway1");
    let mut random = seeded();
    let keeper = world.keeper();
    let mut cut_off = 0;
    for number in 0..60 {
        let rooms = [room(&format!("{number}-a")), room(&format!("{number}-b"))];
        let opened = world.open(&gateway, &rooms).await;
        let polls = random.random_range(0..8);
        let ended = kill_after(polls, world.sessions.end(opened.sid, Some(1))).await;
        cut_off += u32::from(ended.is_none());
        // Either it never began, and is ended once more, or it is completed.
        match world.sessions.end(opened.sid, Some(1)).await {
            Ok(()) | Err(SessionError::Gone) => {}
            Err(error) => panic!("{error}"),
        }
        eventually("it is gone", async || {
            (!world.exists(opened.sid).await).then_some(())
        })
        .await;
        for room in &rooms {
            assert_eq!(
                world.seat(room, opened.sid).await.over.as_deref(),
                Some("ended")
            );
        }
    }
    assert!((1..60).contains(&cut_off), "{cut_off} of 60 were cut off");
    keeper.stop().await;
}

#[tokio::test]
async fn s6_a_room_whose_topic_is_full_is_told_when_it_is_not_and_others_need_not_wait() {
    let world = World::new(SessionSettings {
        per_user_max: 1,
        ..quick()
    });
    let gateway = NodeId::from("gateway1");
    let (full, free) = (room("full"), room("free"));
    let layout = world.store.layout();
    let partition = layout.partition(&full);
    assert_ne!(partition, layout.partition(&free));
    let stuck = world.open(&gateway, std::slice::from_ref(&full)).await;
    let other = world.open(&gateway, std::slice::from_ref(&free)).await;

    let filler = Input {
        room: full.clone(),
        sid: outlast_protocol::Sid::now_v7(),
        generation: 1,
        gateway: None,
        request: Request::View,
    };
    let append = |count| {
        world
            .store
            .append(partition, Deadline(u64::MAX), vec![filler.clone(); count])
    };
    while append(10_000).await.is_ok() {}
    while append(1).await.is_ok() {}

    let keeper = world.keeper();
    world.sessions.end(stuck.sid, Some(1)).await.unwrap();
    assert_eq!(
        world.resume(&stuck, &gateway).await,
        Err(SessionError::Gone)
    );
    let anew = world.sessions.open(stuck.identity, &gateway).await;
    assert!(
        anew.is_ok(),
        "who is over does not count among the user's sessions (S8)"
    );
    world
        .sessions
        .detach(other.sid, 1, Duration::ZERO)
        .await
        .unwrap();
    eventually("the other's room is told", async || {
        world.seat(&free, other.sid).await.over
    })
    .await;
    assert!(
        world.exists(stuck.sid).await,
        "its room could not be told yet"
    );

    // A worker gets on with it, and room is made.
    let ttl = Duration::from_secs(60);
    let lease = world
        .store
        .claim(LeaseName::Partition(partition), &"worker".into(), ttl)
        .await;
    let start = TopicId::default();
    let topic = world
        .store
        .read_topic(partition, start, MANY, NO_WAIT)
        .await
        .unwrap();
    let applied = topic.last().unwrap().id;
    let commit = Commit {
        partition,
        epoch: lease.unwrap().unwrap().epoch,
        from: Cursor::default(),
        to: Cursor {
            topic: applied,
            commits: 1,
            tag: 1,
        },
        rooms: vec![],
        replies: vec![],
        unread: vec![],
        reread: 0,
        unnote: Vec::new(),
    };
    world.store.commit(&commit).await.unwrap();
    eventually("its room is told", async || {
        let behind = world
            .store
            .read_topic(partition, applied, MANY, NO_WAIT)
            .await;
        let told = behind
            .unwrap()
            .into_iter()
            .filter_map(|entry| entry.input.ok());
        told.filter(|input| input.sid == stuck.sid).find(|input| {
            input.request
                == Request::Over {
                    reason: "ended".into(),
                }
        })
    })
    .await;
    eventually("it is gone", async || {
        (!world.exists(stuck.sid).await).then_some(())
    })
    .await;
    keeper.stop().await;
}
