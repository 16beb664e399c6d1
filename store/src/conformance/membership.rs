use std::time::Duration;

use super::Harness;
use crate::{NodeId, Role};

pub async fn s7_a_node_is_known_from_its_first_heartbeat_on(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let (gateway, worker) = (NodeId::from("g"), NodeId::from("w"));
    let first = a.heartbeat(&gateway, Role::Gateway).await.unwrap();
    assert!(first.unknown);
    assert!(b.heartbeat(&worker, Role::Worker).await.unwrap().unknown);
    harness.pass(Duration::from_millis(20)).await;
    let second = b.heartbeat(&gateway, Role::Gateway).await.unwrap();
    assert!(!second.unknown);
    assert!(second.now_ms > first.now_ms);

    let (now_ms, mut members) = b.nodes().await.unwrap();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(now_ms >= second.now_ms);
    let roles: Vec<_> = members.iter().map(|m| (m.id.as_str(), m.role)).collect();
    assert_eq!(roles, [("g", Role::Gateway), ("w", Role::Worker)]);
    assert_eq!(members[0].heard_ms, second.now_ms);
}

pub async fn s7_a_node_that_is_deregistered_is_unknown(harness: &dyn Harness) {
    let store = harness.connect().await;
    let keeper = NodeId::from("k");
    assert_eq!(store.deregister(&keeper, None).await, Ok(false));
    store.heartbeat(&keeper, Role::Keeper).await.unwrap();
    assert_eq!(store.deregister(&keeper, None).await, Ok(true));
    assert!(store.nodes().await.unwrap().1.is_empty());
    assert!(
        store
            .heartbeat(&keeper, Role::Keeper)
            .await
            .unwrap()
            .unknown
    );
}

pub async fn s7_a_node_that_was_heard_since_is_not_deregistered(harness: &dyn Harness) {
    let store = harness.connect().await;
    let gateway = NodeId::from("g");
    let heard = store
        .heartbeat(&gateway, Role::Gateway)
        .await
        .unwrap()
        .now_ms;
    assert_eq!(store.deregister(&gateway, Some(heard - 1)).await, Ok(false));
    assert!(
        !store
            .heartbeat(&gateway, Role::Gateway)
            .await
            .unwrap()
            .unknown
    );
    let heard = store.nodes().await.unwrap().1[0].heard_ms;
    assert_eq!(store.deregister(&gateway, Some(heard)).await, Ok(true));
    assert_eq!(store.deregister(&gateway, Some(heard)).await, Ok(false));
}
