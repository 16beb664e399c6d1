//! SPEC section 4.

use std::time::Duration;

use outlast_gateway::{Auth, GatewaySettings, Keys};
use outlast_protocol::RoomName;
use outlast_store::{Deadline, Input, RecordWrite, Request};
use outlast_testkit::{Client, PATIENCE, frames::say};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    handshake::{SECRET, token},
    support::{Setup, World},
};

const ROOM: &str = "chat/lobby";

#[tokio::test]
async fn s1_open_makes_a_session() {
    let world = World::start().await;
    let (_client, welcome) = world.open().await;
    assert_eq!(
        (&welcome["gen"], &welcome["ttl_ms"]),
        (&json!(1), &json!(120_000))
    );
    assert_eq!(
        welcome["limits"],
        json!({"frame_bytes": 65_536, "actions_per_s": 50})
    );
    assert_eq!(welcome["sid"].as_str().unwrap().as_bytes()[14], b'7');
    assert!(welcome["key"].as_str().unwrap().len() >= 22);
}

#[tokio::test]
async fn s2_a_session_outlives_its_socket_and_its_gateway() {
    let world = World::with(Setup {
        gateways: 2,
        ..Setup::default()
    })
    .await;
    let (client, welcome) = world.in_chat(ROOM, "Ada").await;
    world.gateways[0].serving.abort();
    drop(client);
    let mut client = Client::connect_with(world.gateways[1].address, &[])
        .await
        .unwrap();
    client.resume(&welcome, json!({ROOM: null})).await;
    let resumed = client.expect("resumed").await;
    assert_eq!(
        (&resumed["gen"], &resumed["sid"]),
        (&json!(2), &welcome["sid"])
    );
    client.expect("snapshot").await;
}

#[tokio::test]
async fn s3_the_newest_key_works_and_the_last_used_one() {
    let world = World::start().await;
    let (_client, first) = world.open().await;
    let mut client = world.connect().await;
    client.resume(&first, json!({})).await;
    let _lost = client.expect("resumed").await;
    // The answer to that was lost: the client comes with the first key once more.
    let mut client = world.connect().await;
    client.resume(&first, json!({})).await;
    let third = client.expect("resumed").await;
    assert_eq!(third["gen"], 3);
    let mut client = world.connect().await;
    client.resume(&third, json!({})).await;
    let fourth = client.expect("resumed").await;
    assert_ne!(third["key"], fourth["key"]);
    let mut client = world.connect().await;
    client.resume(&first, json!({})).await;
    client.expect_bye(4001).await;
}

#[tokio::test]
async fn s4_what_cannot_be_resumed_is_gone_whatever_the_cause() {
    let world = World::start().await;
    let (mut ended, welcome) = world.open().await;
    ended.send(json!({"t": "end"})).await;
    ended.expect_bye(4010).await;
    let (_other, other) = world.open().await;
    let unknown = json!({"sid": "0190163d-8694-739b-aea5-966c26f8ad90", "key": other["key"]});
    let no_sid = json!({"sid": "what", "key": other["key"]});
    let wrong_key = json!({"sid": other["sid"], "key": welcome["key"]});
    let mut reasons = Vec::new();
    for session in [&welcome, &unknown, &no_sid, &wrong_key] {
        let mut client = world.connect().await;
        client.resume(session, json!({})).await;
        reasons.push(client.expect_bye(4001).await);
    }
    assert!(reasons.iter().all(|bye| *bye == reasons[0]), "{reasons:?}");
}

#[tokio::test]
async fn s5_a_socket_that_acts_is_told_of_a_newer_one_that_nobody_announced() {
    let world = World::start().await;
    let (mut older, welcome) = world.in_chat(ROOM, "Ada").await;
    let room: RoomName = ROOM.parse().unwrap();
    let input = Input {
        room: room.clone(),
        sid: welcome["sid"].as_str().unwrap().parse().unwrap(),
        generation: 2,
        gateway: Some("died".into()),
        request: Request::Attached { view: false },
    };
    let partition = world.store.layout().partition(&room);
    let never = Deadline(u64::MAX >> 12);
    let appended = world.store.append(partition, never, vec![input]).await;
    appended.unwrap();
    older.send(say(ROOM, 2, "does anybody hear me?")).await;
    older.expect_bye(4002).await;
}

#[tokio::test]
async fn s5_a_silent_socket_goes_when_the_record_is_another_gateways() {
    let settings = GatewaySettings {
        verify_ms: 200,
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let (mut older, welcome) = world.open().await;
    let (mut other, _) = world.in_chat(ROOM, "Ada").await;
    let sid = welcome["sid"].as_str().unwrap().parse().unwrap();
    let shard = world.store.layout().shard(&sid);
    // As a gateway leaves it that is killed before it can nudge this one.
    let record = world.store.read(shard, &sid).await.unwrap().record;
    let record = record.unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    value["gen"] = json!(2);
    value["life"] = json!({"attached": {"gateway": "died"}});
    let write = RecordWrite {
        sid,
        expect: record.version,
        value: Some(value.to_string().into()),
        due_ms: None,
        owner: Some("died".into()),
        group: None,
    };
    world.store.write(shard, write).await.unwrap();
    older.expect_bye(4002).await;
    // Whoever stands as it should does not notice.
    other.send(say(ROOM, 2, "still here")).await;
    assert_eq!(other.expect("event").await["n"], 2);
}

#[tokio::test]
async fn s7_a_session_whose_socket_is_lost_is_not_taken_back_by_who_looks_after_all() {
    let verified_within = Duration::from_secs(2);
    let world = World::with(Setup {
        settings: GatewaySettings {
            verify_ms: verified_within.as_millis() as u64,
            ..GatewaySettings::default()
        },
        sessions: outlast_sessions::SessionSettings {
            grace_ms: 100,
            ..outlast_sessions::SessionSettings::default()
        },
        ..Setup::default()
    })
    .await;
    // So many that looking after them takes several turns: some are lost between being listed and their turn.
    let mut clients = Vec::new();
    for _ in 0..160 {
        clients.push(world.open().await);
    }
    let attached = async || {
        let mut owners = Vec::new();
        for shard in world.store.layout().all_shards() {
            owners.extend(world.store.owners(shard).await.unwrap());
        }
        !owners.is_empty()
    };
    assert!(attached().await);
    // From here on there is always somebody under way.
    tokio::time::sleep(verified_within).await;
    drop(clients);
    // Until all that were listed have had their turn.
    tokio::time::sleep(2 * verified_within).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while attached().await {
        assert!(Instant::now() < deadline, "one was taken back, for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn s5_a_newer_socket_takes_over_on_the_same_gateway_and_on_another() {
    let world = World::with(Setup {
        gateways: 2,
        ..Setup::default()
    })
    .await;
    for gateway in &world.gateways {
        let room = format!("chat/{}", gateway.address.port());
        let (mut older, welcome) = world.in_chat(&room, "Ada").await;
        let mut newer = Client::connect_with(gateway.address, &[]).await.unwrap();
        newer.resume(&welcome, json!({&room: null})).await;
        newer.expect("resumed").await;
        newer.expect("snapshot").await;
        newer.expect("live").await;
        let bye = older.expect_bye(4002).await;
        assert_eq!(bye["resume"], false);
        newer.send(say(&room, 2, "still here")).await;
        assert_eq!(newer.expect("event").await["n"], 2);
    }
}

#[tokio::test]
async fn s6_end_leaves_every_room_and_nothing_behind_it_counts() {
    let world = World::start().await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (mut bob, welcome) = world.in_chat(ROOM, "Bob").await;
    ada.expect("event").await;
    bob.send(json!({"t": "end"})).await;
    bob.send(say(ROOM, 2, "from beyond")).await;
    bob.expect_bye(4010).await;
    let left = ada.expect("event").await;
    assert_eq!(
        left["data"]["left"],
        json!({"member": 2, "reason": "ended"})
    );
    ada.expect_nothing(Duration::from_millis(300)).await;
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({})).await;
    bob.expect_bye(4001).await;
}

async fn with_grace(grace_ms: u64) -> World {
    let sessions = outlast_sessions::SessionSettings {
        grace_ms,
        ..Default::default()
    };
    World::with(Setup {
        sessions,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn s7_a_lost_socket_is_told_to_rooms_after_the_grace_and_its_return_too() {
    let world = with_grace(300).await;
    let (mut ada, _) = world.in_chat(ROOM, "Ada").await;
    let (bob, welcome) = world.in_chat(ROOM, "Bob").await;
    ada.expect("event").await;
    drop(bob);
    assert_eq!(ada.expect("event").await["data"], json!({"away": 2}));
    let mut bob = world.connect().await;
    bob.resume(&welcome, json!({ROOM: null})).await;
    bob.expect("resumed").await;
    assert_eq!(ada.expect("event").await["data"], json!({"back": 2}));
}

/// While a herd comes back, nothing is written of those who have yet to.
#[tokio::test]
async fn s2_a_lost_session_is_left_alone_while_others_come() {
    let world = with_grace(120_000).await;
    let life = async |sid| {
        let shard = world.store.layout().shard(&sid);
        let record = world.store.read(shard, &sid).await.unwrap().record;
        let value: serde_json::Value = serde_json::from_slice(&record.unwrap().value).unwrap();
        value["life"].as_object().unwrap().keys().next().cloned()
    };
    // Again where the machine paused for so long that the herd seemed to be over.
    for attempt in 1.. {
        let (lost, welcome) = world.open().await;
        let sid = welcome["sid"].as_str().unwrap().parse().unwrap();
        drop(lost);
        let start = Instant::now();
        let mut longest = Duration::ZERO;
        while start.elapsed() < Duration::from_millis(1_150) {
            let last = Instant::now();
            world.open().await;
            longest = longest.max(last.elapsed());
        }
        longest = longest.max(start.elapsed() - Duration::from_millis(1_150));
        let left_alone = life(sid).await.as_deref() == Some("attached");
        let deadline = Instant::now() + PATIENCE;
        while life(sid).await.as_deref() != Some("detached") {
            assert!(Instant::now() < deadline, "it is never detached");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if left_alone {
            return;
        }
        assert!(
            longest > Duration::from_millis(50) && attempt < 10,
            "{longest:?}"
        );
    }
}

#[tokio::test]
async fn s8_sessions_of_a_user_are_bounded() {
    let sessions = outlast_sessions::SessionSettings {
        per_user_max: 2,
        ..Default::default()
    };
    let auth = Auth::tokens(Keys::secret(SECRET).unwrap(), false);
    let world = World::with(Setup {
        auth,
        sessions,
        ..Setup::default()
    })
    .await;
    let mut clients = Vec::new();
    for (user, answer) in [
        ("ada", "welcome"),
        ("ada", "welcome"),
        ("ada", "bye"),
        ("bob", "welcome"),
    ] {
        let mut client = world.connect().await;
        client
            .send(json!({"t": "open", "token": token(user, 3_600, None)}))
            .await;
        if answer == "bye" {
            client.expect_bye(4009).await;
        } else {
            clients.push((client.expect(answer).await, client));
        }
    }
    // Coming back to a session makes none.
    let mut client = world.connect().await;
    client.resume(&clients[0].0, json!({})).await;
    client.expect("resumed").await;
}

#[tokio::test]
async fn s8_sockets_of_an_address_are_bounded() {
    let settings = GatewaySettings {
        sockets_per_address: Some(2),
        ..GatewaySettings::default()
    };
    let world = World::with_settings(settings).await;
    let (mut one, _) = world.open().await;
    let (two, _) = world.open().await;
    world.connect().await.expect_bye(4009).await;
    one.join_at_once(ROOM, 1, "Ada").await;
    drop(two);
    loop {
        let mut client = world.connect().await;
        client.send(json!({"t": "open"})).await;
        if client.frame().await["t"] == "welcome" {
            break;
        }
    }
}
