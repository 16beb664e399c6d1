//! B3 under a partition: its worker dies at any step, clients repeat themselves, and the log is what the
//! model says.

use outlast_protocol::{Member, Payload};
use outlast_store::{Body, Input, Request};
use outlast_testkit::seed;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::bench::{Bench, input_in};
use crate::{
    Registry, WorkerSettings,
    live::Kind,
    live::LiveRoom,
    rooms::{
        Exchange,
        exchange::{
            Event,
            tests::{
                habits::Habits,
                model::{Deed, Model},
            },
        },
    },
};

const ROOM: &str = "exchange/gold";

/// The number of inputs that one market takes.
const INPUTS: usize = 1_500;

/// `OUTLAST_SEED=…` repeats a run.
#[test]
fn b3_a_market_balances_whatever_its_worker_does() {
    let seed = seed();
    for market in 0..8 {
        run(&mut StdRng::seed_from_u64(seed.wrapping_add(market)));
    }
}

fn run(rng: &mut StdRng) {
    let habits = Habits::draw(rng);
    let settings = WorkerSettings {
        snapshot_every: rng.random_range(1..100),
        ..WorkerSettings::default()
    };
    let mut bench = Bench::of(Registry::new().with::<Exchange>(), settings);
    let mut clients = Clients::default();
    // Whoever joins first is member 1.
    for member in 1..=habits.members {
        bench.append(clients.asks(Deed::Join(member)));
    }
    for _ in 0..INPUTS {
        bench.now_ms += 3;
        match rng.random_range(0..100) {
            0..70 => {
                let deed = habits.draw_deed(&clients.model, rng);
                bench.append(clients.asks(deed));
            }
            70..80 if !clients.asked.is_empty() => {
                let newest = clients.asked.len().saturating_sub(20)..clients.asked.len();
                bench.append(clients.asked[rng.random_range(newest)].clone());
            }
            80..95 => {
                if let Some(commit) = bench.batch_of(rng.random_range(1..20)) {
                    bench.shelf.commit(&commit);
                }
            }
            _ => {
                bench.batch_of(rng.random_range(0..20));
                bench.crash();
            }
        }
    }
    while bench.batch().is_some() {}
    bench.crash();
    let commits = bench.shelf.commits.iter();
    let entries = commits.flat_map(|commit| &commit.rooms[..]);
    let entries = entries.flat_map(|room| &room.entries);
    let logged: Vec<Logged> = entries.filter_map(|entry| logged(&entry.body)).collect();
    assert_eq!(logged, clients.expected);
    let load = &bench.shelf.rooms[&ROOM.parse().unwrap()].load;
    let room = LiveRoom::fold(
        Kind::of::<Exchange>(),
        load.snapshot.as_ref(),
        &load.entries,
    );
    let (_, state) = room.unwrap().state().unwrap();
    clients.model.check(&state.read().unwrap());
}

/// The clients' requests, and what is to come of them.
#[derive(Default)]
struct Clients {
    model: Model,
    asked: Vec<Input>,
    /// Of each session, by its member number: how many actions it has sent.
    n: Vec<u64>,
    expected: Vec<Logged>,
}

/// The log's account of an action.
#[derive(Debug, PartialEq)]
enum Logged {
    Happened(Event),
    Refused(Member, String),
}

impl Clients {
    /// The next input of whoever does this.
    fn asks(&mut self, deed: Deed) -> Input {
        let member = deed.member();
        match self.model.does(deed) {
            Ok(events) => self
                .expected
                .extend(events.into_iter().map(Logged::Happened)),
            Err(code) => self.expected.push(Logged::Refused(member, code.into())),
        }
        self.n.resize(self.n.len().max(member as usize + 1), 0);
        self.n[member as usize] += 1;
        let n = self.n[member as usize];
        let request = match deed {
            Deed::Join(member) => Request::Join {
                n,
                user: "somebody".into(),
                data: Payload::from_json(format!(r#"{{"name":"member {member}"}}"#)).ok(),
            },
            Deed::Leave(_) => Request::Leave { n },
            Deed::Order { .. } | Deed::Cancel { .. } => Request::Act {
                n,
                data: Payload::from_json(deed.to_json()).unwrap(),
            },
        };
        let input = input_in(ROOM, u64::from(member), 1, request);
        self.asked.push(input.clone());
        input
    }
}

fn logged(body: &Body) -> Option<Logged> {
    match body {
        Body::Event { data, .. } => Some(Logged::Happened(data.read().unwrap())),
        Body::Result {
            to,
            ok: false,
            code,
            ..
        } => Some(Logged::Refused(*to, code.clone().unwrap())),
        Body::Result { .. } | Body::Notice { .. } => None,
    }
}
