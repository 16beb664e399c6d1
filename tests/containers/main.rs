//! The fleet of docker-compose.yml, in containers: a gateway is replaced and everything is killed under 200 clients,
//! and nothing is lost.
//!
//! `deploy/test/containers` builds the images and runs this, where podman can run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod compose;
#[path = "../support/mod.rs"]
#[allow(unused_imports, reason = "shared with other tests")]
mod support;

use std::time::{Duration, Instant};

use outlast_store::{
    Layout,
    redis::{Redis, RedisSettings},
};
use reconnect_storm::{Case, check};
use serde_json::Value;

use compose::Compose;
use support::{People, logs};

const OUTLAST: [&str; 4] = ["gateway-1", "gateway-2", "worker", "sessions"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_containers_are_replaced_and_killed_and_nothing_is_lost() {
    let fleet = Compose::up();
    for service in OUTLAST {
        fleet.healthy(service);
        is_confined(&fleet.inspect(service));
    }
    let people = People::arrive(200, 20, &[fleet.address()], outlast_testkit::seed()).await;

    for service in ["gateway-2", "worker", "sessions", "redis", "proxy"] {
        fleet.kill_and_start(service);
        println!("{service} was killed and started");
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }

    // As a rollout does: SIGTERM, a drain, and a new container, at a new address, of the same name.
    let begin = Instant::now();
    let code = fleet.replace("gateway-1");
    println!("gateway-1 was replaced within {:?}", begin.elapsed());
    assert_eq!(code, 0, "a drained gateway ends well");

    let (records, rooms) = people.leave_off().await;
    let store = Redis::connect(
        &fleet.redis_url(),
        Layout::default(),
        RedisSettings::default(),
    )
    .await;
    let logs = logs(store.unwrap(), &rooms).await;
    let verdict = check(&Case::new(&records, &logs).with_slow_rooms());
    println!("{verdict}");
    assert!(verdict.is_clean(), "{verdict}\n{}", fleet.logs());
    assert!(verdict.actions_settled > 200, "too little: {verdict}");
}

/// No root user, no capability, and nothing that can be written.
fn is_confined(container: &Value) {
    let host = &container["HostConfig"];
    assert_eq!(host["ReadonlyRootfs"], true, "{container}");
    assert_eq!(container["Config"]["User"], "65532:65532", "{container}");
    let none = |capabilities: &Value| capabilities.as_array().is_none_or(Vec::is_empty);
    assert!(none(&container["EffectiveCaps"]), "{container}");
    assert!(none(&container["BoundingCaps"]), "{container}");
}
