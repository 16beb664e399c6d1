use std::time::Duration;

use outlast_protocol::Sid;

use super::{
    Harness,
    fixture::{LONG, hear},
};
use crate::{LeaseHolder, LeaseName, NodeId, Nudge, PartitionId, ShardId, SharedStore, StoreEvent};

const NAME: LeaseName = LeaseName::Partition(PartitionId(0));

const SHORT: Duration = Duration::from_millis(300);

pub async fn w1_of_two_claimants_one_is_granted(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let (first, second) = ("a".into(), "b".into());
    let claims = tokio::join!(a.claim(NAME, &first, LONG), b.claim(NAME, &second, LONG));
    let granted = [claims.0.unwrap(), claims.1.unwrap()];
    assert_eq!(granted.iter().flatten().count(), 1, "{granted:?}");

    let holder = if granted[0].is_some() { "a" } else { "b" };
    assert_eq!(owner(&a, NAME).await.as_deref(), Some(holder));
    for claimant in ["a", "b"] {
        assert_eq!(a.claim(NAME, &claimant.into(), LONG).await, Ok(None));
    }
    let other = LeaseName::Shard(ShardId(0));
    assert!(b.claim(other, &second, LONG).await.unwrap().is_some());
}

pub async fn w1_epochs_rise_with_each_grant(harness: &dyn Harness) {
    let store = harness.connect().await;
    let mut last = 0;
    for round in 0..6 {
        let lease = store
            .claim(NAME, &"a".into(), SHORT)
            .await
            .unwrap()
            .unwrap();
        assert!(lease.epoch > last, "{} behind {last}", lease.epoch);
        assert_eq!(lease.name, NAME);
        last = lease.epoch;
        if round % 3 == 0 {
            harness.pass(SHORT * 2).await;
        } else {
            store.release(NAME, lease.epoch).await.unwrap();
        }
    }
}

pub async fn w1_a_lease_that_is_renewed_stays(harness: &dyn Harness) {
    let store = harness.connect().await;
    // On a machine that stood still for too long the lease runs out on the way, and then a longer one may not.
    for ttl_s in [2, 8, 32] {
        if stays(harness, &store, Duration::from_secs(ttl_s)).await {
            return;
        }
    }
    panic!("no lease is ever renewed");
}

/// True if a lease is kept for longer than it lasts, as the store's clock tells it; that it may not be where it was
/// renewed too late.
async fn stays(harness: &dyn Harness, store: &SharedStore, ttl: Duration) -> bool {
    let owner = NodeId::random();
    let lease = store.claim(NAME, &owner, ttl).await.unwrap().unwrap();
    let mut renewed_ms = lease.now_ms;
    for _ in 0..4 {
        harness.pass(ttl / 2).await;
        let (now_ms, held) = store.renew(&[(NAME, lease.epoch)], ttl).await.unwrap();
        assert!(now_ms > renewed_ms);
        if held == [false] {
            assert!(now_ms >= renewed_ms + ttl.as_millis() as u64);
            return false;
        }
        assert_eq!(held, [true]);
        renewed_ms = now_ms;
        let other = store
            .claim(NAME, &"b".into(), Duration::from_millis(1))
            .await;
        let (now_ms, _) = store.nodes().await.unwrap();
        if now_ms >= renewed_ms + ttl.as_millis() as u64 {
            harness.pass(Duration::from_millis(10)).await;
            return false;
        }
        assert_eq!(other, Ok(None));
    }
    store.release(NAME, lease.epoch).await.unwrap();
    true
}

pub async fn w1_a_lease_that_is_not_renewed_is_lost(harness: &dyn Harness) {
    let store = harness.connect().await;
    let lease = store
        .claim(NAME, &"a".into(), SHORT)
        .await
        .unwrap()
        .unwrap();
    harness.pass(SHORT * 2).await;
    assert_eq!(owner(&store, NAME).await, None);
    let (_, held) = store.renew(&[(NAME, lease.epoch)], LONG).await.unwrap();
    assert_eq!(held, [false]);

    let newer = store.claim(NAME, &"b".into(), LONG).await.unwrap().unwrap();
    let both = [(NAME, lease.epoch), (NAME, newer.epoch)];
    let (_, held) = store.renew(&both, LONG).await.unwrap();
    assert_eq!(held, [false, true]);
    assert_eq!(owner(&store, NAME).await.as_deref(), Some("b"));
}

pub async fn w4_a_lease_that_is_released_is_free_at_once_and_everybody_hears_it(
    harness: &dyn Harness,
) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let (_subscriptions, mut listener) = b.listen(&"b".into()).await.unwrap();
    let lease = a.claim(NAME, &"a".into(), LONG).await.unwrap().unwrap();
    a.release(NAME, lease.epoch).await.unwrap();
    assert_eq!(
        hear(&mut listener).await,
        StoreEvent::Nudge(Nudge::Released)
    );
    assert_eq!(owner(&b, NAME).await, None);
    assert!(b.claim(NAME, &"b".into(), LONG).await.unwrap().is_some());
}

pub async fn a_release_with_an_old_epoch_does_nothing(harness: &dyn Harness) {
    let store = harness.connect().await;
    let (_subscriptions, mut listener) = store.listen(&"l".into()).await.unwrap();
    let old = store.claim(NAME, &"a".into(), LONG).await.unwrap().unwrap();
    store.release(NAME, old.epoch).await.unwrap();
    let new = store.claim(NAME, &"b".into(), LONG).await.unwrap().unwrap();
    store.release(NAME, old.epoch).await.unwrap();
    assert_eq!(owner(&store, NAME).await.as_deref(), Some("b"));
    store.release(NAME, new.epoch).await.unwrap();
    store.release(NAME, new.epoch).await.unwrap();

    for _ in 0..2 {
        assert_eq!(
            hear(&mut listener).await,
            StoreEvent::Nudge(Nudge::Released)
        );
    }
    // Only now, since what does not come from one lease comes in any order.
    let last = Nudge::Over { sid: Sid::now_v7() };
    store.nudge(None, &last).await.unwrap();
    assert_eq!(hear(&mut listener).await, StoreEvent::Nudge(last));
}

pub async fn leases_are_surveyed_and_renewed_in_the_order_of_the_question(harness: &dyn Harness) {
    let store = harness.connect().await;
    let layout = store.layout();
    let partitions = layout.all_partitions().map(LeaseName::Partition);
    let names: Vec<_> = partitions
        .chain(layout.all_shards().map(LeaseName::Shard))
        .collect();
    let mut epochs = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let epoch = if number % 2 == 0 {
            let owner = format!("owner-{number}").as_str().into();
            store
                .claim(*name, &owner, LONG)
                .await
                .unwrap()
                .unwrap()
                .epoch
        } else {
            1
        };
        epochs.push((*name, epoch));
    }

    let expected = names.iter().enumerate().map(|(number, name)| LeaseHolder {
        name: *name,
        owner: (number % 2 == 0).then(|| format!("owner-{number}").as_str().into()),
    });
    assert_eq!(
        store.lease_holders(&names).await.unwrap(),
        expected.collect::<Vec<_>>()
    );
    let (_, held) = store.renew(&epochs, LONG).await.unwrap();
    let expected: Vec<_> = (0..names.len()).map(|number| number % 2 == 0).collect();
    assert_eq!(held, expected);
    assert_eq!(store.lease_holders(&[]).await, Ok(Vec::new()));
    assert_eq!(store.renew(&[], LONG).await.unwrap().1, Vec::<bool>::new());
}

async fn owner(store: &SharedStore, name: LeaseName) -> Option<String> {
    let survey = store.lease_holders(&[name]).await.unwrap();
    survey[0]
        .owner
        .as_ref()
        .map(|owner| owner.as_str().to_owned())
}

pub async fn w12_grants_that_came_to_nothing_are_counted_until_one_is_given_up(
    harness: &dyn Harness,
) {
    let store = harness.connect().await;
    let claim = async || {
        let claimed = store.claim(NAME, &"a".into(), SHORT).await.unwrap();
        claimed.expect("nobody holds it")
    };
    for barren in 0..4 {
        assert_eq!(claim().await.barren, barren);
        harness.pass(SHORT * 2).await;
    }
    let lease = claim().await;
    assert_eq!(lease.barren, 4);
    store.release(NAME, lease.epoch).await.unwrap();
    assert_eq!(claim().await.barren, 0, "it was given up");
    harness.pass(SHORT * 2).await;
    assert_eq!(claim().await.barren, 1);
    let shard = LeaseName::Shard(ShardId(0));
    for _ in 0..2 {
        let lease = store.claim(shard, &"a".into(), SHORT).await.unwrap();
        assert_eq!(lease.unwrap().barren, 0, "nothing is committed there");
        harness.pass(SHORT * 2).await;
    }
}

pub async fn w12_notes_are_kept_for_whoever_comes_next(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let partition = PartitionId(0);
    assert_eq!(a.notes(partition).await, Ok(Vec::new()));
    let lease = a.claim(NAME, &"a".into(), LONG).await.unwrap().unwrap();
    let set = |name: &str, text: &str| (name.to_owned(), Some(text.to_owned()));
    let changes = [set("one", "1"), set("two", ""), set("three", "ü\n{}")];
    a.note(partition, lease.epoch, &changes).await.unwrap();
    let changes = [
        ("two".to_owned(), None),
        set("one", "2"),
        ("none".to_owned(), None),
    ];
    a.note(partition, lease.epoch, &changes).await.unwrap();
    let mut notes = b.notes(partition).await.unwrap();
    notes.sort();
    let expected = [("one", "2"), ("three", "ü\n{}")];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(notes, expected);
    assert_eq!(a.notes(PartitionId(1)).await, Ok(Vec::new()));
}

pub async fn w1_a_fenced_holder_notes_nothing(harness: &dyn Harness) {
    let store = harness.connect().await;
    let partition = PartitionId(0);
    let old = store.claim(NAME, &"a".into(), LONG).await.unwrap().unwrap();
    store.release(NAME, old.epoch).await.unwrap();
    let new = store.claim(NAME, &"b".into(), LONG).await.unwrap().unwrap();
    let changes = [("one".to_owned(), Some("1".to_owned()))];
    let refused = store.note(partition, old.epoch, &changes).await;
    let epoch = old.epoch;
    assert_eq!(refused, Err(crate::StoreError::Fenced { epoch }));
    assert_eq!(store.notes(partition).await, Ok(Vec::new()));
    store.note(partition, new.epoch, &changes).await.unwrap();
    assert_eq!(store.notes(partition).await.unwrap().len(), 1);
}
