use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::offer::{OfferId, TradeId};

/// The number of newest trades that are shown.
const TRADES_MAX: usize = 100;

/// Two offers that met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// The trade's id.
    pub(super) trade: TradeId,
    /// The offer to buy.
    pub(super) buy: OfferId,
    /// The offer to sell.
    pub(super) sell: OfferId,
    /// The price of one: the older offer's.
    pub(super) price: u64,
    /// The quantity that changed hands.
    pub(super) quantity: u64,
}

/// The newest trades, and how many there were.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The newest trade that ever was.
    last: TradeId,
    trades: VecDeque<Trade>,
}

impl Ledger {
    /// Returns the id of the next trade.
    pub(super) fn next_id(&self) -> TradeId {
        self.last + 1
    }

    /// The newest trades, the oldest of them first.
    pub(super) fn trades(&self) -> &VecDeque<Trade> {
        &self.trades
    }

    pub(super) fn push(&mut self, trade: Trade) {
        if self.trades.len() == TRADES_MAX {
            self.trades.pop_front();
        }
        self.last = trade.trade;
        self.trades.push_back(trade);
    }
}
