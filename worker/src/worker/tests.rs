use std::sync::atomic::AtomicU64;

use outlast_store::{Layout, PartitionId, embedded::Embedded};

use super::*;
use crate::suspect::Suspect;

const PARTITION: PartitionId = PartitionId(0);

/// A fleet that holds one partition, and the partition's epoch.
async fn holder() -> (Worker, u64) {
    let layout = Layout {
        partitions: 1,
        shards: 1,
    };
    let store: SharedStore = Embedded::memory(layout);
    let settings = WorkerSettings {
        lease_ms: 60_000,
        step_ms: 1,
        ..WorkerSettings::default()
    };
    let mut fleet = Worker::new(
        store,
        Registry::bundled(),
        settings,
        StoreRetry::default(),
        NodeId::random(),
    );
    fleet
        .claim(vec![LeaseName::Partition(PARTITION)])
        .await
        .unwrap();
    let leases = fleet.holdings.leases();
    assert_eq!(leases.len(), 1);
    (fleet, leases[0].1)
}

fn room() -> RoomName {
    "chat/late".parse().unwrap()
}

fn overrun(watch: &Arc<Watch>) -> Overrun {
    Overrun {
        watch: watch.clone(),
        step: watch.steps(),
        since: watch.ticks(),
        suspect: Suspect::Room(room()),
        room: room(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w11_a_step_that_has_come_back_before_anybody_hears_of_it_is_blamed_for_nothing() {
    let (mut fleet, epoch) = holder().await;
    let watch = Watch::with_clock(PARTITION, epoch, Arc::default());
    let step = watch.step(Suspect::Room(room()), &room());
    let late = overrun(&watch);
    drop(step);
    fleet.overrun(late);
    assert_eq!(fleet.holdings.leases().len(), 1);
    assert!(fleet.stuck.is_empty());

    let _step = watch.step(Suspect::Room(room()), &room());
    fleet.overrun(overrun(&watch));
    assert_eq!(fleet.holdings.leases().len(), 0);
    assert_eq!(fleet.stuck.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn w11_a_process_that_was_stopped_does_not_take_that_for_a_lost_thread() {
    let (mut fleet, epoch) = holder().await;
    let watch = Watch::with_clock(PARTITION, epoch, Arc::<AtomicU64>::default());
    let _step = watch.step(Suspect::Room(room()), &room());
    fleet.overrun(overrun(&watch));
    // As long as the watchdog stands still, whatever the machine's clock says.
    std::thread::sleep(Duration::from_millis(20 * fleet.settings.step_ms));
    assert!(fleet.look_after_stuck().is_ok());
    // Nor where its thread gets no processor: a quarter of that counts.
    for _ in 0..=TICKS_UNTIL_LOST {
        watch.pass_tick(true);
        assert!(fleet.look_after_stuck().is_ok());
    }
    for _ in 1..TICKS_UNTIL_LOST * 3 / 4 {
        watch.pass_tick(false);
        assert!(fleet.look_after_stuck().is_ok());
    }
    watch.pass_tick(false);
    assert!(fleet.look_after_stuck().is_err());
}
