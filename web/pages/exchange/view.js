import { at, make } from "../page.js";
import { account, levels, sum } from "./room.js";
import { Rows, say } from "../page/rows.js";

/**
 * @typedef {import("./room.js").Market} Market
 * @typedef {import("./room.js").Offer} Offer
 * @typedef {import("./room.js").Account} Account
 * @typedef {import("./room.js").Side} Side
 * @typedef {import("./room.js").Trade} Trade
 * @typedef {{ price: number, quantity: number, offers: number, mine: boolean }} Level
 * @typedef {Readonly<{ n: number, data?: any }>} Pending
 * @typedef {Offer & { waits?: string, sent?: boolean }} OwnOffer one that waits has no name yet
 */

const LEVELS_MAX = 12;
const ACCOUNTS_MAX = 100;

const format = new Intl.NumberFormat("en");
/** @param {number} number */
export const number = (number) => format.format(number);

/** Cells of a row, the first one its head. @param {number} cells */
const row = (cells) => () => {
  const row = make("tr");
  const head = make("th");
  head.setAttribute("scope", "row");
  row.append(head, ...Array.from({ length: cells - 1 }, () => make("td")));
  return row;
};

/** The view of a market. */
export class View {
  #asks;
  #bids;
  #offers;
  #trades;
  #accounts;
  /** The largest quantity at one price, which the bars are measured by. */
  #most = 1;
  /** @type {number | undefined} */
  #me;
  /** @type {Market | undefined} */
  #state;

  /** @param {object} does @param {(side: Side, level: Level) => void} does.meet @param {(offer: OwnOffer) => void} does.cancel */
  constructor({ meet, cancel }) {
    /** @param {Side} side */
    const book = (side) =>
      /** @type {Rows<Level>} */ (
        new Rows(at(side === "buy" ? "bids" : "asks"), {
          key: ({ price }) => price,
          make: () => {
            const made = row(3)();
            const button = /** @type {HTMLButtonElement} */ (make("button"));
            button.type = "button";
            made.firstElementChild?.append(button);
            return made;
          },
          fill: (made, level) => this.#fillLevel(made, side, level, meet),
        })
      );
    this.#asks = book("sell");
    this.#bids = book("buy");
    this.#offers = /** @type {Rows<OwnOffer>} */ (
      new Rows(at("offers"), {
        key: ({ offer, waits }) => waits ?? offer,
        make: () => {
          const made = make("li");
          const button = /** @type {HTMLButtonElement} */ (make("button", "cancel", "Cancel"));
          button.type = "button";
          made.append(make("span", "tag"), make("span", "what"), button);
          return made;
        },
        fill: (made, offer) => fillOffer(made, offer, cancel),
      })
    );
    this.#trades = /** @type {Rows<Trade>} */ (new Rows(at("trades"), { key: ({ trade }) => trade, make: row(4), fill: (made, trade) => this.#fillTrade(made, trade) }));
    this.#accounts = /** @type {Rows<Account>} */ (
      new Rows(at("accounts"), { key: ({ member }) => member, make: row(3), fill: (made, account) => fillAccount(made, account, account.member === this.#me) })
    );
  }

  /** @param {Market} state @param {readonly Pending[]} pending @param {number | undefined} me */
  show(state, pending, me) {
    this.#me = me;
    this.#showOffers(state, pending);
    if (state === this.#state) return;
    this.#state = state;
    showSum(state);
    showHoldings(account(state, me));
    this.#showBook(state);
    this.#showTrades(state);
    this.#showAccounts(state);
  }

  /** @param {Market} state @param {readonly Pending[]} pending */
  #showOffers(state, pending) {
    const cancelled = new Set(pending.map(({ data }) => data?.cancel));
    /** @type {OwnOffer[]} */
    const offers = state.offers.filter(({ member }) => member === this.#me).map((offer) => ({ ...offer, sent: cancelled.has(offer.offer) }));
    for (const { n, data } of pending) {
      /** @type {Side | undefined} */
      const side = data?.buy ? "buy" : data?.sell ? "sell" : undefined;
      if (side) offers.push({ offer: 0, side, member: 0, ...data[side], waits: `n${n}` });
    }
    this.#offers.show(offers.reverse());
    say(at("offers-count"), offers.length);
    at("no-offers").hidden = offers.length > 0;
  }

  /** @param {Market} state */
  #showBook(state) {
    const asks = levels(state, "sell", this.#me);
    const bids = levels(state, "buy", this.#me);
    const [near, far] = [asks.slice(0, LEVELS_MAX), bids.slice(0, LEVELS_MAX)];
    this.#most = Math.max(1, ...near.concat(far).map(({ quantity }) => quantity));
    this.#asks.show(near.toReversed());
    this.#bids.show(far);
    const [ask, bid] = [asks[0]?.price, bids[0]?.price];
    say(
      at("spread"),
      ask && bid ? `${number(ask - bid)} between seller and buyer` : ask ? "Nobody offers to buy" : bid ? "Nobody offers to sell" : "Nobody offers anything yet",
    );
  }

  /** @param {Market} state */
  #showTrades({ ledger }) {
    at("no-trades").hidden = ledger.length > 0;
    at("trades-table").hidden = ledger.length === 0;
    this.#trades.show(ledger.toReversed());
    const prices = ledger.map(({ price }) => price);
    const [last, before] = [prices.at(-1), prices.at(-2)];
    say(at("last-price"), last === undefined ? "–" : number(last));
    const change = (last ?? 0) - (before ?? last ?? 0);
    at("last-change").className = `change ${change > 0 ? "up" : change < 0 ? "down" : ""}`;
    say(at("last-change"), change ? `${change > 0 ? "▲" : "▼"} ${number(Math.abs(change))}` : "");
    const [low, high] = [Math.min(...prices), Math.max(...prices)];
    say(at("range"), prices.length ? `${number(low)} to ${number(high)} in the last ${prices.length === 1 ? "trade" : `${prices.length} trades`}` : "No trade yet.");
    draw(prices, low, high);
  }

  /** Ourselves first, then who is here, then the richest. @param {Market} state */
  #showAccounts(state) {
    /** @param {Account} one */
    const rank = (one) => (one.member === this.#me ? 0 : one.presence === "here" ? 1 : 2);
    const accounts = [...state.holdings].sort((a, b) => rank(a) - rank(b) || b.cash - a.cash || a.member - b.member);
    const shown = accounts.slice(0, ACCOUNTS_MAX);
    const rest = { ...state.closed };
    for (const { cash, goods } of accounts.slice(ACCOUNTS_MAX)) (rest.accounts += 1), (rest.cash += cash), (rest.goods += goods);
    if (rest.accounts) shown.push({ member: 0, name: `${number(rest.accounts)} more`, presence: "over", cash: rest.cash, goods: rest.goods, cash_held: 0, goods_held: 0 });
    this.#accounts.show(shown);
  }

  /** @param {HTMLElement} made @param {Side} side @param {Level} level @param {(side: Side, level: Level) => void} meet */
  #fillLevel(made, side, level, meet) {
    const [head, quantity, offers] = made.children;
    const button = /** @type {HTMLButtonElement} */ (head.firstElementChild);
    say(button, number(level.price));
    button.title = `${side === "sell" ? "Buy" : "Sell"} at ${number(level.price)}`;
    button.onclick = () => meet(side, level);
    say(quantity, number(level.quantity));
    say(offers, level.mine ? `${level.offers} · yours` : level.offers);
    made.className = level.mine ? "mine" : "";
    made.style.setProperty("--depth", `${Math.max(2, (100 * level.quantity) / this.#most)}%`);
  }

  /** @param {HTMLElement} made @param {Trade} trade */
  #fillTrade(made, { trade, buy, sell, price, quantity, buyer, seller }) {
    const [head, paid, much, who] = made.children;
    const raised = buy > sell; // the newer offer came to the older one
    const me = this.#me;
    made.className = `${raised ? "up" : "down"} ${me !== undefined && (buyer === me || seller === me) ? "mine" : ""}`;
    say(head, trade);
    say(paid, number(price));
    say(much, number(quantity));
    say(who, buyer === me && seller === me ? "with yourself" : buyer === me ? "you bought" : seller === me ? "you sold" : "");
  }
}

/** @param {HTMLElement} made @param {OwnOffer} offer @param {(offer: OwnOffer) => void} cancel */
function fillOffer(made, offer, cancel) {
  const [tag, what, button] = /** @type {HTMLElement[]} */ ([...made.children]);
  const verb = offer.side === "buy" ? "Buy" : "Sell";
  made.className = `${offer.side} ${offer.waits ? "waits" : ""}`;
  say(tag, verb);
  say(what, `${number(offer.quantity)} at ${number(offer.price)}${offer.waits ? " · on its way" : ""}`);
  button.hidden = !!offer.waits;
  button.ariaLabel = `Cancel: ${verb} ${number(offer.quantity)} at ${number(offer.price)}`;
  /** @type {HTMLButtonElement} */ (button).ariaDisabled = String(!!offer.sent);
  button.onclick = () => offer.sent || cancel(offer);
}

/** @param {HTMLElement} made @param {Account} account @param {boolean} mine */
function fillAccount(made, { name, presence, cash, goods }, mine) {
  const [who, has, holds] = made.children;
  made.className = `${mine ? "mine" : ""} ${presence === "here" ? "" : "gone"}`;
  say(who, mine ? `${name} (you)` : presence === "here" ? name : `${name} · left`);
  say(has, number(cash));
  say(holds, number(goods));
}

/** @param {Market} state */
function showSum(state) {
  const { accounts, cash, goods, must, holds } = sum(state);
  at("sum").dataset.holds = String(holds);
  for (const id of ["sum-cash", "foot-cash"]) say(at(id), number(cash));
  for (const id of ["sum-goods", "foot-goods"]) say(at(id), number(goods));
  say(at("must-cash"), number(must.cash));
  say(at("must-goods"), number(must.goods));
  say(at("accounts-count"), number(accounts));
  say(at("sum-text"), holds ? "Balanced to the last unit" : "The books do not balance!");
}

/** @param {Account | undefined} mine */
function showHoldings(mine) {
  say(at("my-cash"), mine ? number(mine.cash) : "–");
  say(at("my-goods"), mine ? number(mine.goods) : "–");
  say(at("my-cash-held"), mine?.cash_held ? `${number(mine.cash - mine.cash_held)} free` : "");
  say(at("my-goods-held"), mine?.goods_held ? `${number(mine.goods - mine.goods_held)} free` : "");
}

/** The prices as a line. @param {number[]} prices @param {number} low @param {number} high */
function draw(prices, low, high) {
  at("chart").toggleAttribute("hidden", prices.length === 0);
  const [area, line] = at("chart").children;
  const wide = 100 / Math.max(1, prices.length - 1);
  const tall = (/** @type {number} */ price) => (high > low ? 92 - (84 * (price - low)) / (high - low) : 50);
  const steps = prices.map((price, i) => `${i ? "L" : "M"}${(i * wide).toFixed(2)} ${tall(price).toFixed(2)}`).join("");
  const path = prices.length === 1 ? `${steps}L100 50` : steps;
  line.setAttribute("d", path);
  area.setAttribute("d", path && `${path}L100 100L0 100Z`);
}
