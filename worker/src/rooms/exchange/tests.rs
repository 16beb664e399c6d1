mod chance;
pub(crate) mod habits;
pub(crate) mod model;

use serde_json::{Value, json};

use super::Exchange;
use crate::testing::Stage;

/// A market with Ada and Bob in it.
fn stage() -> Stage<Exchange> {
    let mut stage = Stage::new();
    for (member, name) in [(1, "Ada"), (2, "Bob")] {
        stage
            .join(member, json!({"name": name}))
            .happens([entered(member, name)]);
    }
    stage
}

fn entered(member: u32, name: &str) -> Value {
    json!({"entered": {"member": member, "name": name}})
}

fn offered(offer: u64, side: &str, member: u32, price: u64, quantity: u64) -> Value {
    json!({"offered":
        {"offer": offer, "side": side, "member": member, "price": price, "quantity": quantity}})
}

fn traded(trade: u64, buy: u64, sell: u64, price: u64, quantity: u64) -> Value {
    json!({"traded":
        {"trade": trade, "buy": buy, "sell": sell, "price": price, "quantity": quantity}})
}

fn withdrawn(offer: u64, quantity: u64) -> Value {
    json!({"withdrawn": {"offer": offer, "quantity": quantity}})
}

fn buy(price: u64, quantity: u64) -> Value {
    json!({"buy": {"price": price, "quantity": quantity}})
}

fn sell(price: u64, quantity: u64) -> Value {
    json!({"sell": {"price": price, "quantity": quantity}})
}

/// Cash, goods, and what is held of them.
fn holdings(stage: &Stage<Exchange>, member: u32) -> [u64; 4] {
    let view = stage.view(member);
    let mut all = view["holdings"].as_array().unwrap().iter();
    let mine = all.find(|account| account["member"] == member).unwrap();
    ["cash", "goods", "cash_held", "goods_held"].map(|what| mine[what].as_u64().unwrap())
}

#[test]
fn b3_who_joins_has_10000_cash_and_100_goods() {
    let account = |member, name| {
        json!({"member": member, "name": name, "presence": "here",
            "cash": 10_000, "goods": 100, "cash_held": 0, "goods_held": 0})
    };
    assert_eq!(
        stage().view(1),
        json!({"offers": [], "ledger": [], "holdings": [account(1, "Ada"), account(2, "Bob")],
            "closed": {"accounts": 0, "cash": 0, "goods": 0}})
    );
}

#[test]
fn b3_a_bad_join_is_refused() {
    let mut stage = stage();
    stage.join(3, json!({"name": ""})).is_refused("bad_name");
    stage.join(3, json!(null)).is_refused("bad_join");
}

#[test]
fn b3_offers_meet_at_the_older_ones_price() {
    let mut stage = stage();
    stage
        .act(1, sell(90, 10))
        .happens([offered(1, "sell", 1, 90, 10)]);
    assert_eq!(holdings(&stage, 1), [10_000, 100, 0, 10]);
    stage
        .act(2, buy(100, 4))
        .happens([offered(2, "buy", 2, 100, 4), traded(1, 2, 1, 90, 4)]);
    assert_eq!(holdings(&stage, 1), [10_360, 96, 0, 6]);
    assert_eq!(holdings(&stage, 2), [9_640, 104, 0, 0]);
    stage
        .act(2, buy(95, 10))
        .happens([offered(3, "buy", 2, 95, 10), traded(2, 3, 1, 90, 6)]);
    assert_eq!(holdings(&stage, 2), [9_100, 110, 4 * 95, 0]);
    stage
        .act(1, sell(80, 1))
        .happens([offered(4, "sell", 1, 80, 1), traded(3, 3, 4, 95, 1)]);
    let view = stage.view(1);
    let open = json!([{"offer": 3, "side": "buy", "member": 2, "price": 95, "quantity": 3}]);
    assert_eq!(view["offers"], open);
    assert_eq!(view["ledger"].as_array().unwrap().len(), 3);
    let last = json!({"trade": 3, "buy": 3, "sell": 4, "price": 95, "quantity": 1});
    assert_eq!(view["ledger"][2], last);
}

#[test]
fn b3_the_best_price_comes_first_and_then_the_oldest() {
    let mut stage = stage();
    for price in [50, 40, 40, 60] {
        let _ = stage.act(1, sell(price, 1));
    }
    stage.act(2, buy(55, 4)).happens([
        offered(5, "buy", 2, 55, 4),
        traded(1, 5, 2, 40, 1),
        traded(2, 5, 3, 40, 1),
        traded(3, 5, 1, 50, 1),
    ]);
    let _ = stage.act(2, buy(58, 1));
    stage.act(1, sell(50, 3)).happens([
        offered(7, "sell", 1, 50, 3),
        traded(4, 6, 7, 58, 1),
        traded(5, 5, 7, 55, 1),
    ]);
}

#[test]
fn b3_numbers_are_whole_and_from_1_to_a_million() {
    let mut stage = stage();
    for bad in [0, 1_000_001, u64::MAX] {
        stage.act(1, buy(bad, 1)).is_refused("bad_price");
        stage.act(1, buy(1, bad)).is_refused("bad_quantity");
        stage.act(1, sell(bad, 1)).is_refused("bad_price");
        stage.act(1, sell(1, bad)).is_refused("bad_quantity");
    }
    for bad in [json!(1.5), json!(-1), json!("1"), json!(null)] {
        let order = json!({"buy": {"price": bad, "quantity": 1}});
        stage.act(1, order).is_refused("bad_action");
    }
    stage
        .act(1, buy(1_000_000, 1_000_000))
        .is_refused("not_enough_cash");
    stage
        .act(1, sell(1_000_000, 100))
        .happens([offered(1, "sell", 1, 1_000_000, 100)]);
}

#[test]
fn b3_only_what_is_free_can_be_offered() {
    let mut stage = stage();
    stage.act(1, buy(101, 100)).is_refused("not_enough_cash");
    stage.act(1, sell(1, 101)).is_refused("not_enough_goods");
    stage
        .act(1, buy(60, 100))
        .happens([offered(1, "buy", 1, 60, 100)]);
    stage.act(1, buy(41, 100)).is_refused("not_enough_cash");
    stage
        .act(1, buy(40, 100))
        .happens([offered(2, "buy", 1, 40, 100)]);
    stage
        .act(1, sell(99, 60))
        .happens([offered(3, "sell", 1, 99, 60)]);
    stage.act(1, sell(99, 41)).is_refused("not_enough_goods");
    assert_eq!(holdings(&stage, 1), [10_000, 100, 10_000, 60]);
}

#[test]
fn b3_an_offer_is_cancelled_by_its_owner_alone() {
    let mut stage = stage();
    let _ = stage.act(1, sell(90, 10));
    let _ = stage.act(2, buy(90, 4));
    stage.act(2, json!({"cancel": 1})).is_refused("not_yours");
    stage.act(1, json!({"cancel": 2})).is_refused("not_open");
    stage
        .act(1, json!({"cancel": 1}))
        .happens([withdrawn(1, 6)]);
    stage.act(1, json!({"cancel": 1})).is_refused("not_open");
    assert_eq!(holdings(&stage, 1), [10_360, 96, 0, 0]);
    stage
        .act(1, sell(90, 1))
        .happens([offered(3, "sell", 1, 90, 1)]);
}

#[test]
fn b3_own_offers_meet_too() {
    let mut stage = stage();
    let _ = stage.act(1, sell(90, 10));
    stage
        .act(1, buy(100, 10))
        .happens([offered(2, "buy", 1, 100, 10), traded(1, 2, 1, 90, 10)]);
    assert_eq!(holdings(&stage, 1), [10_000, 100, 0, 0]);
}

#[test]
fn b3_who_leaves_withdraws_its_offers_and_keeps_its_holdings() {
    let mut stage = stage();
    let _ = stage.act(1, sell(90, 10));
    let _ = stage.act(2, buy(90, 4));
    let _ = stage.act(1, buy(10, 2));
    let left = json!({"left": {"member": 1, "reason": "left"}});
    stage
        .leave(1, "left")
        .happens([withdrawn(1, 6), withdrawn(3, 2), left]);
    assert_eq!(holdings(&stage, 1), [10_360, 96, 0, 0]);
    let back = stage.join(1, json!({"name": "Ada again"}));
    back.happens([entered(1, "Ada again")]);
    assert_eq!(holdings(&stage, 1), [10_360, 96, 0, 0]);
}

#[test]
fn b3_offers_stand_while_their_member_is_away() {
    let mut stage = stage();
    let _ = stage.act(1, sell(90, 10));
    stage.detach(1).is_taken();
    stage
        .act(2, buy(90, 10))
        .happens([offered(2, "buy", 2, 90, 10), traded(1, 2, 1, 90, 10)]);
    stage.attach(1).is_taken();
    assert_eq!(holdings(&stage, 1), [10_900, 90, 0, 0]);
}

#[test]
fn b3_the_ledger_shows_the_last_100_trades() {
    let mut stage = stage();
    for _ in 0..60 {
        let _ = stage.act(1, sell(1, 1));
        let _ = stage.act(2, buy(1, 1));
        let _ = stage.act(2, sell(1, 1));
        let _ = stage.act(1, buy(1, 1));
    }
    let view = stage.view(1);
    let ledger = view["ledger"].as_array().unwrap();
    assert_eq!(ledger.len(), 100);
    assert_eq!(
        (&ledger[0]["trade"], &ledger[99]["trade"]),
        (&json!(21), &json!(120))
    );
}

#[test]
fn b3_a_member_has_20_open_offers_at_most() {
    let mut stage = stage();
    for _ in 0..20 {
        let _ = stage.act(1, sell(50, 1));
    }
    stage.act(1, sell(50, 1)).is_refused("too_many_offers");
    let _ = stage.act(2, buy(40, 1));
    // What is met at once does not stay, and so it may come.
    stage
        .act(1, sell(40, 1))
        .happens([offered(22, "sell", 1, 40, 1), traded(1, 21, 22, 40, 1)]);
    let _ = stage.act(2, buy(40, 1));
    stage.act(1, sell(40, 2)).is_refused("too_many_offers");
    // It fills own offers, so that there is a place for what is left.
    let met = stage.act(1, buy(50, 21));
    assert_eq!(met.events.len(), 21);
    assert_eq!(met.events[20], traded(21, 24, 20, 50, 1));
}

#[test]
fn b3_one_order_may_meet_a_full_book() {
    let mut stage = Stage::<Exchange>::new();
    let mut id = 0;
    for member in 1..=25 {
        let _ = stage.join(member, json!({"name": "n"}));
        for _ in 0..20 {
            id += 1;
            stage
                .act(member, sell(3, 1))
                .happens([offered(id, "sell", member, 3, 1)]);
        }
    }
    let _ = stage.join(26, json!({"name": "n"}));
    stage.act(26, sell(3, 1)).is_refused("book_full");
    stage.act(26, buy(2, 1)).is_refused("book_full");
    let met = stage.act(26, buy(4, 600));
    let bytes: usize = met.events.iter().map(|event| event.to_string().len()).sum();
    println!("{} events of {bytes} bytes", met.events.len());
    assert_eq!(met.events.len(), 501);
    assert!(bytes < 100_000, "{bytes}");
    assert_eq!(holdings(&stage, 26), [8_500, 600, 400, 0]);
    stage.restart();
    assert_eq!(holdings(&stage, 26), [8_500, 600, 400, 0]);
}

#[test]
fn b3_a_full_market_closes_accounts_of_sessions_that_are_over() {
    let mut stage = Stage::<Exchange>::new();
    for member in 1..=1_000 {
        let _ = stage.join(member, json!({"name": "n".repeat(40)}));
    }
    stage
        .join(1_001, json!({"name": "n"}))
        .is_refused("market_full");
    let _ = stage.act(7, sell(1, 10));
    let _ = stage.act(8, buy(1, 10));
    let _ = stage.leave(6, "left");
    let _ = stage.leave(7, "expired");
    let _ = stage.leave(9, "ended");
    stage
        .join(1_001, json!({"name": "n"}))
        .happens([json!({"closed": 7}), entered(1_001, "n")]);
    stage
        .join(6, json!({"name": "n"}))
        .happens([entered(6, "n")]);
    let view = stage.view(1);
    assert_eq!(
        view["closed"],
        json!({"accounts": 1, "cash": 10_010, "goods": 90})
    );
    assert_eq!(view["holdings"].as_array().unwrap().len(), 1_000);
    let bytes = view.to_string().len();
    println!("a full market shows itself in {bytes} bytes");
    assert!(bytes < 256 * 1024, "{bytes}");
}
