use std::time::Duration;

use super::Harness;
use crate::{NodeId, Role};

pub async fn s7_a_member_is_known_from_its_first_beat_on(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let (gateway, worker) = (NodeId::from("g"), NodeId::from("w"));
    let first = a.beat(&gateway, Role::Gateway).await.unwrap();
    assert!(first.unknown);
    assert!(b.beat(&worker, Role::Worker).await.unwrap().unknown);
    harness.pass(Duration::from_millis(20)).await;
    let second = b.beat(&gateway, Role::Gateway).await.unwrap();
    assert!(!second.unknown);
    assert!(second.now_ms > first.now_ms);

    let (now_ms, mut members) = b.members().await.unwrap();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(now_ms >= second.now_ms);
    let roles: Vec<_> = members.iter().map(|m| (m.id.as_str(), m.role)).collect();
    assert_eq!(roles, [("g", Role::Gateway), ("w", Role::Worker)]);
    assert_eq!(members[0].heard_ms, second.now_ms);
}

pub async fn s7_a_member_that_is_struck_is_unknown(harness: &dyn Harness) {
    let store = harness.connect().await;
    let keeper = NodeId::from("k");
    assert_eq!(store.strike(&keeper, None).await, Ok(false));
    store.beat(&keeper, Role::Keeper).await.unwrap();
    assert_eq!(store.strike(&keeper, None).await, Ok(true));
    assert!(store.members().await.unwrap().1.is_empty());
    assert!(store.beat(&keeper, Role::Keeper).await.unwrap().unknown);
}

pub async fn s7_a_member_that_was_heard_since_is_not_struck(harness: &dyn Harness) {
    let store = harness.connect().await;
    let gateway = NodeId::from("g");
    let heard = store.beat(&gateway, Role::Gateway).await.unwrap().now_ms;
    assert_eq!(store.strike(&gateway, Some(heard - 1)).await, Ok(false));
    assert!(!store.beat(&gateway, Role::Gateway).await.unwrap().unknown);
    let heard = store.members().await.unwrap().1[0].heard_ms;
    assert_eq!(store.strike(&gateway, Some(heard)).await, Ok(true));
    assert_eq!(store.strike(&gateway, Some(heard)).await, Ok(false));
}
