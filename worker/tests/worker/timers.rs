//! Rooms that want to be woken, in real stores.

use std::time::Duration;

use outlast_store::{Body, SharedStore};
use outlast_testkit::RedisServer;
use outlast_worker::{At, Cx, Input, Member, Refusal, Registry, Room, WorkerSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    client::Client,
    outage::connect,
    workers::{Worker, store},
};

/// A bell that rings when it was told to: so often, so many milliseconds apart.
#[derive(Default, Serialize, Deserialize)]
struct Bell {
    next_ms: u64,
    every_ms: u64,
    times: u32,
}

#[derive(Deserialize)]
struct Set {
    every_ms: u64,
    times: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Set {
        next_ms: u64,
        every_ms: u64,
        times: u32,
    },
    Rang {
        late_ms: u64,
    },
}

impl Room for Bell {
    const KIND: &'static str = "bell";
    type Join = Value;
    type Action = Set;
    type Event = Event;

    fn handle(&self, input: Input<Value, Set>, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        match input {
            Input::Act { action, .. } => {
                let Set { every_ms, times } = action;
                let next_ms = cx.now_ms() + every_ms;
                cx.emit(Event::Set {
                    next_ms,
                    every_ms,
                    times,
                });
            }
            Input::Wake => {
                let late_ms = cx.now_ms() - self.next_ms;
                cx.emit(Event::Rang { late_ms });
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, event: Event, at: At) {
        match event {
            Event::Set {
                next_ms,
                every_ms,
                times,
            } => {
                *self = Bell {
                    next_ms,
                    every_ms,
                    times,
                };
            }
            Event::Rang { .. } => {
                self.times -= 1;
                self.next_ms = at.at_ms + self.every_ms;
            }
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        self
    }

    fn wake_at_ms(&self) -> Option<u64> {
        (self.times > 0).then_some(self.next_ms)
    }
}

fn start(store: &SharedStore, lease_ms: u64) -> Worker {
    let settings = WorkerSettings {
        lease_ms,
        ..WorkerSettings::default()
    };
    Worker::start_with(store, Registry::new().with::<Bell>(), settings)
}

/// Returns the lateness of the bell, each time that it rang.
fn rang(client: &Client) -> Vec<u64> {
    let late_ms = client.log.iter().filter_map(|entry| {
        let Body::Event { data, .. } = &entry.body else {
            return None;
        };
        data.read::<Value>().unwrap()["rang"]["late_ms"].as_u64()
    });
    late_ms.collect()
}

async fn until_rung(client: &mut Client, times: usize) {
    while rang(client).len() < times {
        client.hear_until(|_| true).await;
    }
}

/// The alarm of a room that nobody is in, set at one worker, rings at the next.
async fn outlives_its_worker(store: SharedStore) {
    let first = start(&store, 300);
    let mut ada = Client::joined(&store, "bell/church").await;
    ada.act(json!({"every_ms": 1_000, "times": 1})).await;
    ada.leave().await;
    first.kill().await;
    let second = start(&store, 300);
    until_rung(&mut ada, 1).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w8_an_alarm_outlives_its_worker_in_the_embedded_store() {
    outlives_its_worker(store()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w8_an_alarm_outlives_its_worker_in_redis() {
    let server = RedisServer::start();
    outlives_its_worker(connect(&server).await).await;
}

/// An idle Redis ends a wait up to 100 ms late; who waits for a time must not depend on that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w8_a_room_is_woken_on_time_while_redis_is_idle() {
    // A machine that is busy with other things all the while is asked again.
    let mut late_ms = Vec::new();
    while late_ms.len() < 10 {
        let late = typically_late_ms().await;
        if late < 30 {
            return;
        }
        late_ms.push(late);
    }
    panic!("{late_ms:?}");
}

/// The median of how late the bell is.
async fn typically_late_ms() -> u64 {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let worker = start(&store, 10_000);
    let mut ada = Client::joined(&store, "bell/church").await;
    // Time for whatever a start brings along.
    tokio::time::sleep(Duration::from_millis(500)).await;
    ada.act(json!({"every_ms": 130, "times": 15})).await;
    until_rung(&mut ada, 15).await;
    let mut late_ms = rang(&ada);
    late_ms.sort();
    worker.stop().await;
    late_ms[7]
}
