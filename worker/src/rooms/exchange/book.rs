use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize, Serializer};

use super::offer::{Offer, OfferId, Side};
use crate::{Member, Refusal};

/// The largest number of offers in the book …
const OFFERS_MAX: usize = 500;
/// … and how many of one member.
const OFFERS_OF_ONE_MAX: usize = 20;

/// The offers that wait for others to meet them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Book {
    /// The newest offer that ever was.
    last: OfferId,
    /// By their names, and so by their age.
    #[serde(serialize_with = "values")]
    offers: BTreeMap<OfferId, Offer>,
    /// The offers to buy; whoever pays most stands first, then the oldest.
    #[serde(skip)]
    bids: BTreeSet<(Reverse<u64>, OfferId)>,
    /// The offers to sell; whoever takes least stands first, then the oldest.
    #[serde(skip)]
    asks: BTreeSet<(u64, OfferId)>,
    #[serde(skip)]
    owned: BTreeMap<Member, BTreeSet<OfferId>>,
}

/// The part of a book that is written down: the rest follows from it.
#[derive(Deserialize)]
struct Written {
    last: OfferId,
    offers: Vec<Offer>,
}

impl Book {
    /// Returns the id of the next offer.
    pub(super) fn next_id(&self) -> OfferId {
        self.last + 1
    }

    pub(super) fn get(&self, offer: OfferId) -> Option<&Offer> {
        self.offers.get(&offer)
    }

    /// All offers, the oldest first.
    pub(super) fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values()
    }

    /// A member's offers, the oldest first.
    pub(super) fn of(&self, member: Member) -> impl Iterator<Item = &Offer> {
        let owned = self.owned.get(&member).into_iter().flatten();
        owned.filter_map(|offer| self.offers.get(offer))
    }

    /// Returns the offers that a new offer meets, in turn: of each, as much as changes hands.
    pub(super) fn meet(&self, new: &Offer) -> Vec<Offer> {
        let mut wanted = new.quantity;
        let mut met = Vec::new();
        let ids: Box<dyn Iterator<Item = &OfferId>> = match new.side {
            Side::Buy => {
                let asks = self.asks.iter();
                Box::new(
                    asks.take_while(|(price, _)| *price <= new.price)
                        .map(|(_, id)| id),
                )
            }
            Side::Sell => {
                let bids = self.bids.iter();
                Box::new(
                    bids.take_while(|(Reverse(price), _)| *price >= new.price)
                        .map(|(_, id)| id),
                )
            }
        };
        for offer in ids.filter_map(|id| self.offers.get(id)) {
            if wanted == 0 {
                break;
            }
            let quantity = wanted.min(offer.quantity);
            wanted -= quantity;
            met.push(Offer { quantity, ..*offer });
        }
        met
    }

    /// Refuses an offer of which something would be left to stand in a book that is full, once it has
    /// met these.
    pub(super) fn check_room(&self, new: &Offer, met: &[Offer]) -> Result<(), Refusal> {
        if met.iter().map(|met| met.quantity).sum::<u64>() == new.quantity {
            return Ok(());
        }
        // All that it meets is filled, or nothing would be left of it.
        let mine = met.iter().filter(|met| met.member == new.member).count();
        if self.of(new.member).count() - mine >= OFFERS_OF_ONE_MAX {
            let message = format!("you have {OFFERS_OF_ONE_MAX} open offers; cancel one first");
            return Err(Refusal::new("too_many_offers", message));
        }
        if self.offers.len() - met.len() >= OFFERS_MAX {
            let message = format!(
                "the book holds {OFFERS_MAX} offers and is full; offer a price that is met at once, \
                 or try again later"
            );
            return Err(Refusal::new("book_full", message));
        }
        Ok(())
    }

    pub(super) fn add(&mut self, offer: Offer) {
        let id = offer.offer;
        self.last = self.last.max(id);
        match offer.side {
            Side::Buy => self.bids.insert((Reverse(offer.price), id)),
            Side::Sell => self.asks.insert((offer.price, id)),
        };
        self.owned.entry(offer.member).or_default().insert(id);
        self.offers.insert(id, offer);
    }

    /// Takes so much of an offer off the book, and answers what was taken.
    ///
    /// # Panics
    /// Where the offer is not open, or smaller: rather than being wrong, the book stops.
    pub(super) fn reduce(&mut self, id: OfferId, quantity: u64) -> Offer {
        let offer = self.offers.get_mut(&id).expect("the offer is open");
        let left = offer.quantity.checked_sub(quantity);
        offer.quantity = left.expect("the offer is as large");
        let taken = Offer { quantity, ..*offer };
        if offer.quantity == 0 {
            self.remove(taken);
        }
        taken
    }

    fn remove(&mut self, offer: Offer) {
        let id = offer.offer;
        self.offers.remove(&id);
        match offer.side {
            Side::Buy => self.bids.remove(&(Reverse(offer.price), id)),
            Side::Sell => self.asks.remove(&(offer.price, id)),
        };
        if let Some(owned) = self.owned.get_mut(&offer.member) {
            owned.remove(&id);
            if owned.is_empty() {
                self.owned.remove(&offer.member);
            }
        }
    }
}

impl From<Written> for Book {
    fn from(Written { last, offers }: Written) -> Self {
        let mut book = Book {
            last,
            ..Book::default()
        };
        offers.into_iter().for_each(|offer| book.add(offer));
        book
    }
}

fn values<S: Serializer>(offers: &BTreeMap<OfferId, Offer>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(offers.values())
}
