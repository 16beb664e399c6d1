use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use outlast_protocol::{Codec, Member, RoomName, ServerFrame};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Client, Driver, Record, Seen, Settings};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::PATIENCE;

/// The number of actions that a trader has under way at most.
const UNDER_WAY_MAX: usize = 5;

/// Clients who trade all the time, in one market.
pub(crate) struct Traders {
    all: Vec<(Arc<Driver>, JoinHandle<()>)>,
    gateways: Vec<String>,
    room: RoomName,
    done: Arc<AtomicBool>,
}

impl Traders {
    pub(crate) async fn arrive(count: usize, gateways: &[String], seed: u64) -> Traders {
        let room: RoomName = "exchange/gold".parse().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        for number in 0..count {
            let mut settings = Settings::new(gateways.to_vec());
            settings.first_gateway = number % gateways.len();
            settings.seed = seed.wrapping_add(number as u64);
            settings.codec = match number % 4 {
                0 => Codec::MsgPack,
                _ => Codec::Json,
            };
            let rng = StdRng::seed_from_u64(settings.seed);
            let driver = Arc::new(Driver::start(settings));
            driver.join(&room, &name(number));
            let trader = Trader {
                driver: driver.clone(),
                room: room.clone(),
                number,
                rng,
            };
            all.push((driver, tokio::spawn(trader.trade(done.clone()))));
        }
        for (driver, _) in &all {
            let joined = |client: &Client, _: &Record| client.is_member(&room).then_some(());
            let waited = driver.wait("a way into the market", PATIENCE, joined);
            waited.await.unwrap();
        }
        Traders {
            all,
            gateways: gateways.to_vec(),
            room,
            done,
        }
    }

    /// Lets everybody come to an end: no more orders, and every outcome. Then one more comes in, which
    /// everybody else has to hear of; it is the last of the records that this answers.
    pub(crate) async fn leave_off(self) -> (Vec<Record>, RoomName) {
        self.done.store(true, Ordering::Relaxed);
        let mut drivers = Vec::new();
        for (driver, task) in self.all {
            task.await.unwrap();
            drivers.push(driver);
        }
        for (number, driver) in drivers.iter().enumerate() {
            let settled = |client: &Client, _: &Record| (client.pending() == 0).then_some(());
            let what = format!("every outcome of trader {number}");
            if let Err(late) = driver.wait(what, PATIENCE, settled).await {
                panic!("{late}\n{}", driver.record(own_story));
            }
        }
        let auditor = Arc::new(Driver::start(Settings::new(self.gateways)));
        auditor.join(&self.room, &json!({"name": "the auditor"}));
        let joined = |client: &Client, _: &Record| client.is_member(&self.room).then_some(());
        let waited = auditor.wait("the auditor's way in", PATIENCE, joined);
        waited.await.unwrap();
        for driver in &drivers {
            let heard = |_: &Client, record: &Record| {
                let mut frames = record.frames().rev();
                let last = frames.find(|(_, frame)| format!("{frame:?}").contains("the auditor"));
                last.map(|_| ())
            };
            let waited = driver.wait("word of the auditor", PATIENCE, heard);
            waited.await.unwrap();
        }
        drivers.push(auditor);
        let mut records = Vec::new();
        for driver in drivers {
            let driver = Arc::try_unwrap(driver).expect("nobody else holds the client");
            records.push(driver.stop().await);
        }
        (records, self.room)
    }
}

fn name(number: usize) -> Value {
    json!({"name": format!("trader {number}")})
}

struct Trader {
    driver: Arc<Driver>,
    room: RoomName,
    number: usize,
    rng: StdRng,
}

impl Trader {
    async fn trade(mut self, done: Arc<AtomicBool>) {
        while !done.load(Ordering::Relaxed) {
            if self.driver.client(Client::pending) < UNDER_WAY_MAX {
                self.act();
            }
            let pause_ms = self.rng.random_range(200..600);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    fn act(&mut self) {
        let (price, quantity) = (
            self.rng.random_range(90..=110),
            self.rng.random_range(1..=9),
        );
        let order = json!({"price": price, "quantity": quantity});
        let action = match self.rng.random_range(0..100) {
            0..40 => json!({"buy": order}),
            40..80 => json!({"sell": order}),
            80..98 => json!({"cancel": self.driver.record(own_offer)}),
            _ => {
                self.driver.leave(&self.room);
                self.driver.join(&self.room, &name(self.number));
                return;
            }
        };
        self.driver.act(&self.room, &action);
    }
}

/// The last of what a client did and was told, without what happened to others.
fn own_story(record: &Record) -> String {
    let member = record
        .frames()
        .rev()
        .find_map(|(_, frame)| joined_as(frame));
    let others =
        |frame: &ServerFrame| matches!(frame, ServerFrame::Event { by, .. } if *by != member);
    let own = record.observations.iter().rev().filter(|sighting| {
        let heard = matches!(&sighting.what, Seen::Heard(frame) if others(frame));
        !heard
    });
    let mut lines: Vec<String> = own.take(80).map(|seen| format!("{:.400?}", seen)).collect();
    lines.reverse();
    lines.join("\n")
}

/// An offer that this client has made lately; it may be gone by now.
fn own_offer(record: &Record) -> u64 {
    let member = record
        .frames()
        .rev()
        .find_map(|(_, frame)| joined_as(frame));
    let frames = record.frames().rev().take(300);
    let offer = frames.filter_map(|(_, frame)| {
        let ServerFrame::Event { by, data, .. } = frame else {
            return None;
        };
        let data: Value = data.read().ok().filter(|_| *by == member)?;
        data["offered"]["offer"].as_u64()
    });
    offer.last().unwrap_or(1)
}

/// Which member a frame says that the client is.
pub(crate) fn joined_as(frame: &ServerFrame) -> Option<Member> {
    if let ServerFrame::Joined { member, .. } | ServerFrame::Snapshot { member, .. } = frame {
        return Some(*member);
    }
    None
}
