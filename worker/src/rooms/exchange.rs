//! `exchange/SYMBOL`: a market whose books balance to the last unit (B3).
//!
//! A market is bounded, so that it can be shown whole and no action outgrows a commit: it has so many
//! accounts, and so many open offers. An order may meet all of them at once, and is then 501 events.

mod book;
mod holdings;
mod ledger;
mod offer;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use self::{
    book::Book,
    holdings::{Account, Closed, Holdings},
    ledger::{Ledger, Trade},
    offer::{Offer, OfferId, Order, Side},
};
use super::name::check_name;
use crate::{At, Cx, Input, Member, Refusal, Room};

/// A market for one kind of goods.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Exchange {
    book: Book,
    ledger: Ledger,
    holdings: Holdings,
}

/// The data of a join.
#[derive(Debug, Deserialize)]
pub struct Join {
    name: String,
}

/// The actions of a member.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Offer to buy, at this price or lower.
    Buy(Order),
    /// Offer to sell, at this price or higher.
    Sell(Order),
    /// Withdraw what is left of an offer of one's own.
    Cancel(OfferId),
}

/// The events of a market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody came in. Who was never here before opens an account.
    Entered {
        /// The member that came in.
        member: Member,
        /// Its name.
        name: String,
    },
    /// Somebody is no longer there. The account stays.
    Left {
        /// The member that is gone.
        member: Member,
        /// `left`, `ended` or `expired`.
        reason: String,
    },
    /// The account of somebody whose session is over was summed up with others like it, to make room
    /// for a new one.
    Closed(Member),
    /// Somebody offers to buy or sell; what it may cost is held from now on.
    Offered(Offer),
    /// Two offers met.
    Traded(Trade),
    /// The rest of an offer is off the book, and free again.
    Withdrawn {
        /// Which offer.
        offer: OfferId,
        /// The quantity that was left of it.
        quantity: u64,
    },
}

#[derive(Serialize)]
struct View<'a> {
    offers: Vec<&'a Offer>,
    ledger: &'a VecDeque<Trade>,
    holdings: Vec<&'a Account>,
    closed: &'a Closed,
}

impl Room for Exchange {
    const KIND: &'static str = "exchange";
    type Join = Join;
    type Action = Action;
    type Event = Event;

    fn handle(&self, input: Input<Join, Action>, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        match input {
            Input::Join { member, data, .. } => self.enter(member, data.name, cx),
            Input::Leave { member, reason } => {
                for offer in self.book.of(member) {
                    cx.emit(withdrawn(offer));
                }
                cx.emit(Event::Left { member, reason });
                Ok(())
            }
            Input::Act { member, action } => match action {
                Action::Buy(order) => self.offer(member, Side::Buy, order, cx),
                Action::Sell(order) => self.offer(member, Side::Sell, order, cx),
                Action::Cancel(offer) => self.cancel(member, offer, cx),
            },
            // A trader's offers stand also while its connection is away.
            Input::Detached { .. } | Input::Attached { .. } | Input::Wake => Ok(()),
        }
    }

    fn apply(&mut self, event: Event, _at: At) {
        match event {
            Event::Entered { member, name } => self.holdings.enter(member, name),
            Event::Left { member, reason } => self.holdings.leave(member, &reason),
            Event::Closed(member) => self.holdings.close(member),
            Event::Offered(offer) => {
                self.holdings.hold(&offer);
                self.book.add(offer);
            }
            Event::Traded(trade) => {
                let buy = self.book.reduce(trade.buy, trade.quantity);
                let sell = self.book.reduce(trade.sell, trade.quantity);
                self.holdings.settle(&buy, &sell, trade.price);
                self.ledger.push(trade);
            }
            Event::Withdrawn { offer, quantity } => {
                let gone = self.book.reduce(offer, quantity);
                self.holdings.release(&gone);
            }
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        View {
            offers: self.book.offers().collect(),
            ledger: self.ledger.trades(),
            holdings: self.holdings.accounts().collect(),
            closed: self.holdings.closed(),
        }
    }
}

impl Exchange {
    fn enter(&self, member: Member, name: String, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        check_name(&name)?;
        if let Some(over) = self.holdings.make_room_for(member)? {
            cx.emit(Event::Closed(over));
        }
        cx.emit(Event::Entered { member, name });
        Ok(())
    }

    /// Puts an offer on the book, and lets it meet what stands there: the best price first, then the
    /// oldest. A member's own offers are met like any other, since the book knows no names; nothing
    /// changes hands then, but both offers are filled.
    fn offer(
        &self,
        member: Member,
        side: Side,
        order: Order,
        cx: &mut Cx<'_, Event>,
    ) -> Result<(), Refusal> {
        order.check()?;
        let offer = Offer {
            offer: self.book.next_id(),
            side,
            member,
            price: order.price,
            quantity: order.quantity,
        };
        self.holdings.check_covered(&offer)?;
        let fills = self.book.meet(&offer);
        self.book.check_room(&offer, &fills)?;
        let (id, trades) = (offer.offer, self.ledger.next_id()..);
        cx.emit(Event::Offered(offer));
        for (trade, met) in trades.zip(fills) {
            let (buy, sell) = match side {
                Side::Buy => (id, met.offer),
                Side::Sell => (met.offer, id),
            };
            cx.emit(Event::Traded(Trade {
                trade,
                buy,
                sell,
                price: met.price,
                quantity: met.quantity,
            }));
        }
        Ok(())
    }

    fn cancel(
        &self,
        member: Member,
        offer: OfferId,
        cx: &mut Cx<'_, Event>,
    ) -> Result<(), Refusal> {
        let offer = self.book.get(offer).ok_or_else(|| {
            let message = format!("offer {offer} is not open: it was filled or withdrawn");
            Refusal::new("not_open", message)
        })?;
        if offer.member != member {
            let message = format!("offer {} is not yours; cancel your own", offer.offer);
            return Err(Refusal::new("not_yours", message));
        }
        cx.emit(withdrawn(offer));
        Ok(())
    }
}

fn withdrawn(offer: &Offer) -> Event {
    Event::Withdrawn {
        offer: offer.offer,
        quantity: offer.quantity,
    }
}
