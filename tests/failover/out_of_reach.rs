//! One master of a Cluster is away, and nobody takes its place: its rooms wait, and no others do (R6).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use outlast_protocol::{RoomName, Sid};
use outlast_store::Layout;
use outlast_testkit::{
    Client, Server,
    frames::say,
    redis::{Cluster, RedisServer, Site},
};
use serde_json::{Value, json};

use crate::fleet;

/// A `resumed` comes within this time: the rooms that are there have to answer, and the others are given a second.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);

/// Half of all sessions and more lie elsewhere than on a given master.
const SESSIONS_MAX: usize = 100;

/// The way in which a master is lost.
#[derive(Clone, Copy)]
enum Loss {
    /// It takes connections, and answers nothing.
    Stopped,
    /// It takes no connections.
    Killed,
}

impl Loss {
    fn begin(self, master: &mut RedisServer) {
        match self {
            Loss::Stopped => master.signal("STOP"),
            Loss::Killed => master.kill(),
        }
    }

    fn end(self, master: &mut RedisServer) {
        match self {
            Loss::Stopped => master.signal("CONT"),
            Loss::Killed => master.restart(),
        }
    }
}

/// A member of some rooms.
struct Member {
    client: Client,
    /// Its member number and the number of its last action in each room.
    seats: BTreeMap<String, (u64, u64)>,
    positions: Value,
}

impl Member {
    async fn arrive(mut client: Client, rooms: &[String], name: &str) -> Member {
        let mut seats = BTreeMap::new();
        let mut positions = json!({});
        for room in rooms {
            let joined = client.join(room, 1, name).await;
            positions[room] = joined["pos"].clone();
            seats.insert(room.clone(), (joined["member"].as_u64().unwrap(), 1));
        }
        Member {
            client,
            seats,
            positions,
        }
    }

    /// Says something, and waits for its event.
    async fn say(&mut self, room: &str) {
        let (member, n) = self.seats.get_mut(room).unwrap();
        *n += 1;
        self.client.member = *member;
        self.client.say(room, *n, "nothing holds me up").await;
    }

    /// Says something that the store cannot take.
    async fn say_in_vain(&mut self, room: &str) {
        let n = self.seats[room].1 + 1;
        self.client.send(say(room, n, "nobody takes this")).await;
        let error = self.client.find("error").await;
        let told = (&error["room"], &error["n"], &error["code"]);
        assert_eq!(told, (&json!(room), &json!(n), &json!("busy")));
    }

    /// Comes back on a new socket; returns how long that took, and what `resumed` says of the rooms.
    async fn come_back(&mut self, address: &str) -> (Duration, Value) {
        let welcome = self.client.welcome.clone();
        // The old socket is cut.
        self.client = Client::connect(address).await;
        let asked = Instant::now();
        self.client.resume(&welcome, self.positions.clone()).await;
        let resumed = self.client.expect("resumed").await;
        (asked.elapsed(), resumed["rooms"].clone())
    }
}

/// The master that has a room.
fn master_of<'a>(site: &'a mut Cluster, room: &str) -> &'a mut RedisServer {
    let room: RoomName = room.parse().unwrap();
    let topic = format!("ol:{{p{}}}:topic", Layout::default().partition(&room).0);
    site.owner(&topic).0
}

/// A room on each master, in their order.
fn a_room_on_each(site: &mut Cluster) -> Vec<String> {
    let ports: Vec<_> = site.masters().iter().map(|master| master.port()).collect();
    let room_at = |port| {
        let mut names = (0..).map(|number| format!("chat/room-{number}"));
        names.find(|room| master_of(site, room).port() == port)
    };
    ports.into_iter().map(room_at).map(Option::unwrap).collect()
}

/// Comes into these rooms with a session that does not lie on the master of the one that will be lost.
async fn arrive(
    site: &mut Cluster,
    gateway: &Server,
    rooms: &[String],
    lost: &str,
    name: &str,
) -> Member {
    let port = master_of(site, lost).port();
    for _ in 0..SESSIONS_MAX {
        let client = gateway.open().await;
        let sid: Sid = client.welcome["sid"].as_str().unwrap().parse().unwrap();
        let due = format!("ol:{{s{}}}:due", Layout::default().shard(&sid).0);
        if site.owner(&due).0.port() != port {
            return Member::arrive(client, rooms, name).await;
        }
    }
    panic!("every session lies on one master");
}

async fn a_master_is_away(loss: Loss) {
    let mut site = Cluster::start();
    let processes = fleet(&site.url());
    let rooms = a_room_on_each(&mut site);
    for lost in &rooms {
        let mut ada = arrive(&mut site, &processes[0], &rooms, lost, "Ada").await;
        let mut bob = arrive(&mut site, &processes[1], &rooms, lost, "Bob").await;
        let living: Vec<_> = rooms.iter().filter(|room| *room != lost).collect();

        // A server that is away cannot say whose slot it is.
        let master = master_of(&mut site, lost);
        loss.begin(master);
        for room in &living {
            bob.say(room).await;
        }
        // Where another member is, who hears these rooms already.
        let (took, resumed) = ada.come_back(processes[1].address()).await;
        for room in &rooms {
            let kind = if room == lost { "snapshot" } else { "replay" };
            assert_eq!(resumed[room], kind, "{room} of {resumed}");
        }
        assert!(took < RESUMED_WITHIN, "resumed came after {took:?}");
        for _ in 0..3 {
            ada.say_in_vain(lost).await;
            for room in &living {
                ada.say(room).await;
            }
        }

        loss.end(master);
        let snapshot = ada.client.find("snapshot").await;
        let shown = (&snapshot["room"], &snapshot["reason"], &snapshot["n"]);
        assert_eq!(shown, (&json!(lost), &json!("requested"), &json!(1)));
        let is_there = |live: &Value| live["room"] == *lost;
        ada.client.until("live", is_there).await;
        ada.say(lost).await;
        let (by, n) = ada.seats[lost];
        let is_hers =
            |event: &Value| event["room"] == *lost && event["by"] == by && event["n"] == n;
        bob.client.until("event", is_hers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_a_master_that_does_not_answer_keeps_nobody_from_the_rooms_of_others() {
    a_master_is_away(Loss::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_a_master_that_is_gone_keeps_nobody_from_the_rooms_of_others() {
    a_master_is_away(Loss::Killed).await;
}
