use outlast_protocol::Member;
use rand::{Rng, RngExt, rngs::StdRng};

use super::model::{Deed, Model};
use crate::rooms::exchange::offer::Side;

/// The habits of people in this market.
pub(crate) struct Habits {
    pub(crate) members: Member,
    /// Prices lie between these.
    prices: (u64, u64),
    /// The amount by which sellers start higher than buyers.
    gap: u64,
    quantity_max: u64,
    cancels: f64,
    leaves: f64,
}

impl Habits {
    pub(crate) fn draw(rng: &mut StdRng) -> Habits {
        let low = [1, 20, 100][rng.random_range(0..3)];
        let wide = [1, 10, 50, 1_000][rng.random_range(0..4)];
        Habits {
            members: rng.random_range(2..=40),
            prices: (low, low + wide),
            gap: [0, 0, wide / 4, wide / 2][rng.random_range(0..4)],
            quantity_max: [1, 3, 10, 50][rng.random_range(0..4)],
            cancels: [0.05, 0.2, 0.4][rng.random_range(0..3)],
            leaves: [0.0, 0.002, 0.02][rng.random_range(0..3)],
        }
    }
    /// Draws somebody's next deed.
    pub(crate) fn draw_deed(&self, model: &Model, rng: &mut StdRng) -> Deed {
        let member = rng.random_range(1..=self.members);
        if !model.is_here(member) {
            return Deed::Join(member);
        }
        if rng.random_bool(self.leaves) {
            return Deed::Leave(member);
        }
        if rng.random_bool(self.cancels) {
            return cancel(member, model, rng);
        }
        self.order(member, rng)
    }

    fn order(&self, member: Member, rng: &mut StdRng) -> Deed {
        let (low, high) = self.prices;
        let side = if rng.random() { Side::Buy } else { Side::Sell };
        let gap = if side == Side::Sell { self.gap } else { 0 };
        let price = rng.random_range(low..=high) + gap;
        let quantity = rng.random_range(1..=self.quantity_max);
        let (price, quantity) = match rng.random_range(0..1_000) {
            0 => (rng.next_u64(), rng.next_u64()),
            1 => (1_000_000, 1_000_000),
            2 => (price, 0),
            _ => (price, quantity),
        };
        Deed::Order {
            member,
            side,
            price,
            quantity,
        }
    }
}

/// Mostly somebody's own offer; at times another's, or one that is not open.
fn cancel(member: Member, model: &Model, rng: &mut StdRng) -> Deed {
    let open = model.offers();
    if open.is_empty() {
        let offer = rng.random_range(0..1_000);
        return Deed::Cancel { member, offer };
    }
    let offer = open[rng.random_range(0..open.len())];
    let member = if rng.random_bool(0.9) {
        offer.member
    } else {
        member
    };
    Deed::Cancel {
        member,
        offer: offer.offer,
    }
}
