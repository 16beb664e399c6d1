//! The store in Redis: what every backend does, and what it promises besides: to survive Redis being
//! killed, emptied, filled up and halted.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod commits;
mod identity;
mod listening;
mod memory;
mod outages;
mod scene;
mod server;
mod tls;

use std::time::Duration;

use async_trait::async_trait;
use outlast_broker::{Layout, Partition, SharedBroker, conformance::Harness, conformance_suite};

use server::Server;

#[async_trait]
impl Harness for Server {
    async fn connect(&self) -> SharedBroker {
        Server::connect(self, Layout::default()).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn interrupt(&self) {
        self.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    async fn append_text(&self, Partition(p): Partition, text: &str) {
        self.run::<()>(&["XADD", &format!("ol:{{p{p}}}:topic"), "*", "input", text]);
    }
}

conformance_suite!(async { Server::start() });
