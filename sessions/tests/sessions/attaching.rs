//! Opening, resuming, taking over.

use std::time::{Duration, Instant};

use outlast_protocol::Sid;
use outlast_sessions::{SessionError, SessionSettings, Sessions};
use outlast_store::{NodeId, Nudge};
use outlast_testkit::{eventually, seeded};
use rand::RngExt;
use tokio::task::JoinSet;

use crate::world::{Ear, World, kill_after, quick, room, user};

#[tokio::test]
async fn s1_open_makes_a_session_and_the_store_never_sees_its_key() {
    let world = World::new(quick());
    let gateway = NodeId::from("gateway1");
    let opened = world.sessions.open(user("ada"), &gateway).await.unwrap();
    assert_eq!(opened.sid.get_version_num(), 7);
    assert_eq!(opened.generation, 1);
    assert!(opened.key.len() >= 22, "128 bits are 22 letters of base64");
    assert!(opened.rooms.is_empty());
    assert!(world.holds(&gateway, opened.sid).await);

    let record = world.record(opened.sid).await.record.unwrap().value;
    let record = std::str::from_utf8(&record).unwrap();
    assert!(!record.contains(&opened.key), "{record}");
    assert!(
        !format!("{opened:?}").contains(&opened.key),
        "nor does a log"
    );
}

#[tokio::test]
async fn s2_another_process_can_resume_as_soon_as_open_has_answered() {
    let world = World::new(quick());
    let here = world
        .open(&"gateway1".into(), &[room("a"), room("b")])
        .await;
    let elsewhere = Sessions::new(world.store.clone(), quick());
    let sid = here.sid.to_string();
    let there = elsewhere
        .resume(&sid, &here.key, None, &"gateway2".into())
        .await
        .unwrap();
    assert_eq!(there.sid, here.sid);
    assert_eq!(there.identity, here.identity);
    assert_eq!(there.rooms, [room("a"), room("b")]);
    assert!(world.holds(&"gateway2".into(), here.sid).await);
    assert!(!world.holds(&"gateway1".into(), here.sid).await);
}

#[tokio::test]
async fn s3_a_resume_brings_a_new_key_and_the_next_generation() {
    let world = World::new(quick());
    let gateway = "gateway1".into();
    let mut last = world.open(&gateway, &[]).await;
    for generation in 2..6 {
        let next = world.resume(&last, &gateway).await.unwrap();
        assert_eq!(next.generation, generation);
        assert_ne!(next.key, last.key);
        last = next;
    }
}

#[tokio::test]
async fn s3_the_newest_key_works_and_the_last_used_and_no_other() {
    let world = World::new(quick());
    let gateway = "gateway1".into();
    let first = world.open(&gateway, &[]).await;
    let lost = world.resume(&first, &gateway).await.unwrap();
    // The answer was lost: the client comes with the first key again, and the lost one is void.
    let second = world.resume(&first, &gateway).await.unwrap();
    assert_eq!(world.resume(&lost, &gateway).await, Err(SessionError::Gone));
    let third = world.resume(&second, &gateway).await.unwrap();
    assert_eq!(
        world.resume(&first, &gateway).await,
        Err(SessionError::Gone)
    );
    world.resume(&second, &gateway).await.unwrap();
    assert_eq!(
        world.resume(&third, &gateway).await,
        Err(SessionError::Gone)
    );
}

#[tokio::test]
async fn s3_a_client_whose_gateway_died_in_the_middle_of_a_resume_comes_back() {
    let world = World::new(quick());
    let mut random = seeded();
    let mut last = world.open(&"gateway1".into(), &[]).await;
    let mut cut_off = 0;
    for _ in 0..200 {
        let polls = random.random_range(0..6);
        match kill_after(polls, world.resume(&last, &"gateway1".into())).await {
            Some(resumed) => last = resumed.unwrap(),
            None => {
                cut_off += 1;
                let generation = last.generation;
                last = world.resume(&last, &"gateway2".into()).await.unwrap();
                assert!(last.generation > generation);
            }
        }
    }
    assert!((1..200).contains(&cut_off), "{cut_off} of 200 were cut off");
}

#[tokio::test]
async fn s2_a_resume_that_nobody_waits_for_leaves_no_session_attached() {
    let world = World::new(SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    });
    let gateway = "gateway1".into();
    for polls in 0..6 {
        let opened = world.open(&gateway, &[]).await;
        world
            .sessions
            .detach(opened.sid, 1, Duration::ZERO)
            .await
            .unwrap();
        if kill_after(polls, world.resume(&opened, &gateway))
            .await
            .is_some()
        {
            break;
        }
        // It may have been attached and then detached again, but does not stay attached.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        eventually("nobody holds the socket", async || {
            (!world.holds(&gateway, opened.sid).await).then_some(())
        })
        .await;
        assert!(world.exists(opened.sid).await);
    }
}

#[tokio::test]
async fn s8_an_open_that_nobody_waits_for_leaves_no_session_behind() {
    let world = World::new(SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    });
    let gateway = NodeId::from("gateway1");
    let keeper = world.keeper();
    for polls in 1..6 {
        if kill_after(polls, world.sessions.open(user("ada"), &gateway))
            .await
            .is_some()
        {
            break;
        }
    }
    let shard = world.store.layout().shard_of_user("ada");
    eventually("all but the one that was waited for are gone", async || {
        let left = world.store.owned(shard, &gateway, 9).await.unwrap();
        (left.len() == 1).then_some(())
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s4_unknown_ended_and_wrong_are_refused_alike() {
    let world = World::new(quick());
    let gateway = "gateway1".into();
    let opened = world.open(&gateway, &[]).await;
    let ended = world.open(&gateway, &[]).await;
    world.sessions.end(ended.sid, Some(1)).await.unwrap();
    let (sid, key) = (opened.sid.to_string(), opened.key.clone());
    for (sid, key) in [
        (sid.as_str(), "wrong"),
        (sid.as_str(), ""),
        (sid.as_str(), &ended.key),
        (&ended.sid.to_string(), &ended.key),
        (&Sid::now_v7().to_string(), &key),
        ("no uuid at all", &key),
        ("", &key),
    ] {
        // Whoever else the token names: first the key has to be right.
        let token = Some(user("somebody-else"));
        let refused = world
            .sessions
            .resume(sid, key, token.as_ref(), &gateway)
            .await;
        assert_eq!(refused, Err(SessionError::Gone), "{sid:?} {key:?}");
    }
    let token = Some(user("somebody-else"));
    let refused = world
        .sessions
        .resume(&sid, &key, token.as_ref(), &gateway)
        .await;
    assert_eq!(refused, Err(SessionError::OtherUser));
    assert!(
        world.resume(&opened, &gateway).await.is_ok(),
        "nothing of that has changed anything"
    );
}

#[tokio::test]
async fn s4_unknown_and_wrong_take_the_same_time() {
    // Whatever else the machine does comes in between once, and not each time.
    let mut apart = Vec::new();
    while apart.len() < 10 {
        match told_apart().await {
            None => return,
            Some(how) => apart.push(how),
        }
    }
    panic!("{apart:#?}");
}

/// Returns how the times tell them apart, if they do.
async fn told_apart() -> Option<String> {
    let world = World::new(quick());
    let gateway = "gateway1".into();
    let rooms: Vec<_> = (0..20).map(|number| room(&number.to_string())).collect();
    let opened = world.open(&gateway, &rooms).await;
    let known = opened.sid.to_string();
    let unknown = Sid::now_v7().to_string();
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..300 {
        for (times, sid) in times.iter_mut().zip([&*known, &*unknown, "none"]) {
            let began = Instant::now();
            let refused = world.sessions.resume(sid, "wrong", None, &gateway).await;
            times.push(began.elapsed());
            assert_eq!(refused, Err(SessionError::Gone));
        }
    }
    let [wrong, unknown, none] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let is_apart = |other: &Duration| {
        let apart = wrong.abs_diff(*other);
        apart >= Duration::from_millis(1) && apart >= wrong.mul_f64(0.3)
    };
    let other = [unknown, none].into_iter().find(is_apart)?;
    Some(format!("wrong key {wrong:?}, no such session {other:?}"))
}

#[tokio::test]
async fn s5_a_newer_socket_takes_over_and_the_older_has_no_say() {
    let world = World::new(quick());
    let (one, two) = (NodeId::from("gateway1"), NodeId::from("gateway2"));
    let mut ear = Ear::of(&world, &one).await;
    let opened = world.open(&one, &[room("a")]).await;
    let sid = opened.sid;
    let there = world.resume(&opened, &two).await.unwrap();
    assert_eq!(ear.hear().await, Nudge::TakenOver { sid, generation: 2 });

    let before = world.record(sid).await.record;
    let late = &world.sessions;
    let superseded = Err(SessionError::Superseded);
    assert_eq!(late.add_room(sid, 1, &room("b")).await, superseded);
    assert_eq!(late.remove_room(sid, 1, &room("a")).await, superseded);
    assert_eq!(late.renew(sid, 1, user("ada")).await, superseded);
    assert_eq!(late.detach(sid, 1, Duration::ZERO).await, superseded);
    assert_eq!(late.reclaim(sid, 1, &one).await, superseded);
    assert_eq!(late.end(sid, Some(1)).await, superseded);
    assert_eq!(world.record(sid).await.record, before);

    // Of a newer socket at the same gateway that one knows by itself.
    let mut ear = Ear::of(&world, &two).await;
    let here = world.resume(&there, &two).await.unwrap();
    world.resume(&here, &one).await.unwrap();
    assert_eq!(ear.hear().await, Nudge::TakenOver { sid, generation: 4 });
}

#[tokio::test]
async fn s5_of_many_resumes_at_once_each_that_succeeds_is_a_socket_of_its_own() {
    let world = World::new(quick());
    let mut overtaken = 0;
    for _ in 0..20 {
        let opened = world.open(&"gateway0".into(), &[]).await;
        let mut all = JoinSet::new();
        for number in 0..8 {
            let (sessions, opened) = (world.sessions.clone(), opened.clone());
            all.spawn(async move {
                let gateway = NodeId::from(format!("gateway{number}").as_str());
                let sid = opened.sid.to_string();
                let resumed = sessions.resume(&sid, &opened.key, None, &gateway).await;
                (gateway, resumed)
            });
        }
        let mut sockets = Vec::new();
        for (gateway, resumed) in all.join_all().await {
            match resumed {
                Ok(attached) => sockets.push((attached.generation, gateway, attached)),
                Err(SessionError::Superseded) => overtaken += 1,
                Err(error) => panic!("{error}"),
            }
        }
        sockets.sort_by_key(|(generation, _, _)| *generation);
        let generations: Vec<_> = sockets
            .iter()
            .map(|(generation, _, _)| *generation)
            .collect();
        assert_eq!(
            generations,
            (2..2 + sockets.len() as u64).collect::<Vec<_>>()
        );
        let (_, gateway, newest) = sockets.last().unwrap();
        assert!(
            world.holds(gateway, opened.sid).await,
            "the newest of {generations:?} has it"
        );
        assert!(world.resume(newest, gateway).await.is_ok());
    }
    assert!(
        overtaken > 0,
        "a resume takes nothing from one that came in between"
    );
}

#[tokio::test]
async fn s8_one_more_than_a_user_may_have_takes_nothing_from_those_there_are() {
    let world = World::new(SessionSettings {
        per_user_max: 3,
        ..quick()
    });
    let gateway = NodeId::from("gateway1");
    let mut all = JoinSet::new();
    for _ in 0..10 {
        let (sessions, gateway) = (world.sessions.clone(), gateway.clone());
        all.spawn(async move { sessions.open(user("ada"), &gateway).await });
    }
    let opened = all.join_all().await;
    let (opened, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!((opened.len(), refused.len()), (3, 7));
    let too_many = Err(SessionError::TooMany { max: 3 });
    assert!(refused.into_iter().all(|refused| refused == too_many));

    let opened: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    for session in &opened {
        // Attached, detached and resumed all count, once each.
        world
            .sessions
            .detach(session.sid, 1, Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(world.sessions.open(user("ada"), &gateway).await, too_many);
        assert!(world.resume(session, &gateway).await.is_ok());
    }
    assert!(world.sessions.open(user("another"), &gateway).await.is_ok());
    world.sessions.end(opened[0].sid, None).await.unwrap();
    assert!(world.sessions.open(user("ada"), &gateway).await.is_ok());
    assert_eq!(world.sessions.open(user("ada"), &gateway).await, too_many);
}

#[tokio::test]
async fn h6_a_newer_token_counts_and_one_of_another_user_does_not() {
    let world = World::new(quick());
    let gateway = "gateway1".into();
    let mut ada = user("ada");
    let opened = world.sessions.open(ada.clone(), &gateway).await.unwrap();
    ada.expires_at = Some(2_000_000_000);
    world
        .sessions
        .renew(opened.sid, 1, ada.clone())
        .await
        .unwrap();
    let other = world
        .sessions
        .renew(opened.sid, 1, user("somebody-else"))
        .await;
    assert_eq!(other, Err(SessionError::OtherUser));
    let resumed = world.resume(&opened, &gateway).await.unwrap();
    assert_eq!(resumed.identity, ada);

    ada.rooms = Some(vec!["chat/*".into()]);
    let sid = opened.sid.to_string();
    let token = Some(ada.clone());
    let resumed = world
        .sessions
        .resume(&sid, &resumed.key, token.as_ref(), &gateway)
        .await
        .unwrap();
    assert_eq!(resumed.identity, ada);
}
