use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::offer::{Offer, Side};
use crate::{Member, Refusal};

/// The cash and goods that each member starts with.
const CASH: u64 = 10_000;
const GOODS: u64 = 100;

/// The largest number of accounts, apart from those that are summed up.
const ACCOUNTS_MAX: usize = 1_000;

/// The accounts of all members. No unit of cash or goods comes or goes but with a new account.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Holdings {
    #[serde(serialize_with = "values")]
    accounts: BTreeMap<Member, Account>,
    closed: Closed,
}

/// One member's account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) member: Member,
    /// The member's name, or its last one.
    pub(super) name: String,
    pub(super) presence: Presence,
    pub(super) cash: u64,
    pub(super) goods: u64,
    /// The part of the cash that its offers to buy may cost.
    pub(super) cash_held: u64,
    /// The part of the goods that it offers to sell.
    pub(super) goods_held: u64,
}

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Presence {
    /// In the room.
    Here,
    /// It left, and may come back.
    Left,
    /// Its session is over: it never comes back.
    Over,
}

/// Accounts of sessions that are over, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Closed {
    /// The number of accounts.
    pub(super) accounts: u64,
    pub(super) cash: u64,
    pub(super) goods: u64,
}

#[derive(Deserialize)]
struct Written {
    accounts: Vec<Account>,
    closed: Closed,
}

impl Holdings {
    /// All accounts, by member.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    pub(super) fn closed(&self) -> &Closed {
        &self.closed
    }

    /// Whose account has to be closed before this member can have one: where there are too many, the
    /// oldest of a session that is over.
    pub(super) fn make_room_for(&self, member: Member) -> Result<Option<Member>, Refusal> {
        if self.accounts.contains_key(&member) || self.accounts.len() < ACCOUNTS_MAX {
            return Ok(None);
        }
        let mut accounts = self.accounts();
        let over = accounts.find(|account| account.presence == Presence::Over);
        over.map(|over| Some(over.member)).ok_or_else(|| {
            let message = format!(
                "this market keeps {ACCOUNTS_MAX} accounts and has no room for another; trade in \
                 another one, or try again later"
            );
            Refusal::new("market_full", message)
        })
    }

    /// Refuses an offer that the member's free cash or goods do not cover.
    pub(super) fn check_covered(&self, offer: &Offer) -> Result<(), Refusal> {
        let account = self.accounts.get(&offer.member);
        let account = account.expect("a member has an account");
        match offer.side {
            Side::Buy => {
                let (cost, free) = (offer.cost(), account.cash - account.cash_held);
                (cost <= free).then_some(()).ok_or_else(|| {
                    let message = format!(
                        "this may cost {cost}, and {free} of your cash is free; buy less, or cancel \
                         an offer to buy"
                    );
                    Refusal::new("not_enough_cash", message)
                })
            }
            Side::Sell => {
                let (wanted, free) = (offer.quantity, account.goods - account.goods_held);
                (wanted <= free).then_some(()).ok_or_else(|| {
                    let message = format!(
                        "these are {wanted}, and {free} of your goods are free; sell less, or cancel \
                         an offer to sell"
                    );
                    Refusal::new("not_enough_goods", message)
                })
            }
        }
    }

    /// A member comes in. It has what it had, or opens an account.
    pub(super) fn enter(&mut self, member: Member, name: String) {
        let account = self.accounts.entry(member).or_insert(Account {
            member,
            name: String::new(),
            presence: Presence::Here,
            cash: CASH,
            goods: GOODS,
            cash_held: 0,
            goods_held: 0,
        });
        account.name = name;
        account.presence = Presence::Here;
    }

    pub(super) fn leave(&mut self, member: Member, reason: &str) {
        if let Some(account) = self.accounts.get_mut(&member) {
            account.presence = match reason {
                "left" => Presence::Left,
                _ => Presence::Over,
            };
        }
    }

    /// Sums an account up with those that were before.
    pub(super) fn close(&mut self, member: Member) {
        if let Some(account) = self.accounts.remove(&member) {
            self.closed.accounts += 1;
            self.closed.cash += account.cash;
            self.closed.goods += account.goods;
        }
    }

    /// Holds what an offer may cost.
    pub(super) fn hold(&mut self, offer: &Offer) {
        let account = self.account(offer.member);
        match offer.side {
            Side::Buy => account.cash_held += offer.cost(),
            Side::Sell => account.goods_held += offer.quantity,
        }
        assert!(
            account.cash_held <= account.cash && account.goods_held <= account.goods,
            "an offer is covered"
        );
    }

    /// Frees what was held for an offer, or a part of it.
    pub(super) fn release(&mut self, gone: &Offer) {
        let account = self.account(gone.member);
        match gone.side {
            Side::Buy => take(&mut account.cash_held, gone.cost()),
            Side::Sell => take(&mut account.goods_held, gone.quantity),
        }
    }

    /// Cash and goods change hands: as much as was taken of both offers, at this price for one.
    pub(super) fn settle(&mut self, buy: &Offer, sell: &Offer, price: u64) {
        self.release(buy);
        self.release(sell);
        let (goods, cash) = (buy.quantity, buy.quantity * price);
        let buyer = self.account(buy.member);
        take(&mut buyer.cash, cash);
        buyer.goods += goods;
        let seller = self.account(sell.member);
        take(&mut seller.goods, goods);
        seller.cash += cash;
    }

    fn account(&mut self, member: Member) -> &mut Account {
        let account = self.accounts.get_mut(&member);
        account.expect("whoever offers has an account")
    }
}

/// Rather than being wrong, the books stop.
fn take(from: &mut u64, much: u64) {
    *from = from.checked_sub(much).expect("the books balance");
}

impl From<Written> for Holdings {
    fn from(Written { accounts, closed }: Written) -> Self {
        let accounts = accounts.into_iter();
        Holdings {
            accounts: accounts.map(|account| (account.member, account)).collect(),
            closed,
        }
    }
}

fn values<S: Serializer>(accounts: &BTreeMap<Member, Account>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(accounts.values())
}
