use std::collections::BTreeMap;

use crate::{
    Member,
    rooms::exchange::{
        Event, Exchange,
        ledger::Trade,
        offer::{Offer, Side},
    },
};

/// A market done the slow and plain way: lists, and nothing kept that can be counted instead.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// The open offers, the oldest first.
    offers: Vec<Offer>,
    offers_ever: u64,
    trades: Vec<Trade>,
    accounts: BTreeMap<Member, Account>,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    here: bool,
    cash: u64,
    goods: u64,
}

/// Somebody's deed in a market.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Deed {
    Join(Member),
    Leave(Member),
    Order {
        member: Member,
        side: Side,
        price: u64,
        quantity: u64,
    },
    Cancel {
        member: Member,
        offer: u64,
    },
}

impl Deed {
    /// Whose it is.
    pub(crate) fn member(self) -> Member {
        match self {
            Deed::Join(member) | Deed::Leave(member) => member,
            Deed::Order { member, .. } | Deed::Cancel { member, .. } => member,
        }
    }

    /// The action that asks for it; joins and leaves are none.
    pub(crate) fn to_json(self) -> String {
        match self {
            Deed::Join(_) | Deed::Leave(_) => "null".into(),
            Deed::Order {
                side,
                price,
                quantity,
                ..
            } => {
                let side = if side == Side::Buy { "buy" } else { "sell" };
                format!(r#"{{"{side}":{{"price":{price},"quantity":{quantity}}}}}"#)
            }
            Deed::Cancel { offer, .. } => format!(r#"{{"cancel":{offer}}}"#),
        }
    }
}

impl Model {
    /// Does a deed, and returns its events, or the code of a refusal.
    pub(crate) fn does(&mut self, deed: Deed) -> Result<Vec<Event>, &'static str> {
        match deed {
            Deed::Join(member) => Ok(self.join(member)),
            Deed::Leave(member) => Ok(self.leave(member)),
            Deed::Order {
                member,
                side,
                price,
                quantity,
            } => {
                let mut after = self.clone_books();
                let events = after.order(member, side, price, quantity)?;
                self.offers = after.offers;
                self.accounts = after.accounts;
                self.offers_ever = after.offers_ever;
                self.trades.extend(events.iter().filter_map(trade));
                Ok(events)
            }
            Deed::Cancel { member, offer } => self.cancel(member, offer),
        }
    }

    pub(crate) fn is_here(&self, member: Member) -> bool {
        self.accounts.get(&member).is_some_and(|member| member.here)
    }

    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// True if the market holds what this one does.
    pub(crate) fn check(&self, room: &Exchange) {
        assert!(room.book.offers().eq(&self.offers), "the offers differ");
        let last = self.trades.len().saturating_sub(100);
        assert!(
            room.ledger.trades().iter().eq(&self.trades[last..]),
            "the ledgers differ"
        );
        assert_eq!(room.holdings.accounts().count(), self.accounts.len());
        let (mut cash_held, mut goods_held) = (0, 0);
        for account in room.holdings.accounts() {
            let mine = self.accounts[&account.member];
            assert_eq!((account.cash, account.goods), (mine.cash, mine.goods));
            assert!(account.cash_held <= account.cash && account.goods_held <= account.goods);
            cash_held += account.cash_held;
            goods_held += account.goods_held;
        }
        let (mut cash, mut goods) = (0, 0);
        for offer in &self.offers {
            match offer.side {
                Side::Buy => cash += offer.price * offer.quantity,
                Side::Sell => goods += offer.quantity,
            }
        }
        assert_eq!((cash_held, goods_held), (cash, goods));
    }

    /// True if what is held of one member's is what its offers may cost.
    pub(crate) fn check_held(&self, room: &Exchange, member: Member) {
        let mut accounts = room.holdings.accounts();
        if let Some(account) = accounts.find(|account| account.member == member) {
            let held = (account.cash_held, account.goods_held);
            assert_eq!(held, self.held(member));
        }
    }

    fn clone_books(&self) -> Model {
        Model {
            offers: self.offers.clone(),
            offers_ever: self.offers_ever,
            trades: self.trades.last().copied().into_iter().collect(),
            accounts: self.accounts.clone(),
        }
    }

    fn join(&mut self, member: Member) -> Vec<Event> {
        let fresh = Account {
            here: true,
            cash: 10_000,
            goods: 100,
        };
        self.accounts.entry(member).or_insert(fresh).here = true;
        let name = format!("member {member}");
        vec![Event::Entered { member, name }]
    }

    fn leave(&mut self, member: Member) -> Vec<Event> {
        let (gone, stay) = self.offers.iter().partition(|offer| offer.member == member);
        self.offers = stay;
        self.accounts.get_mut(&member).unwrap().here = false;
        let gone: Vec<Offer> = gone;
        let mut events: Vec<_> = gone.iter().map(withdrawn).collect();
        let reason = "left".to_owned();
        events.push(Event::Left { member, reason });
        events
    }

    fn cancel(&mut self, member: Member, id: u64) -> Result<Vec<Event>, &'static str> {
        let at = self.offers.iter().position(|offer| offer.offer == id);
        let at = at.ok_or("not_open")?;
        if self.offers[at].member != member {
            return Err("not_yours");
        }
        Ok(vec![withdrawn(&self.offers.remove(at))])
    }

    fn order(
        &mut self,
        member: Member,
        side: Side,
        price: u64,
        quantity: u64,
    ) -> Result<Vec<Event>, &'static str> {
        if !(1..=1_000_000).contains(&price) {
            return Err("bad_price");
        }
        if !(1..=1_000_000).contains(&quantity) {
            return Err("bad_quantity");
        }
        let account = self.accounts[&member];
        let (cash_held, goods_held) = self.held(member);
        if side == Side::Buy
            && u128::from(cash_held) + u128::from(price) * u128::from(quantity)
                > u128::from(account.cash)
        {
            return Err("not_enough_cash");
        }
        if side == Side::Sell && goods_held + quantity > account.goods {
            return Err("not_enough_goods");
        }
        self.offers_ever += 1;
        let mut new = Offer {
            offer: self.offers_ever,
            side,
            member,
            price,
            quantity,
        };
        let mut events = vec![Event::Offered(new)];
        while new.quantity > 0 {
            let Some(at) = self.best_for(&new) else { break };
            let old = self.offers[at];
            let quantity = new.quantity.min(old.quantity);
            let (buy, sell) = match side {
                Side::Buy => (new, old),
                Side::Sell => (old, new),
            };
            let buyer = self.accounts.get_mut(&buy.member).unwrap();
            buyer.cash -= old.price * quantity;
            buyer.goods += quantity;
            let seller = self.accounts.get_mut(&sell.member).unwrap();
            seller.cash += old.price * quantity;
            seller.goods -= quantity;
            let trade = Trade {
                trade: self.trades.last().map_or(0, |trade| trade.trade) + 1,
                buy: buy.offer,
                sell: sell.offer,
                price: old.price,
                quantity,
            };
            self.trades.push(trade);
            events.push(Event::Traded(trade));
            new.quantity -= quantity;
            self.offers[at].quantity -= quantity;
            self.offers.retain(|offer| offer.quantity > 0);
        }
        if new.quantity > 0 {
            self.offers.push(new);
            let mine = self.offers.iter().filter(|offer| offer.member == member);
            if mine.count() > 20 {
                return Err("too_many_offers");
            }
            if self.offers.len() > 500 {
                return Err("book_full");
            }
        }
        Ok(events)
    }

    /// The best of the offers that this one meets, and of those the oldest.
    fn best_for(&self, new: &Offer) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (at, offer) in self.offers.iter().enumerate() {
            let better = |than: usize| match new.side {
                Side::Buy => offer.price < self.offers[than].price,
                Side::Sell => offer.price > self.offers[than].price,
            };
            let meets = match new.side {
                Side::Buy => offer.side == Side::Sell && offer.price <= new.price,
                Side::Sell => offer.side == Side::Buy && offer.price >= new.price,
            };
            if meets && best.is_none_or(better) {
                best = Some(at);
            }
        }
        best
    }

    /// Returns the cash and goods that a member's open offers hold.
    fn held(&self, member: Member) -> (u64, u64) {
        let (mut cash, mut goods) = (0, 0);
        for offer in self.offers.iter().filter(|offer| offer.member == member) {
            match offer.side {
                Side::Buy => cash += offer.price * offer.quantity,
                Side::Sell => goods += offer.quantity,
            }
        }
        (cash, goods)
    }
}

fn withdrawn(offer: &Offer) -> Event {
    Event::Withdrawn {
        offer: offer.offer,
        quantity: offer.quantity,
    }
}

fn trade(event: &Event) -> Option<Trade> {
    match event {
        Event::Traded(trade) => Some(*trade),
        Event::Entered { .. }
        | Event::Left { .. }
        | Event::Closed(_)
        | Event::Offered(_)
        | Event::Withdrawn { .. } => None,
    }
}
