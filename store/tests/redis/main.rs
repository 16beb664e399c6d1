//! The store in Redis: what every backend does, and what it promises besides: to survive Redis being
//! killed, emptied, filled up and halted.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod clocks;
mod commits;
mod cut;
mod failovers;
mod fitness;
mod gathered;
mod identity;
mod listening;
mod logins;
mod memory;
mod moving;
mod names;
mod outages;
mod prefixes;
mod replay;
mod roles;
mod scene;
mod shared;
mod tls;
mod unknown;

use std::time::Duration;

use async_trait::async_trait;
use outlast_protocol::{RoomName, Sid};
use outlast_store::{
    Layout, PartitionId, ShardId, SharedStore,
    conformance::{Harness, Lost},
    conformance_suite,
};
use outlast_testkit::{
    RedisServer,
    redis::{Cluster, Sentinels},
};

use shared::Shelf;

struct Single(RedisServer);

#[async_trait]
impl Harness for Single {
    async fn connect(&self) -> SharedStore {
        scene::connect(&self.0, Layout::default()).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn interrupt(&self) {
        self.0.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    async fn append_text(&self, PartitionId(p): PartitionId, text: &str) {
        self.0
            .run::<()>(&["XADD", &format!("ol:{{p{p}}}:topic"), "*", "input", text]);
    }

    async fn lose_log(&self, room: &RoomName) {
        let PartitionId(p) = Layout::default().partition(room);
        let lost: u8 = self.0.run(&["DEL", &format!("ol:{{p{p}}}:log:{room}")]);
        assert_eq!(lost, 1);
    }

    async fn lose(&self, shard: ShardId, sid: Sid, what: Lost) {
        let command = losing(shard, sid, &what);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        assert_eq!(
            self.0.run::<u64>(&command),
            1,
            "there was something to lose"
        );
    }
}

/// Returns the commands by which an operator would lose it.
fn losing(ShardId(s): ShardId, sid: Sid, what: &Lost) -> Vec<String> {
    let words = |name: &str, key: String, member: Option<String>| {
        let words = [name.to_owned(), format!("ol:{{s{s}}}:{key}")];
        words.into_iter().chain(member).collect()
    };
    match what {
        Lost::Record => words("DEL", format!("session:{sid}"), None),
        Lost::Due => words("ZREM", "due".into(), Some(sid.to_string())),
        Lost::Owner(owner) => words("ZREM", "owned".into(), Some(format!("{owner} {sid}"))),
        Lost::Group(group) => {
            let member = format!("{}:{group} {sid}", group.len());
            words("ZREM", "groups".into(), Some(member))
        }
    }
}

mod single {
    use super::*;

    conformance_suite!(async { Single(RedisServer::start()) });
}

mod on_a_cluster {
    use super::*;

    static SHELF: Shelf<Cluster> = Shelf::new();

    conformance_suite!(SHELF.take(Cluster::start));
}

mod behind_sentinels {
    use super::*;

    static SHELF: Shelf<Sentinels> = Shelf::new();

    conformance_suite!(SHELF.take(Sentinels::start));
}
