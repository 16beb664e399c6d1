import assert from "node:assert/strict";
import test from "node:test";
import { freeze } from "./freeze.js";
import { account, apply, EMPTY, levels, sum } from "../pages/exchange/room.js";

const fold = (events, state = EMPTY) => events.reduce((state, data) => freeze(apply(state, { data })), freeze(state));

const entered = (member, name) => ({ entered: { member, name } });
const offered = (offer, side, member, price, quantity) => ({ offered: { offer, side, member, price, quantity } });
const traded = (trade, buy, sell, price, quantity) => ({ traded: { trade, buy, sell, price, quantity } });
const two = [entered(1, "Ada"), entered(2, "Bob")];
const has = (state, member) => {
  const { cash, goods, cash_held, goods_held } = account(state, member);
  return [cash, goods, cash_held, goods_held];
};

test("b3_who_enters_opens_an_account_once", () => {
  const state = fold([...two, traded(1, 8, 9, 5, 5), entered(1, "Ada Lovelace")]);
  assert.deepEqual(state.holdings, [
    { member: 1, name: "Ada Lovelace", presence: "here", cash: 10_000, goods: 100, cash_held: 0, goods_held: 0 },
    { member: 2, name: "Bob", presence: "here", cash: 10_000, goods: 100, cash_held: 0, goods_held: 0 },
  ]);
});

test("b3_what_is_offered_is_held_until_it_is_withdrawn", () => {
  const state = fold([...two, offered(1, "buy", 1, 90, 10), offered(2, "sell", 1, 95, 7)]);
  assert.deepEqual(has(state, 1), [10_000, 100, 900, 7]);
  const after = fold([{ withdrawn: { offer: 1, quantity: 10 } }], state);
  assert.deepEqual(has(after, 1), [10_000, 100, 0, 7]);
  assert.deepEqual(after.offers.map(({ offer }) => offer), [2]);
});

test("b3_a_trade_at_the_older_price_frees_what_was_held_beyond_it", () => {
  const state = fold([...two, offered(1, "sell", 1, 90, 10), offered(2, "buy", 2, 100, 4), traded(1, 2, 1, 90, 4)]);
  assert.deepEqual(has(state, 1), [10_360, 96, 0, 6]);
  assert.deepEqual(has(state, 2), [9_640, 104, 0, 0]);
  assert.deepEqual(state.offers, [{ offer: 1, side: "sell", member: 1, price: 90, quantity: 6 }]);
  assert.deepEqual(state.ledger, [{ trade: 1, buy: 2, sell: 1, price: 90, quantity: 4, buyer: 2, seller: 1 }]);
});

test("b3_a_member_that_trades_with_itself_keeps_what_it_has", () => {
  const state = fold([...two, offered(1, "sell", 1, 90, 10), offered(2, "buy", 1, 100, 10), traded(1, 2, 1, 90, 10)]);
  assert.deepEqual(has(state, 1), [10_000, 100, 0, 0]);
});

test("b3_the_sum_is_that_of_all_accounts_also_of_those_that_are_closed", () => {
  const state = fold([...two, offered(1, "sell", 1, 90, 10), offered(2, "buy", 2, 90, 10), traded(1, 2, 1, 90, 10)]);
  const left = fold([{ left: { member: 1, reason: "expired" } }, { closed: 1 }, entered(3, "Cleo")], state);
  assert.equal(account(left, 1), undefined);
  assert.deepEqual(left.closed, { accounts: 1, cash: 10_900, goods: 90 });
  assert.deepEqual(sum(left), { accounts: 3, cash: 30_000, goods: 300, must: { cash: 30_000, goods: 300 }, holds: true });
  assert.equal(sum({ ...left, closed: { accounts: 1, cash: 10_901, goods: 90 } }).holds, false);
});

test("b3_who_left_may_come_back_and_who_is_over_does_not", () => {
  const presence = (reason) => account(fold([...two, { left: { member: 1, reason } }]), 1).presence;
  assert.deepEqual(["left", "ended", "expired"].map(presence), ["left", "over", "over"]);
});

test("b3_the_ledger_holds_100_trades", () => {
  const state = fold(Array.from({ length: 130 }, (_, i) => traded(i + 1, 1, 2, 5, 5)));
  assert.deepEqual([state.ledger.length, state.ledger[0].trade], [100, 31]);
});

test("the_book_is_shown_by_price_the_best_first", () => {
  const state = fold([...two, offered(1, "sell", 1, 90, 1), offered(2, "sell", 2, 80, 2), offered(3, "sell", 2, 90, 3), offered(4, "buy", 1, 70, 4), offered(5, "buy", 2, 75, 5)]);
  assert.deepEqual(levels(state, "sell", 1), [
    { price: 80, quantity: 2, offers: 1, mine: false },
    { price: 90, quantity: 4, offers: 2, mine: true },
  ]);
  assert.deepEqual(levels(state, "buy", 1).map(({ price }) => price), [75, 70]);
});

test("an_unknown_event_changes_nothing", () => {
  const state = fold(two);
  assert.equal(apply(state, { data: { danced: 1 } }), state);
});
