//! The state of this process, told to the operators who watch (B4).
//!
//! The room `stats/fleet` calls the roll while anybody watches, and each process that hears the call answers
//! with what `/metrics` says. A process that hears no call does nothing.

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use outlast_protocol::{Payload, RoomName, Sid};
use outlast_store::{
    Announcement, Body, Deadline, Input, Listener, NodeId, Request, SharedStore, StoreError,
    StoreEvent, Subscriptions,
};
use outlast_worker::rooms::stats::{Event, Word};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

mod figures;
mod reporter;

use self::reporter::Reporter;
pub(crate) use self::reporter::Who;

/// Where processes report to.
const ROOM: &str = "stats/fleet";
/// The longest delay of a report, in milliseconds: by then the next call has been made.
const REPORT_WITHIN_MS: u64 = 2_000;
/// The longest time that the store may take for a report or a goodbye.
const APPEND_WITHIN: Duration = Duration::from_secs(1);
/// The time after the last call for which somebody is taken to watch.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// The wait before listening to the store is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Returns the calls of the roll, until the process goes.
pub(crate) struct Publisher {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Publisher {
    pub(crate) fn start(store: SharedStore, metrics: PrometheusHandle, who: Who) -> Publisher {
        let stop = CancellationToken::new();
        let room: RoomName = ROOM.parse().expect("it is a room name");
        let line = Line { store, room };
        let task = tokio::spawn(line.publish(Reporter::new(who, metrics), stop.clone()));
        Publisher { stop, task }
    }

    /// Reports no more, and says so where anybody watches.
    pub(crate) async fn say_goodbye(self) {
        self.stop.cancel();
        // A panic in there has been logged.
        self.task.await.ok();
    }
}

/// The way to the room, and back.
struct Line {
    store: SharedStore,
    room: RoomName,
}

impl Line {
    async fn publish(self, mut reporter: Reporter, stop: CancellationToken) {
        let listening = async {
            loop {
                match self.listen().await {
                    Ok(listening) => break listening,
                    Err(error) => {
                        tracing::debug!(%error, "listening to fleet reports failed; retrying")
                    }
                }
                sleep(RETRY).await;
            }
        };
        let (_subscriptions, mut listener) = tokio::select! {
            listening = listening => listening,
            () = stop.cancelled() => return,
        };
        let mut last: Option<Instant> = None;
        loop {
            let heard = tokio::select! {
                heard = listener.next() => heard,
                () = stop.cancelled() => break,
            };
            if let Some(call) = self.call(&heard) {
                last = Some(call);
                let partitions = u32::from(self.store.layout().partitions);
                let report = reporter.report(partitions, call);
                self.say(&Word::Report(Box::new(report))).await;
            }
        }
        if last.is_some_and(|call| call.elapsed() < WATCHED_FOR) {
            self.say(&Word::Goodbye(reporter.id())).await;
        }
    }

    async fn listen(&self) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), StoreError> {
        let (subscriptions, listener) = self.store.listen(&NodeId::random()).await?;
        subscriptions.subscribe(&self.room).await?;
        Ok((subscriptions, listener))
    }

    /// When the roll was called, if what was heard is a call.
    fn call(&self, heard: &StoreEvent) -> Option<Instant> {
        let news = match heard {
            StoreEvent::Room(news) if news.room == self.room => news,
            StoreEvent::Room(_)
            | StoreEvent::Reply(_)
            | StoreEvent::Nudge(_)
            | StoreEvent::Missed => return None,
        };
        calls_the_roll(news).then(Instant::now)
    }

    async fn say(&self, word: &Word) {
        let Ok(data) = Payload::of(word) else { return };
        let input = Input {
            room: self.room.clone(),
            sid: Sid::now_v7(),
            generation: 0,
            gateway: None,
            request: Request::Report { data },
        };
        let deadline = Deadline(self.store.now_ms() + REPORT_WITHIN_MS);
        let partition = self.store.layout().partition(&self.room);
        let append = self.store.append(partition, deadline, vec![input]);
        match timeout(APPEND_WITHIN, append).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "sending a fleet report failed"),
            Err(_) => tracing::debug!("sending a fleet report timed out"),
        }
    }
}

fn calls_the_roll(news: &Announcement) -> bool {
    news.entries.iter().any(|entry| match &entry.body {
        Body::Event { data, .. } => data.read::<Event>().is_ok_and(|event| event.is_roll()),
        Body::Notice { .. } | Body::Result { .. } => false,
    })
}
