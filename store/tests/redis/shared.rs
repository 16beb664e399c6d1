//! The suite on a store that takes long to start.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use async_trait::async_trait;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Layout, PartitionId, ShardId, SharedStore,
    conformance::{Harness, Lost},
    redis::{Redis, RedisSettings},
};
use outlast_testkit::redis::Site;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::{
    losing,
    scene::{everything, patient},
};

/// A site that the cases of the suite share, one after the other, since it takes long to start; killed after
/// the last of them.
pub(crate) struct Shared<S: Site>(OwnedMutexGuard<Arc<S>>);

/// Where the site lies between two cases.
pub(crate) struct Shelf<S>(Mutex<Weak<Turn<Arc<S>>>>);

impl<S: Site> Shelf<S> {
    pub(crate) const fn new() -> Self {
        Shelf(Mutex::new(Weak::new()))
    }

    /// Takes the site, empty; starts it where nobody has it.
    pub(crate) async fn take(&self, start: fn() -> S) -> Shared<S> {
        let turn = {
            let mut place = self.0.lock().unwrap();
            place.upgrade().unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(Arc::new(start())));
                *place = Arc::downgrade(&turn);
                turn
            })
        };
        let site = turn.lock_owned().await;
        for master in site.masters() {
            master.run::<()>(&["FLUSHALL"]);
        }
        Shared(site)
    }
}

#[async_trait]
impl<S: Site> Harness for Shared<S> {
    async fn connect(&self) -> SharedStore {
        // Under the least that is needed, so that what it does not grant is not used.
        let settings = RedisSettings {
            access: everything(),
            ..patient()
        };
        Redis::connect(&self.0.url(), Layout::default(), settings)
            .await
            .unwrap()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn interrupt(&self) {
        for master in self.0.masters() {
            master.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    }

    async fn append_text(&self, PartitionId(p): PartitionId, text: &str) {
        let topic = format!("ol:{{p{p}}}:topic");
        let add = ["XADD", &topic, "*", "input", text];
        let taken = self.0.masters().into_iter();
        let taken = taken.filter(|master| master.try_run::<()>(&add).is_ok());
        assert_eq!(taken.count(), 1, "one master has the slot");
    }

    async fn lose_log(&self, room: &RoomName) {
        let PartitionId(p) = Layout::default().partition(room);
        let log = format!("ol:{{p{p}}}:log:{room}");
        let lost = self.0.masters().into_iter();
        let lost = lost.filter(|master| matches!(master.try_run::<u8>(&["DEL", &log]), Ok(1)));
        assert_eq!(lost.count(), 1, "one master has the log");
    }

    async fn lose(&self, shard: ShardId, sid: Sid, what: Lost) {
        let command = losing(shard, sid, &what);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let masters = self.0.masters().into_iter();
        let lost = masters.filter(|master| master.try_run::<u64>(&command) == Ok(1));
        assert_eq!(lost.count(), 1, "there was something to lose");
    }
}
