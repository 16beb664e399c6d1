//! How this process is, told to the operators who watch (B4).
//!
//! The room `stats/fleet` calls the roll while anybody watches, and each process that hears the call answers
//! with what `/metrics` says. A process that hears no call does nothing.

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use outlast_broker::{
    Announcement, Body, BrokerError, Deadline, Heard, Input, Listener, NodeId, Request,
    SharedBroker, Subscriptions,
};
use outlast_protocol::{Payload, RoomName, Sid};
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
/// How late a report may come, in milliseconds: by then the next call has been made.
const REPORT_WITHIN_MS: u64 = 2_000;
/// How long the store may take for a report or a goodbye.
const APPEND_WITHIN: Duration = Duration::from_secs(1);
/// How long after the last call somebody is taken to watch.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// How long to wait before the store is asked again to be listened to.
const RETRY: Duration = Duration::from_secs(1);

/// Answers the calls of the roll, until the process goes.
pub(crate) struct Publisher {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A call of the roll.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// The room's clock, in milliseconds since the epoch.
    at_ms: u64,
    heard: Instant,
}

impl Publisher {
    pub(crate) fn start(broker: SharedBroker, metrics: PrometheusHandle, who: Who) -> Publisher {
        let stop = CancellationToken::new();
        let room: RoomName = ROOM.parse().expect("it is a room name");
        let line = Line { broker, room };
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
    broker: SharedBroker,
    room: RoomName,
}

impl Line {
    async fn publish(self, mut reporter: Reporter, stop: CancellationToken) {
        let listening = async {
            loop {
                match self.listen().await {
                    Ok(listening) => break listening,
                    Err(error) => tracing::debug!(%error, "cannot listen to the roll yet"),
                }
                sleep(RETRY).await;
            }
        };
        let (_subscriptions, mut listener) = tokio::select! {
            listening = listening => listening,
            () = stop.cancelled() => return,
        };
        let mut last: Option<Call> = None;
        loop {
            let heard = tokio::select! {
                heard = listener.hear() => heard,
                () = stop.cancelled() => break,
            };
            if let Some(call) = self.call(&heard) {
                last = Some(call);
                let partitions = u32::from(self.broker.layout().partitions);
                let report = reporter.report(partitions, call.heard);
                self.say(&Word::Report(Box::new(report)), call).await;
            }
        }
        if let Some(call) = last.filter(|call| call.heard.elapsed() < WATCHED_FOR) {
            self.say(&Word::Goodbye(reporter.id()), call).await;
        }
    }

    async fn listen(&self) -> Result<(Arc<dyn Subscriptions>, Box<dyn Listener>), BrokerError> {
        let (subscriptions, listener) = self.broker.listen(&NodeId::random()).await?;
        subscriptions.subscribe(&self.room).await?;
        Ok((subscriptions, listener))
    }

    /// The newest call of the roll in what was heard.
    fn call(&self, heard: &Heard) -> Option<Call> {
        let news = match heard {
            Heard::Room(news) if news.room == self.room => news,
            Heard::Room(_) | Heard::Reply(_) | Heard::Nudge(_) | Heard::Missed => return None,
        };
        let heard = Instant::now();
        newest_roll_ms(news).map(|at_ms| Call { at_ms, heard })
    }

    async fn say(&self, word: &Word, call: Call) {
        let Ok(data) = Payload::of(word) else { return };
        let input = Input {
            room: self.room.clone(),
            sid: Sid::now_v7(),
            generation: 0,
            gateway: None,
            request: Request::Report { data },
        };
        let since_ms = call.heard.elapsed().as_millis() as u64;
        let deadline = Deadline(call.at_ms + since_ms + REPORT_WITHIN_MS);
        let partition = self.broker.layout().partition(&self.room);
        let append = self.broker.append(partition, deadline, vec![input]);
        match timeout(APPEND_WITHIN, append).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a report was not taken"),
            Err(_) => tracing::debug!("a report was not taken in time"),
        }
    }
}

fn newest_roll_ms(news: &Announcement) -> Option<u64> {
    news.entries
        .iter()
        .rev()
        .find_map(|entry| match &entry.body {
            Body::Event { data, .. } => data.read::<Event>().ok()?.roll_at_ms(),
            Body::Notice { .. } | Body::Result { .. } => None,
        })
}
