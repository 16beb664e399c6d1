use serde::{Deserialize, Serialize};

use crate::{Member, Refusal};

/// The id of an offer: 1, 2, 3 … in the market, and never used again.
pub(super) type OfferId = u64;

/// The id of a trade: 1, 2, 3 … in the market, and never used again.
pub(super) type TradeId = u64;

/// The highest price and quantity.
const MAX: u64 = 1_000_000;

/// A member's order to buy or sell.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Order {
    /// The most that it pays for one, or the least that it takes.
    pub(super) price: u64,
    /// The number of goods.
    pub(super) quantity: u64,
}

/// An offer, or what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The offer's id.
    pub(super) offer: OfferId,
    /// True if it is to buy or to sell.
    pub(super) side: Side,
    /// Whose it is.
    pub(super) member: Member,
    /// The most that it pays for one, or the least that it takes.
    pub(super) price: u64,
    /// The number of goods.
    pub(super) quantity: u64,
}

/// The two sides of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// Goods for cash.
    Buy,
    /// Cash for goods.
    Sell,
}

impl Order {
    /// Refuses what is out of bounds. What passes costs 10^12 at most, so no sum of it overflows.
    pub(super) fn check(self) -> Result<(), Refusal> {
        let check = |what, code, number| match number {
            1..=MAX => Ok(()),
            _ => {
                let message = format!("a {what} is a whole number from 1 to {MAX}, not {number}");
                Err(Refusal::new(code, message))
            }
        };
        check("price", "bad_price", self.price)?;
        check("quantity", "bad_quantity", self.quantity)
    }
}

impl Offer {
    /// Returns its cost at its own price.
    pub(super) fn cost(&self) -> u64 {
        self.price * self.quantity
    }
}
