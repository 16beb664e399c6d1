//! SPEC section 4, S9 and S10: who is there for one side and not for the other, over both stores.

use std::{sync::atomic::Ordering, time::Duration};

use outlast_protocol::Sid;
use outlast_store::{NodeId, Record, RecordWrite, SharedStore, StoreError, WriteOutcome};
use outlast_testkit::{Client, PATIENCE, eventually, frames::say};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    faulty::Faulty,
    support::{Setup, World, connect, forgetful},
};

const ROOM: &str = "chat/lobby";
const AUDIT_MS: u64 = 300;

fn setup() -> Setup {
    Setup {
        sessions: outlast_sessions::SessionSettings {
            ttl_ms: 3_000,
            grace_ms: 100,
            audit_ms: AUDIT_MS,
            ..outlast_sessions::SessionSettings::default()
        },
        worker: outlast_worker::WorkerSettings {
            audit_ms: Some(AUDIT_MS),
            ..outlast_worker::WorkerSettings::default()
        },
        ..Setup::default()
    }
}

async fn embedded() -> World {
    World::with(setup()).await
}

fn sid(welcome: &Value) -> Sid {
    welcome["sid"].as_str().unwrap().parse().unwrap()
}

async fn record(store: &SharedStore, sid: Sid) -> Option<Record> {
    let read = store.read(store.layout().shard(&sid), &sid).await;
    read.unwrap().record
}

/// Writes a record as it is given, whatever stands there.
async fn force(store: &SharedStore, sid: Sid, value: Option<Record>, owner: Option<NodeId>) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let expect = record(store, sid).await.map_or(0, |record| record.version);
        let write = RecordWrite {
            sid,
            expect,
            value: value.clone().map(|record| record.value),
            due_ms: None,
            owner: owner.clone(),
            group: None,
        };
        let written = store.write(store.layout().shard(&sid), write).await;
        if matches!(written, Ok(WriteOutcome::Done { .. })) {
            return;
        }
    }
    panic!("it cannot be written");
}

/// Waits until an event says this.
async fn hears(client: &mut Client, what: &str) -> Value {
    loop {
        let event = client.find("event").await;
        if event["data"].get(what).is_some() {
            return event["data"][what].clone();
        }
    }
}

#[tokio::test]
async fn s10_a_member_whose_record_is_gone_leaves_as_expired() {
    leaves_as_expired(embedded().await).await;
    let server = forgetful();
    leaves_as_expired(World::on(connect(&server).await, setup()).await).await;
}

async fn leaves_as_expired(world: World) {
    let (mut stays, _) = world.in_chat(ROOM, "Ada").await;
    let (ghost, welcome) = world.in_chat(ROOM, "Bob").await;
    drop(ghost);
    force(&world.store, sid(&welcome), None, None).await;
    let left = hears(&mut stays, "left").await;
    assert_eq!(left["reason"], "expired");
    // Who has a record is not touched, however silent.
    sleep(Duration::from_millis(4 * AUDIT_MS)).await;
    stays.send(say(ROOM, 2, "still here")).await;
    assert_eq!(hears(&mut stays, "said").await, "still here");
}

#[tokio::test]
async fn s10_a_room_that_nobody_has_in_memory_is_looked_at_too() {
    looked_at_too(embedded().await).await;
    let server = forgetful();
    looked_at_too(World::on(connect(&server).await, setup()).await).await;
}

async fn looked_at_too(mut world: World) {
    let (ghost, welcome) = world.in_chat(ROOM, "Bob").await;
    drop(ghost);
    world.stop_worker().await;
    force(&world.store, sid(&welcome), None, None).await;
    world.start_worker();
    let room = ROOM.parse().unwrap();
    eventually("the room is empty", async || {
        let load = world.store.load(&room).await.unwrap();
        let mut seats = load.seats.iter();
        seats.all(|(_, seat)| seat.joined.is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn s9_a_store_that_forgets_that_a_socket_was_lost_is_told_again() {
    told_again(embedded().await).await;
    let server = forgetful();
    told_again(World::on(connect(&server).await, setup()).await).await;
}

async fn told_again(world: World) {
    let (mut stays, _) = world.in_chat(ROOM, "Ada").await;
    let (ghost, welcome) = world.in_chat(ROOM, "Bob").await;
    let sid = sid(&welcome);
    let attached = record(&world.store, sid).await.unwrap();
    let shard = world.store.layout().shard(&sid);
    let owners = world.store.owners(shard).await.unwrap();
    let gateway = owners.first().cloned();
    drop(ghost);
    let is_detached = async || {
        let record = record(&world.store, sid).await.unwrap();
        String::from_utf8_lossy(&record.value)
            .contains("detached")
            .then_some(())
    };
    eventually("it is detached", is_detached).await;
    force(&world.store, sid, Some(attached), gateway).await;
    // So it would be for ever, for its gateway lives.
    let left = hears(&mut stays, "left").await;
    assert_eq!(left["reason"], "expired");
    eventually("its record goes", async || {
        record(&world.store, sid).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn s9_a_lost_socket_that_the_store_refuses_to_note_is_left_to_the_audit() {
    let (store, faults) = Faulty::over(World::store());
    let mut setup = setup();
    // The first audits come when it has been seen that nothing else tries again.
    setup.sessions.audit_ms = 5_000;
    setup.sessions.ttl_ms = 60_000;
    let world = World::on(store, setup).await;
    let (client, welcome) = world.open().await;
    let sid = sid(&welcome);
    let before = record(&world.store, sid).await.unwrap().version;
    let error = StoreError::Incompatible("it will never be written".to_owned());
    *faults.refused.lock() = Some(("write", error));
    drop(client);
    let refusals = || faults.refusals.load(Ordering::SeqCst);
    eventually("the loss is to be noted", async || {
        (refusals() > 0).then_some(())
    })
    .await;
    sleep(Duration::from_millis(2_000)).await;
    assert_eq!(refusals(), 1);
    *faults.refused.lock() = None;
    eventually("the audit notes it", async || {
        let version = record(&world.store, sid).await.unwrap().version;
        (version > before).then_some(())
    })
    .await;
}
