//! The mending of what one side has lost, and another still has (S9, S11), over both stores.

use std::time::Duration;

use outlast_protocol::Sid;
use outlast_sessions::{Attachment, Audit, Presence, SessionError, Sessions};
use outlast_store::{NodeId, conformance::Lost};
use outlast_testkit::{PATIENCE, RedisServer, eventually, proxy::Proxy};
use tokio::time::sleep;

use crate::world::{Gateway, MANY, World, connect, quick, room, user};

/// A store with a gateway that lives.
struct Scene {
    world: World,
    server: Option<RedisServer>,
    here: NodeId,
    gateway: Gateway,
}

impl Scene {
    async fn embedded() -> Self {
        Scene::on(World::new(quick()), None).await
    }

    async fn redis() -> Self {
        let server = RedisServer::start();
        let store = connect(&server.address(), PATIENCE).await;
        Scene::on(World::on(store, quick()), Some(server)).await
    }

    async fn on(world: World, server: Option<RedisServer>) -> Self {
        let here = NodeId::from("gateway1");
        let gateway = Gateway::start(&world, &here, vec![]).await;
        Scene {
            world,
            server,
            here,
            gateway,
        }
    }

    fn audit(&self) -> Audit {
        Audit::new(self.world.sessions.clone(), self.here.clone())
    }

    async fn open(&self, user_name: &str) -> Result<Attachment, SessionError> {
        self.world.sessions.open(user(user_name), &self.here).await
    }

    async fn lose(&self, sid: Sid, what: Lost) {
        self.world.lose(self.server.as_ref(), sid, what).await;
    }

    async fn is_attached(&self, sid: Sid) -> bool {
        is_attached(&self.world.sessions, sid).await
    }
}

async fn is_attached(sessions: &Sessions, sid: Sid) -> bool {
    let found = sessions.find(sid).await.unwrap();
    matches!(found.presence, Presence::Attached { .. })
}

#[tokio::test]
async fn s9_a_record_whose_gateway_has_no_socket_is_detached_in_the_second_pass() {
    detached_in_the_second_pass(Scene::embedded().await).await;
    detached_in_the_second_pass(Scene::redis().await).await;
}

async fn detached_in_the_second_pass(scene: Scene) {
    let keeper = scene.world.keeper();
    let ghost = scene.world.open(&scene.here, &[room("a")]).await;
    let held = scene.world.open(&scene.here, &[room("b")]).await;
    let came_back = scene.world.open(&scene.here, &[]).await;
    let here = vec![held.sid];
    let has = |sid: &Sid| *sid == held.sid;
    let mut audit = scene.audit();
    audit.pass(here.clone(), has).await.unwrap();
    assert!(
        scene.is_attached(ghost.sid).await,
        "it may be about to register"
    );
    scene.world.resume(&came_back, &scene.here).await.unwrap();

    audit.pass(here.clone(), has).await.unwrap();
    assert!(scene.is_attached(held.sid).await);
    assert!(
        scene.is_attached(came_back.sid).await,
        "that is another socket"
    );
    // Its rooms are told as if the socket had been lost, and in the end that it is over.
    eventually("its room is told that it is away", async || {
        scene.world.told_away(&room("a"), ghost.sid).await
    })
    .await;
    eventually("its room is told that it is over", async || {
        scene.world.seat(&room("a"), ghost.sid).await.over
    })
    .await;
    assert_eq!(scene.world.told(&room("b")).await, []);
    keeper.stop().await;
}

#[tokio::test]
async fn s9_an_outage_between_two_looks_counts_against_nobody() {
    let server = RedisServer::start();
    let store = connect(&server.address(), Duration::from_secs(1)).await;
    let scene = Scene::on(World::on(store, quick()), Some(server)).await;
    let signal = |name: &str| scene.server.as_ref().unwrap().signal(name);
    let ghost = scene.world.open(&scene.here, &[]).await;
    let mut audit = scene.audit();
    audit.pass(Vec::new(), |_| false).await.unwrap();

    signal("STOP");
    assert!(audit.pass(Vec::new(), |_| false).await.is_err());
    signal("CONT");
    eventually("the store answers", async || {
        scene.world.sessions.find(ghost.sid).await.ok()
    })
    .await;
    audit.pass(Vec::new(), |_| false).await.unwrap();
    assert!(scene.is_attached(ghost.sid).await, "that was a first look");
    audit.pass(Vec::new(), |_| false).await.unwrap();
    assert!(!scene.is_attached(ghost.sid).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s9_an_attach_that_is_written_too_late_is_detached() {
    let scene = Scene::redis().await;
    let redis = scene.server.as_ref().unwrap();
    let proxy = Proxy::start(&[redis.address()]).await;
    let slow = connect(&proxy.address(), Duration::from_millis(300)).await;
    let slow = Sessions::new(slow, quick_but_long());
    let opened = scene.open("ada").await.unwrap();
    scene
        .world
        .sessions
        .detach(opened.sid, 1, Duration::ZERO)
        .await
        .unwrap();

    proxy.hold_from("\"gen\":2");
    let sid = opened.sid.to_string();
    let resumed = slow.resume(&sid, &opened.key, None, &scene.here).await;
    assert!(
        matches!(resumed, Err(SessionError::Store(_))),
        "{resumed:?}"
    );
    proxy.holds(1).await;
    // It has been looked for by then, and was not there.
    sleep(Duration::from_secs(3)).await;
    proxy.release();
    eventually("it is written after all", async || {
        let found = scene.world.sessions.find(opened.sid).await.unwrap();
        (found.generation == 2).then_some(())
    })
    .await;
    assert!(scene.is_attached(opened.sid).await);

    let mut audit = scene.audit();
    audit.pass(Vec::new(), |_| false).await.unwrap();
    audit.pass(Vec::new(), |_| false).await.unwrap();
    assert!(!scene.is_attached(opened.sid).await);
}

fn quick_but_long() -> outlast_sessions::SessionSettings {
    outlast_sessions::SessionSettings {
        ttl_ms: 60_000,
        ..quick()
    }
}

#[tokio::test]
async fn s11_what_has_lost_its_record_counts_no_more() {
    counts_no_more(Scene::embedded().await).await;
    counts_no_more(Scene::redis().await).await;
}

async fn counts_no_more(scene: Scene) {
    let max = quick().per_user_max;
    let mut opened = Vec::new();
    for _ in 0..max {
        opened.push(scene.open("ada").await.unwrap());
    }
    for session in &opened {
        scene.lose(session.sid, Lost::Record).await;
    }
    assert_eq!(scene.open("ada").await, Err(SessionError::TooMany { max }));
    let keeper = scene.world.keeper();
    eventually("there is room for another", async || {
        scene.open("ada").await.ok()
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s11_a_deadline_without_a_record_keeps_no_keeper_busy() {
    keeps_nobody_busy(Scene::embedded().await).await;
    keeps_nobody_busy(Scene::redis().await).await;
}

async fn keeps_nobody_busy(scene: Scene) {
    let lost = scene.world.open(&scene.here, &[room("a")]).await;
    scene
        .world
        .sessions
        .detach(lost.sid, 1, Duration::ZERO)
        .await
        .unwrap();
    scene.lose(lost.sid, Lost::Record).await;
    let shard = scene.world.store.layout().shard(&lost.sid);
    assert_eq!(scene.world.store.waiting(shard).await, Ok(1));
    let keeper = scene.world.keeper();
    eventually("nothing waits", async || {
        let waiting = scene.world.store.waiting(shard).await.unwrap();
        (waiting == 0).then_some(())
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s11_a_dead_gateway_is_struck_off_whose_records_are_gone() {
    struck_off(Scene::embedded().await).await;
    struck_off(Scene::redis().await).await;
}

async fn struck_off(scene: Scene) {
    let lost = scene.world.open(&scene.here, &[]).await;
    scene.lose(lost.sid, Lost::Record).await;
    let Scene {
        world,
        gateway,
        here,
        server: _server,
    } = scene;
    gateway.die();
    let keeper = world.keeper();
    eventually("it is struck off", async || {
        let (_, members) = world.store.nodes().await.unwrap();
        let gone = members.iter().all(|member| member.id != here);
        gone.then_some(())
    })
    .await;
    let shard = world.store.layout().shard(&lost.sid);
    let owned = world.store.owned(shard, &here, MANY).await;
    assert_eq!(owned, Ok(Vec::new()));
    keeper.stop().await;
}

#[tokio::test]
async fn s11_what_has_lost_its_deadline_expires_all_the_same() {
    expires_all_the_same(Scene::embedded().await).await;
    expires_all_the_same(Scene::redis().await).await;
}

async fn expires_all_the_same(scene: Scene) {
    let session = scene.world.open(&scene.here, &[room("a")]).await;
    scene
        .world
        .sessions
        .detach(session.sid, 1, Duration::ZERO)
        .await
        .unwrap();
    scene.lose(session.sid, Lost::Due).await;
    let keeper = scene.world.keeper();
    eventually("its room is told that it is over", async || {
        scene.world.seat(&room("a"), session.sid).await.over
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s11_what_has_lost_its_owners_entry_is_detached_with_its_gateway() {
    detached_with_its_gateway(Scene::embedded().await).await;
    detached_with_its_gateway(Scene::redis().await).await;
}

async fn detached_with_its_gateway(scene: Scene) {
    let session = scene.world.open(&scene.here, &[room("a")]).await;
    scene
        .lose(session.sid, Lost::Owner(scene.here.clone()))
        .await;
    let Scene {
        world,
        gateway,
        server: _server,
        ..
    } = scene;
    gateway.die();
    let keeper = world.keeper();
    eventually("its room is told that it is over", async || {
        world.seat(&room("a"), session.sid).await.over
    })
    .await;
    keeper.stop().await;
}

#[tokio::test]
async fn s11_a_gateway_lists_what_has_a_socket_there() {
    lists_what_has_a_socket(Scene::embedded().await).await;
    lists_what_has_a_socket(Scene::redis().await).await;
}

async fn lists_what_has_a_socket(scene: Scene) {
    let session = scene.open("ada").await.unwrap();
    scene
        .lose(session.sid, Lost::Owner(scene.here.clone()))
        .await;
    scene.lose(session.sid, Lost::Group("ada".into())).await;
    assert!(!scene.world.holds(&scene.here, session.sid).await);
    let mut audit = scene.audit();
    audit.pass(vec![session.sid], |_| true).await.unwrap();
    assert!(scene.world.holds(&scene.here, session.sid).await);
    assert_eq!(
        scene.world.sessions.of_user("ada").await,
        Ok(vec![session.sid])
    );
}

#[tokio::test]
async fn l10_what_a_keeper_was_given_counts_for_a_gateway_too() {
    counts_for_a_gateway(Scene::embedded().await).await;
    counts_for_a_gateway(Scene::redis().await).await;
}

#[tokio::test]
async fn l10_what_the_first_keeper_of_an_emptied_store_was_given_is_decreed_at_once() {
    let scene = Scene::redis().await;
    let server = scene.server.as_ref().unwrap();
    server.run::<()>(&["HDEL", "ol:store", "ttl_ms", "grace_ms", "terms_decreed"]);
    scene.world.sessions.decree().await.unwrap();
    let given = outlast_store::Terms {
        ttl_ms: quick().ttl_ms,
        grace_ms: quick().grace_ms,
    };
    let others = outlast_store::Terms {
        ttl_ms: 7_200_000,
        ..given
    };
    assert_eq!(scene.world.store.uphold(others).await, Ok(given));
}

async fn counts_for_a_gateway(scene: Scene) {
    let other = Sessions::new(
        scene.world.store.clone(),
        outlast_sessions::SessionSettings {
            ttl_ms: 3_600_000,
            grace_ms: 1_800_000,
            ..quick()
        },
    );
    other.agree().await.unwrap();
    assert_eq!(
        other.ttl(),
        Duration::from_secs(3_600),
        "there is no keeper yet"
    );
    let keeper = scene.world.keeper();
    eventually(
        "the gateway goes by what the keeper was given",
        async || {
            other.agree().await.unwrap();
            (other.ttl().as_millis() as u64 == quick().ttl_ms).then_some(())
        },
    )
    .await;
    if let Some(server) = &scene.server {
        // Nobody but the gateway still knows.
        server.run::<()>(&["HDEL", "ol:store", "ttl_ms", "grace_ms"]);
        other.agree().await.unwrap();
        assert_eq!(other.ttl().as_millis() as u64, quick().ttl_ms);
        // In a store that was emptied, somebody else may be the first.
        let newcomer = Sessions::new(
            scene.world.store.clone(),
            outlast_sessions::SessionSettings {
                ttl_ms: 7_200_000,
                ..quick()
            },
        );
        server.run::<()>(&["HDEL", "ol:store", "ttl_ms", "grace_ms", "terms_decreed"]);
        newcomer.agree().await.unwrap();
        eventually("what the keeper decreed counts again", async || {
            newcomer.agree().await.unwrap();
            (newcomer.ttl().as_millis() as u64 == quick().ttl_ms).then_some(())
        })
        .await;
        other.agree().await.unwrap();
    }
    // What it writes is due when it is due.
    let session = other.open(user("ada"), &scene.here).await.unwrap();
    other.add_room(session.sid, 1, &room("a")).await.unwrap();
    other.detach(session.sid, 1, Duration::ZERO).await.unwrap();
    eventually("its room is told that it is over", async || {
        scene.world.seat(&room("a"), session.sid).await.over
    })
    .await;
    keeper.stop().await;
}
