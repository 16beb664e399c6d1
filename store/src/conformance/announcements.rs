use std::time::Duration;

use outlast_protocol::{Pos, RoomName, Sid};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Harness,
    fixture::{
        PATIENCE, Writer, at, events, hear, heard_until, json, more, neighbours, room, unchanged,
    },
};
use crate::{Announcement, Answer, NodeId, Nudge, Reply, RoomCommit, StoreEvent};

pub async fn e1_news_of_a_room_are_heard_in_the_order_of_the_commits(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let [one, two] = neighbours(a.layout());
    let (subscriptions, mut listener) = b.listen(&"gateway".into()).await.unwrap();
    subscriptions.subscribe(&one).await.unwrap();
    subscriptions.subscribe(&two).await.unwrap();
    let mut writer = Writer::of(&a, &one).await;
    for round in 0..30 {
        let behind = at(round * 2);
        let rooms = vec![more(&one, behind, 2), more(&two, behind, 2)];
        writer.commit(writer.commit_of(rooms)).await;
    }
    let mut stands = [(one, 0), (two, 0)];
    for _ in 0..60 {
        let heard = hear(&mut listener).await;
        let StoreEvent::Room(news) = &heard else {
            panic!("{heard:?}");
        };
        let stand = stands
            .iter_mut()
            .find(|(room, _)| *room == news.room)
            .unwrap();
        assert_eq!(news.entries, events(at(stand.1), 2));
        stand.1 += 2;
    }
}

pub async fn a_room_that_nobody_asked_for_is_not_heard(harness: &dyn Harness) {
    let store = harness.connect().await;
    let [asked, other, dropped] = neighbours(store.layout());
    let (subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    subscriptions.subscribe(&dropped).await.unwrap();
    subscriptions.subscribe(&asked).await.unwrap();
    subscriptions.subscribe(&asked).await.unwrap();
    subscriptions.unsubscribe(&dropped);
    let mut writer = Writer::of(&store, &asked).await;
    writer.write(more(&other, Pos::START, 1)).await;
    writer.write(more(&asked, Pos::START, 1)).await;
    // Nothing happened here that anybody would want to know.
    writer
        .write(RoomCommit {
            head: Some("h".into()),
            ..unchanged(&asked, at(1))
        })
        .await;
    writer.write(more(&asked, at(1), 1)).await;
    assert_eq!(hear(&mut listener).await, news(&asked, Pos::START, 1));
    assert_eq!(hear(&mut listener).await, news(&asked, at(1), 1));
}

pub async fn every_subscriber_hears_a_room(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let mut listeners = Vec::new();
    for (store, name) in [(&a, "one"), (&b, "two"), (&b, "three")] {
        let (subscriptions, listener) = store.listen(&name.into()).await.unwrap();
        subscriptions.subscribe(&room).await.unwrap();
        listeners.push((subscriptions, listener));
    }
    let mut writer = Writer::of(&a, &room).await;
    writer.write(more(&room, Pos::START, 1)).await;
    for (_, listener) in &mut listeners {
        assert_eq!(hear(listener).await, news(&room, Pos::START, 1));
    }
    // One that goes takes nothing from the others.
    drop(listeners.remove(1));
    writer.write(more(&room, at(1), 1)).await;
    for (_, listener) in &mut listeners {
        assert_eq!(hear(listener).await, news(&room, at(1), 1));
    }
}

pub async fn within_a_commit_rooms_come_before_replies(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let me = NodeId::from("gateway");
    let (subscriptions, mut listener) = b.listen(&me).await.unwrap();
    subscriptions.subscribe(&room).await.unwrap();
    let mut writer = Writer::of(&a, &room).await;
    for round in 0..20 {
        let mut commit = writer.commit_of(vec![more(&room, at(round), 1)]);
        commit.replies = vec![
            (me.clone(), gap(&room, round * 2)),
            (me.clone(), gap(&room, round * 2 + 1)),
        ];
        writer.commit(commit).await;
    }
    for round in 0..20 {
        assert_eq!(hear(&mut listener).await, news(&room, at(round), 1));
        for reply in [round * 2, round * 2 + 1] {
            assert_eq!(
                hear(&mut listener).await,
                StoreEvent::Reply(gap(&room, reply))
            );
        }
    }
}

pub async fn replies_are_for_their_gateway_alone(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let room = room("chat/lobby");
    let (_a, mut one) = a.listen(&"one".into()).await.unwrap();
    let (_b, mut two) = b.listen(&"two".into()).await.unwrap();
    let mut writer = Writer::of(&a, &room).await;
    let mut commit = writer.commit_of(Vec::new());
    let replies = [
        ("two", answer_with_everything(&room)),
        ("nobody", gap(&room, 1)),
        ("one", gap(&room, 2)),
    ];
    commit.replies = replies.map(|(name, reply)| (name.into(), reply)).into();
    writer.commit(commit).await;
    assert_eq!(hear(&mut one).await, StoreEvent::Reply(gap(&room, 2)));
    assert_eq!(
        hear(&mut two).await,
        StoreEvent::Reply(answer_with_everything(&room))
    );
}

pub async fn signals_are_heard_and_not_kept(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let (subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    subscriptions.subscribe(&room).await.unwrap();
    let mut writer = Writer::of(&store, &room).await;
    let signals = vec![json("{\"typing\":true}"), json("\"\\n\\\"\u{1f980}\"")];
    let change = RoomCommit {
        signals: signals.clone(),
        ..unchanged(&room, Pos::START)
    };
    writer.write(change).await;
    let entries = Vec::new();
    let expected = Announcement {
        room: room.clone(),
        prev: Pos::START,
        entries,
        signals,
    };
    assert_eq!(hear(&mut listener).await, StoreEvent::Room(expected));
    assert_eq!(store.load(&room).await.unwrap().last, Pos::START);
}

pub async fn r4_news_name_the_entry_that_they_stand_behind(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let (subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    subscriptions.subscribe(&room).await.unwrap();
    let mut writer = Writer::of(&store, &room).await;
    let signal = |behind| RoomCommit {
        signals: vec![json("1")],
        ..unchanged(&room, behind)
    };
    let trim = RoomCommit {
        trim_below: Some(3),
        ..more(&room, at(2), 1)
    };
    let changes = vec![
        signal(Pos::START),
        more(&room, Pos::START, 2),
        signal(at(2)),
        trim,
        more(&room, at(3), 40),
        signal(at(43)),
    ];
    for change in &changes {
        writer.write(change.clone()).await;
    }
    for change in changes {
        let expected = Announcement {
            room: change.room,
            prev: change.prev,
            entries: change.entries,
            signals: change.signals,
        };
        assert_eq!(hear(&mut listener).await, StoreEvent::Room(expected));
    }
}

pub async fn nudges_reach_one_or_everybody(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let (_a, mut one) = a.listen(&"one".into()).await.unwrap();
    let (_b, mut two) = b.listen(&"two".into()).await.unwrap();
    let sid = Sid::now_v7();
    let taken = Nudge::TakenOver {
        sid,
        generation: 1 << 52,
    };
    a.nudge(Some(&"two".into()), &taken).await.unwrap();
    a.nudge(Some(&"nobody".into()), &taken).await.unwrap();
    a.nudge(None, &Nudge::Over { sid }).await.unwrap();
    b.nudge(Some(&"one".into()), &Nudge::Released)
        .await
        .unwrap();

    let both = [hear(&mut one).await, hear(&mut one).await];
    for expected in [Nudge::Over { sid }, Nudge::Released] {
        assert!(both.contains(&StoreEvent::Nudge(expected)), "{both:?}");
    }
    let both = [hear(&mut two).await, hear(&mut two).await];
    for expected in [taken, Nudge::Over { sid }] {
        assert!(both.contains(&StoreEvent::Nudge(expected)), "{both:?}");
    }
}

pub async fn e1_what_a_listener_missed_it_is_told_and_finds_in_the_log(harness: &dyn Harness) {
    let store = harness.connect().await;
    let room = room("chat/lobby");
    let me = NodeId::from("gateway");
    let (subscriptions, mut listener) = store.listen(&me).await.unwrap();
    subscriptions.subscribe(&room).await.unwrap();
    let mut writer = Writer::of(&store, &room).await;
    writer.write(more(&room, Pos::START, 1)).await;
    assert_eq!(hear(&mut listener).await, news(&room, Pos::START, 1));

    harness.interrupt().await;
    writer.write(more(&room, at(1), 2)).await;
    heard_until(&mut listener, &StoreEvent::Missed).await;
    let log = store.read_log(&room, 2, 99).await.unwrap();
    assert_eq!(log.entries, events(at(1), 2));

    // From now on everything is heard again, what was subscribed before and what is new alike: as soon as
    // that can be said, where there are several connections and this was the news of another one.
    let deadline = Instant::now() + PATIENCE;
    while subscriptions.subscribe(&room).await.is_err() {
        assert!(Instant::now() < deadline, "the room can be heard again");
        sleep(Duration::from_millis(5)).await;
    }
    let mut commit = writer.commit_of(vec![more(&room, at(3), 1)]);
    commit.replies = vec![(me.clone(), gap(&room, 1))];
    writer.commit(commit).await;
    let last = StoreEvent::Reply(gap(&room, 1));
    let heard = timeout_at(deadline, heard_until(&mut listener, &last))
        .await
        .unwrap();
    assert_eq!(heard.last(), Some(&news(&room, at(3), 1)));
}

fn news(room: &RoomName, behind: Pos, count: u64) -> StoreEvent {
    StoreEvent::Room(Announcement {
        room: room.clone(),
        prev: behind,
        entries: events(behind, count),
        signals: Vec::new(),
    })
}

fn gap(room: &RoomName, expect: u64) -> Reply {
    Reply {
        sid: Sid::nil(),
        room: room.clone(),
        answer: Answer::Gap { expect },
    }
}

fn answer_with_everything(room: &RoomName) -> Reply {
    let answer = Answer::Seated {
        generation: 4,
        member: Some(2),
        n: 1 << 52,
        pos: at(9),
        joined: Some(at(3)),
        state: Some(json("{\"a\\n\":[1.50,\"\u{1f980}\"]}")),
    };
    Reply {
        sid: Sid::max(),
        room: room.clone(),
        answer,
    }
}
