use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use outlast_protocol::{Codec, RoomName};
use reconnect_storm::{Driver, Record, Settings};
use serde_json::json;
use tokio::task::JoinHandle;

/// The longest time that the last outcome may take once everything is up again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The number of actions that a client has under way at most.
const UNDER_WAY_MAX: usize = 5;

/// Clients who act all the time.
pub(crate) struct People {
    all: Vec<(Arc<Driver>, JoinHandle<()>)>,
    rooms: Vec<RoomName>,
    done: Arc<AtomicBool>,
}

impl People {
    /// `count` clients in `rooms` rooms, each in two of them where there are as many.
    pub(crate) async fn arrive(
        count: usize,
        rooms: usize,
        gateways: &[String],
        seed: u64,
    ) -> People {
        let rooms: Vec<RoomName> = (0..rooms)
            .map(|room| format!("chat/room-{room}").parse().unwrap())
            .collect();
        let done = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        for number in 0..count {
            let mut settings = Settings::new(gateways.to_vec());
            settings.first_gateway = number % gateways.len();
            settings.seed = seed.wrapping_add(number as u64);
            settings.codec = if number % 4 == 0 {
                Codec::MsgPack
            } else {
                Codec::Json
            };
            let driver = Arc::new(Driver::start(settings));
            let mine = [
                rooms[number % rooms.len()].clone(),
                rooms[(number + 1) % rooms.len()].clone(),
            ];
            let mine = if number % 2 == 0 {
                mine[..1].to_vec()
            } else {
                mine.to_vec()
            };
            for room in &mine {
                driver.join(room, &json!({"name": format!("client {number}")}));
            }
            let task = tokio::spawn(act(driver.clone(), mine, number, done.clone()));
            all.push((driver, task));
        }
        for (driver, _) in &all {
            let joined = |client: &reconnect_storm::Client, _: &Record| {
                (client.pending() < UNDER_WAY_MAX).then_some(())
            };
            driver
                .wait("the first outcomes", PATIENCE, joined)
                .await
                .unwrap();
        }
        People { all, rooms, done }
    }

    /// Lets everybody come to an end: no more acts, every outcome, and a last word in each room that
    /// everybody there has to hear. Answers what they saw, and where.
    pub(crate) async fn leave_off(self) -> (Vec<Record>, Vec<RoomName>) {
        self.done.store(true, Ordering::Relaxed);
        let mut drivers = Vec::new();
        for (driver, task) in self.all {
            task.await.unwrap();
            drivers.push(driver);
        }
        for (number, driver) in drivers.iter().enumerate() {
            let settled = |client: &reconnect_storm::Client, _: &Record| {
                (client.pending() == 0).then_some(())
            };
            let what = format!("every outcome of client {number}");
            driver.wait(what, PATIENCE, settled).await.unwrap();
        }
        for (number, room) in self.rooms.iter().enumerate() {
            let of_room = |driver: &&Arc<Driver>| driver.client(|client| client.is_member(room));
            let members: Vec<_> = drivers.iter().filter(of_room).collect();
            let last = format!("the last word in {number}");
            members[0].act(room, &json!({"say": last}));
            for member in members {
                let heard = |_: &reconnect_storm::Client, record: &Record| {
                    let mut frames = record.frames().rev();
                    frames
                        .any(|(_, frame)| format!("{frame:?}").contains(&last))
                        .then_some(())
                };
                member.wait(&last, PATIENCE, heard).await.unwrap();
            }
        }
        for driver in &drivers {
            let settled = |client: &reconnect_storm::Client, _: &Record| {
                (client.pending() == 0).then_some(())
            };
            driver
                .wait("the last outcome", PATIENCE, settled)
                .await
                .unwrap();
        }
        let mut records = Vec::new();
        for driver in drivers {
            let driver = Arc::try_unwrap(driver).expect("nobody else holds the client");
            records.push(driver.stop().await);
        }
        (records, self.rooms)
    }
}

/// Says something new every now and then, in turns in its rooms.
async fn act(driver: Arc<Driver>, rooms: Vec<RoomName>, number: usize, done: Arc<AtomicBool>) {
    let mut said = 0;
    while !done.load(Ordering::Relaxed) {
        if driver.client(|client| client.pending()) < UNDER_WAY_MAX {
            let room = &rooms[said % rooms.len()];
            driver.act(
                room,
                &json!({"say": format!("client {number} says {said}")}),
            );
            said += 1;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}
