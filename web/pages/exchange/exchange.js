/** The exchange page: one session, one market at a time. */
import { at, make, start, Visit } from "../page.js";
import { account, apply, EMPTY } from "./room.js";
import { number, View } from "./view.js";
import { say } from "../page/rows.js";

/** @typedef {import("./room.js").Side} Side */

const REFUSED_MAX = 3;

const session = start({ away: "Away from the server. What you order waits here and is sent when it is back." });

/** @type {Visit<import("./room.js").Market>} */
const visit = new Visit(session, {
  kind: "exchange",
  first: "gold",
  about: "Everybody starts with 10,000 cash and 100 goods. Trade, and kill any server you like: no unit is ever lost, or made.",
  apply,
  nameOf: (state) => account(state, visit.room?.member)?.name,
  entering() {
    at("refused").replaceChildren();
    show();
  },
  entered(room) {
    const offs = [room.subscribe(soon), room.on("event", ({ data }) => data.traded && tellTrade())];
    show();
    return () => offs.forEach((off) => off());
  },
});

const view = new View({
  meet(side, { price, quantity }) {
    const other = side === "sell" ? "buy" : "sell";
    at("price").value = price;
    at("quantity").value = Math.max(1, Math.min(quantity, most(other, price)));
    hint();
    at(other).focus();
  },
  cancel: ({ offer }) => {
    at("offers-title").focus();
    void ask({ cancel: offer }, `Offer ${offer} was not cancelled`);
  },
});

/** Cash and goods that no offer of ours holds. */
const free = () => {
  const mine = account(visit.room?.state ?? EMPTY, visit.room?.member);
  return mine ? { cash: mine.cash - mine.cash_held, goods: mine.goods - mine.goods_held } : { cash: 0, goods: 0 };
};

/** Returns the largest quantity that can be bought or sold. @param {Side} side @param {number} price */
const most = (side, price) => (side === "buy" ? Math.floor(free().cash / price) : free().goods);

let drawn = 0;

/** Many events are drawn at once. */
function soon() {
  drawn ||= requestAnimationFrame(() => {
    drawn = 0;
    show();
  });
}

function show() {
  view.show(visit.room?.state ?? EMPTY, visit.room?.pending ?? [], visit.room?.member);
  for (const id of ["buy", "sell"]) at(id).disabled = !visit.room;
  hint();
}

/** Shows the cost of the order. */
function hint() {
  const price = at("price").valueAsNumber || 0;
  const quantity = at("quantity").valueAsNumber || 0;
  const { cash, goods } = free();
  say(at("buy-hint"), visit.room ? `costs up to ${number(price * quantity)} of ${number(cash)} free` : "");
  say(at("sell-hint"), visit.room ? `takes ${number(quantity)} of ${number(goods)} free` : "");
  at("buy-hint").classList.toggle("over", price * quantity > cash);
  at("sell-hint").classList.toggle("over", quantity > goods);
}

/** @param {object} action @param {string} failed */
async function ask(action, failed) {
  try {
    await visit.room?.act(action);
  } catch (error) {
    const { code, message } = /** @type {import("../../outlast.js").OutlastError} */ (error);
    refused(code === "unknown" ? `${failed}, or it was: nobody knows. Your offers tell.` : `${failed}: ${message}`);
  }
}

/** @param {string} text */
function refused(text) {
  const row = make("li", "", text);
  const button = /** @type {HTMLButtonElement} */ (make("button", "", "Dismiss"));
  button.type = "button";
  button.onclick = () => {
    row.remove();
    at("price").focus();
  };
  row.append(" ", button);
  at("refused").append(row);
  while (at("refused").children.length > REFUSED_MAX) at("refused").firstElementChild.remove();
}

/** Reads our own trades aloud. */
function tellTrade() {
  const trade = visit.room?.state.ledger.at(-1);
  const me = visit.room?.member;
  if (!trade || me === undefined || (trade.buyer !== me && trade.seller !== me)) return;
  const did = trade.buyer === me ? "bought" : "sold";
  const news = at("news");
  news.append(make("span", "", `You ${did} ${number(trade.quantity)} at ${number(trade.price)}. `));
  while (news.children.length > 5) news.firstElementChild.remove();
}

at("ticket").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const side = /** @type {HTMLButtonElement | null} */ (event.submitter)?.value ?? "buy";
  const order = { price: at("price").valueAsNumber, quantity: at("quantity").valueAsNumber };
  at("refused").replaceChildren();
  void ask({ [side]: order }, `${side === "buy" ? "Not bought" : "Not sold"}, ${number(order.quantity)} at ${number(order.price)}`);
};

at("ticket").oninput = hint;

show();
visit.start();
