//! The embedded store: what every backend does, and what it promises besides.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bounds;
mod folder;
mod kill;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Announcements, Layout, Nudge, PartitionId, ShardId, SharedStore, StoreEvent,
    conformance::{Harness, Lost},
    conformance_suite,
    embedded::Embedded,
};

/// A store on disk: what holds there holds in memory, which is the same but for the file.
struct OnDisk {
    store: Arc<Embedded>,
    _folder: tempfile::TempDir,
}

impl OnDisk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path(), Layout::default()).unwrap();
        OnDisk {
            store,
            _folder: folder,
        }
    }
}

#[async_trait]
impl Harness for OnDisk {
    async fn connect(&self) -> SharedStore {
        self.store.clone()
    }

    async fn pass(&self, time: Duration) {
        self.store.advance(time);
    }

    async fn interrupt(&self) {
        // More than may wait for a listener.
        const UNHEARD_BYTES: usize = 33 << 20;
        for _ in 0..UNHEARD_BYTES / size_of::<StoreEvent>() {
            self.store.nudge(None, &Nudge::Released).await.unwrap();
        }
    }

    async fn append_text(&self, partition: PartitionId, text: &str) {
        self.store.append_text(partition, text).await.unwrap();
    }

    async fn lose_log(&self, room: &RoomName) {
        self.store.lose_log(room).await.unwrap();
    }

    async fn lose(&self, shard: ShardId, sid: Sid, what: Lost) {
        self.store.lose(shard, sid, what).await.unwrap();
    }
}

conformance_suite!(OnDisk::new());
