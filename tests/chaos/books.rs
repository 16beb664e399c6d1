//! A market's books, kept by the letter of SPEC B3 from what is public: states and events.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use outlast_protocol::{Member, ServerFrame};
use reconnect_storm::{Ask, LoggedBody, Outcome, Record, RoomLog, Seen};
use serde_json::Value;

use crate::traders::joined_as;

/// The accounts, the offers, and the newest trade.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Books {
    /// Cash and goods.
    accounts: BTreeMap<u64, (i64, i64)>,
    offers: BTreeMap<u64, Offer>,
    last_trade: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Offer {
    side: String,
    member: u64,
    price: i64,
    quantity: i64,
}

impl Books {
    /// Returns the books in a market's state.
    fn of_state(state: &Value) -> Books {
        let mut books = Books::default();
        for account in list(&state["holdings"]) {
            let own = (int(&account["cash"]), int(&account["goods"]));
            books.accounts.insert(id(&account["member"]), own);
        }
        for offer in list(&state["offers"]) {
            books.offers.insert(id(&offer["offer"]), Offer::of(offer));
        }
        let trades = list(&state["ledger"]);
        books.last_trade = trades.last().map_or(0, |trade| id(&trade["trade"]));
        books.check(state);
        books
    }

    /// Folds an event in; whatever does not follow from the books is a panic.
    fn apply(&mut self, event: &Value) {
        if let Some(entered) = event.get("entered") {
            let member = id(&entered["member"]);
            self.accounts.entry(member).or_insert((10_000, 100));
        } else if let Some(offered) = event.get("offered") {
            let before = self
                .offers
                .insert(id(&offered["offer"]), Offer::of(offered));
            assert_eq!(before, None, "an offer's number is used twice: {event}");
        } else if let Some(traded) = event.get("traded") {
            let [buy, sell] = ["buy", "sell"].map(|side| id(&traded[side]));
            let (price, quantity) = (int(&traded["price"]), int(&traded["quantity"]));
            assert_eq!(
                self.offers[&buy.min(sell)].price,
                price,
                "not the older price: {event}"
            );
            let buyer = self.fill(buy, "buy", quantity, event);
            let seller = self.fill(sell, "sell", quantity, event);
            self.pay(buyer, -price * quantity, quantity);
            self.pay(seller, price * quantity, -quantity);
            assert_eq!(id(&traded["trade"]), self.last_trade + 1, "{event}");
            self.last_trade += 1;
        } else if let Some(withdrawn) = event.get("withdrawn") {
            let gone = self.offers.remove(&id(&withdrawn["offer"]));
            let quantity = gone.map(|offer| offer.quantity);
            assert_eq!(quantity, Some(int(&withdrawn["quantity"])), "{event}");
        } else {
            assert!(event.get("left").is_some(), "what is this? {event}");
        }
        self.check(event);
    }

    fn fill(&mut self, offer: u64, side: &str, quantity: i64, event: &Value) -> u64 {
        let open = self.offers.get_mut(&offer);
        let open = open.unwrap_or_else(|| panic!("an offer is filled that is not open: {event}"));
        assert_eq!(open.side, side, "{event}");
        open.quantity -= quantity;
        assert!(open.quantity >= 0, "an offer is filled twice: {event}");
        let member = open.member;
        if open.quantity == 0 {
            self.offers.remove(&offer);
        }
        member
    }

    fn pay(&mut self, member: u64, cash: i64, goods: i64) {
        let own = self.accounts.get_mut(&member).unwrap();
        *own = (own.0 + cash, own.1 + goods);
    }

    /// Cash and goods are conserved.
    fn check(&self, what: &Value) {
        let cash: i64 = self.accounts.values().map(|own| own.0).sum();
        let goods: i64 = self.accounts.values().map(|own| own.1).sum();
        let count = self.accounts.len() as i64;
        assert_eq!((cash, goods), (10_000 * count, 100 * count), "{what}");
        assert!(
            self.accounts.values().all(|own| own.0 >= 0 && own.1 >= 0),
            "{what}"
        );
    }
}

impl Offer {
    fn of(offer: &Value) -> Offer {
        Offer {
            side: offer["side"].as_str().unwrap().to_owned(),
            member: id(&offer["member"]),
            price: int(&offer["price"]),
            quantity: int(&offer["quantity"]),
        }
    }
}

/// The counts of what an audit has found in order.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    accounts: usize,
    pub(crate) trades: u64,
    open: usize,
    /// Orders and cancellations that clients know the outcome of.
    pub(crate) acknowledged: usize,
    refused: usize,
    /// The actions whose outcome a snapshot stood in for (R5).
    unknown: usize,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit {
            accounts,
            trades,
            open,
            acknowledged,
            refused,
            unknown,
        } = self;
        write!(
            f,
            "{accounts} accounts, {trades} trades, {open} offers open, {acknowledged} actions \
             acknowledged, {refused} refused, {unknown} covered by a snapshot: every book agrees"
        )
    }
}

/// An action, by its member and number.
type Action = (Option<Member>, Option<u64>);

/// Keeps the books from the log, and looks whether everybody agrees: what each client made of what it
/// saw, the state that the market shows, and each outcome that a client was told.
pub(crate) fn audit(log: &RoomLog, records: &[Record]) -> Audit {
    let mut books = Books::default();
    let mut actions: HashSet<Action> = HashSet::new();
    for entry in &log.entries {
        match &entry.body {
            LoggedBody::Event { by, n, data, .. } => {
                let twice = n.is_some() && !actions.insert((*by, *n));
                assert!(!twice, "{by:?}'s action {n:?} counts twice");
                books.apply(&data.read().unwrap());
            }
            LoggedBody::Result { to, n, .. } => {
                let first = actions.insert((Some(*to), Some(*n)));
                assert!(first, "{to}'s action {n} counts twice");
            }
            LoggedBody::Notice { .. } => {}
        }
    }
    let mut audit = Audit {
        accounts: books.accounts.len(),
        trades: books.last_trade,
        open: books.offers.len(),
        ..Audit::default()
    };
    for (client, record) in records.iter().enumerate() {
        assert_eq!(seen(record), books, "client {client} has kept other books");
        acknowledged(client, record, log, &actions, &mut audit);
    }
    audit
}

/// The books that a client has kept from what it saw.
fn seen(record: &Record) -> Books {
    let mut books = Books::default();
    for (_, frame) in record.frames() {
        if let ServerFrame::Joined { state, .. } | ServerFrame::Snapshot { state, .. } = frame {
            books = Books::of_state(&state.read().unwrap());
        } else if let ServerFrame::Event { data, .. } = frame {
            books.apply(&data.read().unwrap());
        }
    }
    books
}

/// Each action that a client knows to have happened stands in the log as it was asked for.
fn acknowledged(
    client: usize,
    record: &Record,
    log: &RoomLog,
    actions: &HashSet<Action>,
    audit: &mut Audit,
) {
    let mut asked: BTreeMap<usize, (u64, Value)> = BTreeMap::new();
    let mut member: Option<Member> = None;
    for sighting in &record.observations {
        if let Seen::Heard(frame) = &sighting.what {
            member = joined_as(frame).or(member);
        } else if let Seen::Asked {
            id,
            n,
            ask: Ask::Act(data),
            ..
        } = &sighting.what
        {
            asked.insert(*id, (*n, data.read().unwrap()));
        } else if let Seen::Renumbered { id, n } = &sighting.what {
            asked.entry(*id).and_modify(|asked| asked.0 = *n);
        } else if let Seen::Settled { id, outcome } = &sighting.what
            && let Some((n, action)) = asked.remove(id)
        {
            assert!(
                actions.contains(&(member, Some(n))),
                "client {client}'s {action} is lost"
            );
            if let Outcome::Refused { .. } = outcome {
                audit.refused += 1;
                continue;
            }
            if *outcome == Outcome::Unknown {
                audit.unknown += 1;
                continue;
            }
            let Outcome::Event(pos) = outcome else {
                panic!("client {client}'s {action} came to {outcome:?}");
            };
            let entry = log.entries.iter().find(|entry| entry.pos == *pos);
            let LoggedBody::Event { by, data, .. } = &entry.unwrap().body else {
                panic!("client {client}'s {action} is no event at {pos}");
            };
            assert_eq!(*by, member, "client {client}'s {action} is another's");
            assert!(
                is_outcome(&action, &data.read().unwrap()),
                "{action}: {data:?}"
            );
            audit.acknowledged += 1;
        }
    }
    assert!(asked.is_empty(), "client {client} never heard of {asked:?}");
}

fn is_outcome(action: &Value, event: &Value) -> bool {
    let side = ["buy", "sell"]
        .into_iter()
        .find(|side| action.get(side).is_some());
    match side {
        Some(side) => {
            let (order, offered) = (&action[side], &event["offered"]);
            offered["side"] == side
                && offered["price"] == order["price"]
                && offered["quantity"] == order["quantity"]
        }
        None => event["withdrawn"]["offer"] == action["cancel"],
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn id(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

fn int(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}
