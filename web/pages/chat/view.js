import { at, make } from "../page.js";
import { nameOf } from "./room.js";

/**
 * @typedef {import("./room.js").Chat} Chat
 * @typedef {import("./room.js").Message} Message
 * @typedef {Readonly<{ n: number, data?: any }>} Pending
 */

const NEAR_PX = 80;
const TOGETHER_MS = 5 * 60_000;

/** @param {string} name */
function avatar(name) {
  const element = make("span", "avatar", [...name.trim()][0]?.toUpperCase() ?? "?");
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + 137 * (letter.codePointAt(0) ?? 0)) % 360;
  element.style.setProperty("--hue", String(hue));
  element.ariaHidden = "true";
  return element;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "numeric", minute: "2-digit" });

/** @param {number} at_ms */
function timeOf(at_ms) {
  const date = new Date(at_ms);
  const today = date.toDateString() === new Date().toDateString();
  const element = document.createElement("time");
  element.dateTime = date.toISOString();
  element.textContent = (today ? clock : calendar).format(date);
  return element;
}

/**
 * The list of messages. A message of our own keeps its element from the moment it is written, so
 * that nothing moves when it is settled.
 */
export class Log {
  /** @type {Map<string | Pending, HTMLElement>} */
  #rows = new Map();
  #log = at("log");
  #list = at("messages");
  #newer = at("newer");
  #down = true;

  constructor() {
    const sizes = new ResizeObserver(() => this.#down && this.down());
    sizes.observe(this.#log);
    sizes.observe(this.#list);
    this.#newer.onclick = () => this.down();
    this.#log.onscroll = () => {
      this.#down = this.#near();
      if (this.#down) this.#newer.hidden = true;
    };
  }

  /** @param {Chat} state @param {readonly Pending[]} pending @param {number | undefined} me */
  show(state, pending, me) {
    const says = pending.filter(({ data }) => data?.say !== undefined);
    const rows = new Map();
    /** @type {Message | undefined} */
    let before;
    for (const message of state.messages) {
      const mine = message.member === me;
      const row = this.#rows.get(message.pos) ?? (mine && this.#settled(message.text, says)) ?? undefined;
      rows.set(message.pos, this.#draw(row || make("li", ""), message, mine, before));
      before = message;
    }
    for (const act of says) {
      const row = this.#rows.get(act) ?? make("li", "");
      const message = { pos: "", member: me ?? 0, name: "", text: act.data.say, at_ms: Date.now() };
      rows.set(act, this.#draw(row, message, true, before, true));
      before = message;
    }
    const fresh = [...rows.keys()].some((key) => typeof key === "string" && !this.#rows.has(key));
    this.#rows = rows;
    this.#place([...rows.values()]);
    at("empty").hidden = rows.size > 0;
    if (this.#down) this.down();
    else if (fresh) this.#newer.hidden = false;
  }

  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#newer.hidden = true;
  }

  down() {
    this.#down = true;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#newer.hidden = true;
  }

  #near() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  /** The row of an act that is not pending any more and said just this. @param {string} text @param {readonly Pending[]} says */
  #settled(text, says) {
    for (const [act, row] of this.#rows) {
      if (typeof act === "string" || act.data.say !== text || says.includes(act)) continue;
      this.#rows.delete(act);
      return row;
    }
  }

  /** @param {HTMLElement} row @param {Message} message @param {boolean} mine @param {Message | undefined} before @param {boolean} [pending] */
  #draw(row, message, mine, before, pending = false) {
    const first = before?.member !== message.member || message.at_ms - before.at_ms > TOGETHER_MS;
    const state = [first && "first", mine && "mine", pending && "pending"].filter(Boolean).join(" ");
    if (row.className === state && row.childElementCount) return row;
    row.className = state;
    const bubble = make("div", "bubble");
    const when = make("span", "when");
    when.append(timeOf(message.at_ms), pending ? make("span", "waiting", "waiting") : "");
    bubble.append(message.text, when);
    const byline = mine ? make("span", "hidden", "You: ") : make("span", "byline", message.name);
    row.replaceChildren(avatar(message.name), byline, bubble);
    return row;
  }

  /** @param {HTMLElement[]} rows */
  #place(rows) {
    const keep = new Set(rows);
    for (const row of [...this.#list.children]) if (!keep.has(row)) row.remove();
    rows.forEach((row, i) => {
      if (this.#list.children[i] !== row) this.#list.insertBefore(row, this.#list.children[i] ?? null);
    });
  }
}

/** @param {Chat} state @param {number | undefined} me */
export function showMembers(state, me) {
  const here = [...state.members].sort((a, b) => Number(b.online) - Number(a.online) || a.name.localeCompare(b.name));
  at("people-count").textContent = String(here.length);
  at("member-list").replaceChildren(
    ...here.map(({ member, name, online }) => {
      const row = make("li", online ? "" : "away");
      row.append(avatar(name), make("span", "who", name));
      const note = member === me ? "you" : online ? "" : "away";
      if (note) row.append(make("span", "note", note));
      return row;
    }),
  );
}

/** @param {Chat} state @param {Iterable<number>} typing */
export function showTyping(state, typing) {
  const names = [...typing].map((member) => nameOf(state, member));
  const [first, second] = names;
  at("typing").textContent =
    names.length === 0 ? "" : names.length === 1 ? `${first} is writing …` : names.length === 2 ? `${first} and ${second} are writing …` : "Several people are writing …";
}

/**
 * @typedef {{ text: string, why: string }} Failed
 * @param {readonly Failed[]} failed @param {(one: Failed) => void} again @param {(one: Failed) => void} discard
 */
export function showFailed(failed, again, discard) {
  at("failed").replaceChildren(
    ...failed.map((one) => {
      const row = make("li", "");
      const retry = /** @type {HTMLButtonElement} */ (make("button", "", "Send again"));
      const drop = /** @type {HTMLButtonElement} */ (make("button", "", "Discard"));
      retry.type = drop.type = "button";
      retry.onclick = () => again(one);
      drop.onclick = () => discard(one);
      row.append(make("p", "", one.text), make("p", "why", one.why), retry, drop);
      return row;
    }),
  );
}
