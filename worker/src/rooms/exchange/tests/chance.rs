//! Random orders, beside a model, with crashes between any two steps.

use std::thread;

use outlast_protocol::{Payload, Pos};
use outlast_testkit::seed;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    habits::Habits,
    model::{Deed, Model},
};
use crate::{
    At, Cx, Input, Refusal, Room,
    cx::Emitted,
    rooms::exchange::{Action, Event, Exchange, Join, offer::Side},
};

/// The number of orders and cancellations that one market sees before another one opens.
const ORDERS_A_MARKET: u64 = 10_000;

/// `OUTLAST_ORDERS` says how many in all (`./test` asks for a million), and `OUTLAST_SEED=…` repeats a run.
#[test]
fn b3_random_orders_balance_whatever_crashes() {
    let asked = std::env::var("OUTLAST_ORDERS").ok();
    let orders: u64 = asked.map_or(100_000, |orders| orders.parse().expect("a whole number"));
    let seed = seed();
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let markets = orders.div_ceil(ORDERS_A_MARKET);
    let tally = thread::scope(|scope| {
        let run = |first: u64| {
            let mine = (first..markets).step_by(threads as usize);
            let run = mine.map(|market| {
                let mut market = Market::open(seed.wrapping_add(market));
                market.run(ORDERS_A_MARKET.min(orders));
                market.tally
            });
            run.fold(Tally::default(), Tally::and)
        };
        let all: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || run(first)))
            .collect();
        let all = all.into_iter().map(|one| one.join().unwrap());
        all.fold(Tally::default(), Tally::and)
    });
    println!("{tally:?}");
    assert!(tally.orders >= orders);
    // Each of these is common, or the run shows nothing.
    for some in [tally.trades, tally.withdrawn, tally.refused, tally.crashes] {
        assert!(some * 1_000 > orders, "{tally:?}");
    }
}

/// The counts of what has happened.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    orders: u64,
    trades: u64,
    withdrawn: u64,
    refused: u64,
    crashes: u64,
    /// The most open offers at once.
    open_max: u64,
}

impl Tally {
    fn and(self, other: Tally) -> Tally {
        Tally {
            orders: self.orders + other.orders,
            trades: self.trades + other.trades,
            withdrawn: self.withdrawn + other.withdrawn,
            refused: self.refused + other.refused,
            crashes: self.crashes + other.crashes,
            open_max: self.open_max.max(other.open_max),
        }
    }
}

/// A market in memory, what is durable of it, and what should be in it.
struct Market {
    room: Exchange,
    snapshot: Payload,
    behind: Vec<Payload>,
    model: Model,
    fills: Fills,
    habits: Habits,
    rng: StdRng,
    tally: Tally,
}

impl Market {
    fn open(seed: u64) -> Market {
        let mut rng = StdRng::seed_from_u64(seed);
        let room = Exchange::default();
        Market {
            snapshot: Payload::of(&room).unwrap(),
            behind: Vec::new(),
            model: Model::default(),
            fills: Fills::default(),
            habits: Habits::draw(&mut rng),
            rng,
            room,
            tally: Tally::default(),
        }
    }

    fn run(&mut self, orders: u64) {
        while self.tally.orders < orders {
            let deed = self.habits.draw_deed(&self.model, &mut self.rng);
            self.step(deed);
        }
    }

    /// Does one thing in the market and in the model. Memory may be lost before it, when it was handled,
    /// when it was stored, and when it was half applied; whoever asked asks again until it is stored.
    fn step(&mut self, deed: Deed) {
        let expected = self.model.does(deed);
        self.maybe_crash();
        let mut handled = handle(&self.room, deed);
        if self.maybe_crash() {
            handled = handle(&self.room, deed);
        }
        let done = handled.as_ref().map(|events| read_all(events));
        let done = done.map_err(|refusal| refusal.code.as_ref());
        assert_eq!(done.as_deref(), expected.as_deref());
        self.count(deed, &expected);
        if let Ok(events) = handled {
            self.behind.extend(events.iter().cloned());
            for event in &events {
                if self.maybe_crash() {
                    // What was stored is there, whether it had been applied or not.
                    break;
                }
                self.room.apply(event.read().unwrap(), AT);
            }
        }
        self.check(deed, expected.as_deref().unwrap_or_default());
        if self.rng.random_bool(0.02) {
            self.snapshot = Payload::of(&self.room).unwrap();
            self.behind.clear();
        }
    }

    /// Perhaps loses what is in memory, and folds it anew from what is stored (W3).
    fn maybe_crash(&mut self) -> bool {
        let crashes = self.rng.random_bool(0.001);
        if crashes {
            self.tally.crashes += 1;
            self.room = self.snapshot.read().unwrap();
            for event in &self.behind {
                self.room.apply(event.read().unwrap(), AT);
            }
        }
        crashes
    }

    fn check(&mut self, deed: Deed, events: &[Event]) {
        events.iter().for_each(|event| self.fills.note(event));
        let room = &self.room;
        self.model.check(room);
        self.model.check_held(room, deed.member());
        for offer in room.book.offers() {
            assert_eq!(offer.quantity, self.fills.left(offer.offer));
        }
        let prices = |side| {
            let of_side = room.book.offers().filter(move |offer| offer.side == side);
            of_side.map(|offer| offer.price)
        };
        let (bid, ask) = (prices(Side::Buy).max(), prices(Side::Sell).min());
        assert!(
            bid.is_none() || ask.is_none() || bid < ask,
            "the book is crossed"
        );
        let (mut cash, mut goods, mut accounts) = (0, 0, 0);
        for account in room.holdings.accounts() {
            (cash, goods, accounts) = (cash + account.cash, goods + account.goods, accounts + 1);
        }
        assert_eq!((cash, goods), (accounts * 10_000, accounts * 100));
        self.tally.open_max = self.tally.open_max.max(room.book.offers().count() as u64);
    }

    fn count(&mut self, deed: Deed, events: &Result<Vec<Event>, &'static str>) {
        let orders = matches!(deed, Deed::Order { .. } | Deed::Cancel { .. });
        self.tally.orders += u64::from(orders);
        self.tally.refused += u64::from(events.is_err());
        for event in events.iter().flatten() {
            self.tally.trades += u64::from(matches!(event, Event::Traded(_)));
            self.tally.withdrawn += u64::from(matches!(event, Event::Withdrawn { .. }));
        }
    }
}

/// The rest of each offer that there ever was; no number is used twice.
#[derive(Default)]
struct Fills {
    left: Vec<u64>,
    trades: u64,
}

impl Fills {
    fn left(&self, offer: u64) -> u64 {
        self.left[offer as usize - 1]
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Offered(offer) => {
                self.left.push(offer.quantity);
                assert_eq!(
                    offer.offer,
                    self.left.len() as u64,
                    "a number is used twice"
                );
            }
            Event::Traded(trade) => {
                self.trades += 1;
                assert_eq!(trade.trade, self.trades, "a number is used twice");
                self.take(trade.buy, trade.quantity);
                self.take(trade.sell, trade.quantity);
            }
            Event::Withdrawn { offer, quantity } => {
                self.take(*offer, *quantity);
                assert_eq!(self.left(*offer), 0);
            }
            Event::Entered { .. } | Event::Left { .. } | Event::Closed(_) => {}
        }
    }

    fn take(&mut self, offer: u64, quantity: u64) {
        let left = &mut self.left[offer as usize - 1];
        *left = left
            .checked_sub(quantity)
            .expect("an offer is not overfilled");
    }
}

const AT: At = At {
    pos: Pos::START,
    at_ms: 0,
    by: None,
};

/// Returns the room's events, as they would be stored, or its refusal.
fn handle(room: &Exchange, deed: Deed) -> Result<Vec<Payload>, Refusal> {
    let mut rng = StdRng::seed_from_u64(0);
    let mut cx = Cx::new(0, &mut rng);
    room.handle(input(deed), &mut cx)?;
    let entries = cx.into_effects().entries.into_iter();
    Ok(entries
        .map(|entry| match entry {
            Emitted::Event(data) => data,
            Emitted::Notice(..) => panic!("a market tells nobody alone"),
        })
        .collect())
}

fn read_all(events: &[Payload]) -> Vec<Event> {
    events.iter().map(|event| event.read().unwrap()).collect()
}

fn input(deed: Deed) -> Input<Join, Action> {
    let act = |member, action: String| Input::Act {
        member,
        action: serde_json::from_str(&action).unwrap(),
    };
    match deed {
        Deed::Join(member) => Input::Join {
            member,
            user: "somebody".into(),
            data: Join {
                name: format!("member {member}"),
            },
        },
        Deed::Leave(member) => Input::Leave {
            member,
            reason: "left".into(),
        },
        Deed::Order { member, .. } | Deed::Cancel { member, .. } => act(member, deed.to_json()),
    }
}
