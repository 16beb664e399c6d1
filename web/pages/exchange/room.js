const TRADES_MAX = 100;
const CASH = 10_000;
const GOODS = 100;

/**
 * @typedef {"buy" | "sell"} Side
 * @typedef {{ offer: number, side: Side, member: number, price: number, quantity: number }} Offer
 * @typedef {{ trade: number, buy: number, sell: number, price: number, quantity: number,
 *   buyer?: number, seller?: number }} Trade who traded is known of those that we have seen
 * @typedef {{ member: number, name: string, presence: "here" | "left" | "over", cash: number, goods: number,
 *   cash_held: number, goods_held: number }} Account
 * @typedef {{ accounts: number, cash: number, goods: number }} Closed
 * @typedef {{ offers: readonly Offer[], ledger: readonly Trade[], holdings: readonly Account[], closed: Closed }} Market
 */

/** @type {Market} */
export const EMPTY = { offers: [], ledger: [], holdings: [], closed: { accounts: 0, cash: 0, goods: 0 } };

/**
 * The exchange's fold (SPEC B3).
 * @param {Market} state @param {{ data: any }} event @returns {Market}
 */
export function apply(state, { data }) {
  if (data.entered) return entered(state, data.entered);
  if (data.left) {
    const presence = data.left.reason === "left" ? "left" : "over";
    return change(state, data.left.member, () => ({ presence }));
  }
  if (data.closed !== undefined) return closed(state, data.closed);
  if (data.offered) return held({ ...state, offers: [...state.offers, data.offered] }, data.offered, 1);
  if (data.traded) return traded(state, data.traded);
  if (data.withdrawn) return take(state, data.withdrawn.offer, data.withdrawn.quantity);
  return state;
}

/** Returns the sum of all accounts, and the sum that there must be. @param {Market} state */
export function sum({ holdings, closed }) {
  const accounts = holdings.length + closed.accounts;
  const total = { cash: closed.cash, goods: closed.goods };
  for (const { cash, goods } of holdings) (total.cash += cash), (total.goods += goods);
  const must = { cash: accounts * CASH, goods: accounts * GOODS };
  return { accounts, ...total, must, holds: total.cash === must.cash && total.goods === must.goods };
}

/**
 * One side of the book by price, the best first.
 * @param {Market} state @param {Side} side @param {number} [me]
 */
export function levels({ offers }, side, me) {
  /** @type {Map<number, { price: number, quantity: number, offers: number, mine: boolean }>} */
  const levels = new Map();
  for (const offer of offers) {
    if (offer.side !== side) continue;
    const level = levels.get(offer.price) ?? { price: offer.price, quantity: 0, offers: 0, mine: false };
    level.quantity += offer.quantity;
    level.offers += 1;
    level.mine ||= offer.member === me;
    levels.set(offer.price, level);
  }
  const better = side === "buy" ? -1 : 1;
  return [...levels.values()].sort((a, b) => better * (a.price - b.price));
}

/** @param {Market} state @param {number | undefined} member */
export const account = (state, member) => state.holdings.find((one) => one.member === member);

/** @param {Market} state @param {{ member: number, name: string }} who @returns {Market} */
function entered(state, { member, name }) {
  if (account(state, member)) return change(state, member, () => ({ name, presence: "here" }));
  /** @type {Account} */
  const fresh = { member, name, presence: "here", cash: CASH, goods: GOODS, cash_held: 0, goods_held: 0 };
  return { ...state, holdings: [...state.holdings, fresh].sort((a, b) => a.member - b.member) };
}

/** @param {Market} state @param {number} member @returns {Market} */
function closed(state, member) {
  const { cash = 0, goods = 0 } = account(state, member) ?? {};
  const { closed } = state;
  return {
    ...state,
    holdings: state.holdings.filter((one) => one.member !== member),
    closed: { accounts: closed.accounts + 1, cash: closed.cash + cash, goods: closed.goods + goods },
  };
}

/** @param {Market} state @param {Trade} trade @returns {Market} */
function traded(state, trade) {
  const { price, quantity } = trade;
  const buyer = state.offers.find(({ offer }) => offer === trade.buy)?.member;
  const seller = state.offers.find(({ offer }) => offer === trade.sell)?.member;
  let next = take(take(state, trade.buy, quantity), trade.sell, quantity);
  next = change(next, buyer, ({ cash, goods }) => ({ cash: cash - price * quantity, goods: goods + quantity }));
  next = change(next, seller, ({ cash, goods }) => ({ cash: cash + price * quantity, goods: goods - quantity }));
  return { ...next, ledger: [...next.ledger, { ...trade, buyer, seller }].slice(-TRADES_MAX) };
}

/** So much of an offer is off the book, and what was held for it is free. @param {Market} state @param {number} id @param {number} quantity */
function take(state, id, quantity) {
  const open = state.offers.find(({ offer }) => offer === id);
  if (!open) return state;
  const rest = { ...open, quantity: open.quantity - quantity };
  const offers = state.offers.map((offer) => (offer === open ? rest : offer)).filter((offer) => offer.quantity > 0);
  return held({ ...state, offers }, { ...open, quantity }, -1);
}

/** @param {Market} state @param {Offer} offer @param {1 | -1} sign */
const held = (state, { side, member, price, quantity }, sign) =>
  change(state, member, ({ cash_held, goods_held }) =>
    side === "buy" ? { cash_held: cash_held + sign * price * quantity } : { goods_held: goods_held + sign * quantity },
  );

/** @param {Market} state @param {number | undefined} member @param {(account: Account) => Partial<Account>} to @returns {Market} */
const change = (state, member, to) => ({
  ...state,
  holdings: state.holdings.map((one) => (one.member === member ? { ...one, ...to(one) } : one)),
});
