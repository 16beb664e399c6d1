import { OutlastError, unknown } from "./error.js";

/**
 * @typedef {"join" | "act" | "leave"} Kind
 * @typedef {{ n: number, pos?: string, data?: any }} Outcome of an action, durable
 * @typedef {{ resolve: (outcome: Outcome) => void, reject: (error: OutlastError) => void }} Waiter
 * @typedef {{ n: number, t: Kind, data?: any }} Saved
 * @typedef {Saved & Waiter & { sent: boolean, copies: number }} Action `copies` are those on their way
 */

/**
 * What one room was asked and has not answered, in order and numbered. Here it is decided what is
 * sent, when it is sent again and which number it bears.
 */
export class Outbox {
  next = 1;
  /** @type {Action[]} */
  list = [];
  #room;
  #host;
  /** The lowest number given back. */
  #freed = Infinity;
  /** Nothing from here on goes out for a while. @type {{ from: number, cancel: () => void } | undefined} */
  #held;

  /** @param {string} room @param {import("./room.js").Host} host @param {{ next: number, list: Saved[] }} [saved] */
  constructor(room, host, saved) {
    this.#room = room;
    this.#host = host;
    if (!saved) return;
    this.next = saved.next;
    this.list = saved.list.map((action) => ({ ...action, sent: true, copies: 0, resolve() {}, reject: host.orphaned }));
  }

  /** The last join or leave asked for, if it has no outcome yet. */
  get turn() {
    return this.list.findLast((action) => action.t !== "act")?.t;
  }

  /** @param {Kind} t @param {unknown} data @param {Waiter} waiter */
  add(t, data, waiter) {
    this.#host.admit({ t, room: this.#room, n: this.next, data });
    const action = { n: this.next++, t, data, sent: false, copies: 0, ...waiter };
    this.list.push(action);
    this.flush(action.n);
    return action;
  }

  /** Sends all from `n` on. @param {number} [n] */
  flush(n = 1) {
    this.#host.save();
    if (this.#held) {
      this.#held.from = Math.min(this.#held.from, n);
      return;
    }
    for (const action of this.#from(n)) {
      const { t, n, data } = action;
      const wait_ms = this.#host.post({ t, room: this.#room, n, data });
      if (wait_ms === undefined) return; // no socket takes actions: the next one gets them all
      if (wait_ms > 0) return this.#hold(n, wait_ms);
      action.sent = true;
      action.copies++;
    }
  }

  /** Whatever was said or sent on an older socket is over. */
  release() {
    this.#held?.cancel();
    this.#held = undefined;
    for (const action of this.list) action.copies = 0;
  }

  /** Takes out those that have an outcome. @param {(action: Action) => boolean} has @param {(action: Action) => Outcome | OutlastError} outcome */
  settle(has, outcome) {
    const settled = this.list.filter(has);
    if (!settled.length) return;
    this.list = this.list.filter((action) => !settled.includes(action));
    this.#host.save();
    for (const action of settled) {
      const result = outcome(action);
      if (result instanceof OutlastError) action.reject(result);
      else action.resolve(result);
    }
  }

  /** All up to `n` has happened, and what became of an act nobody will say any more. @param {number} n @param {string} [pos] */
  settleTo(n, pos) {
    this.settle((action) => action.n <= n, (action) => (action.t === "act" ? unknown() : { n: action.n, pos }));
  }

  /** We are out: leaves have what they wanted, acts fail, joins stay. @param {OutlastError} error @param {number} [before] */
  drop(error, before = Infinity) {
    this.settle(
      (action) => action.n < before && action.t !== "join",
      (action) => (action.t === "leave" ? { n: action.n } : error),
    );
  }

  /** The server did not take `n`: to be sent again later, or given up. @param {number} n @param {OutlastError} error @param {number} [retry_ms] */
  untaken(n, error, retry_ms) {
    const action = this.list.find((action) => action.n === n);
    if (!action) return;
    action.copies--;
    if (this.#held && n > this.#held.from) return; // it is sent again anyway
    if (retry_ms !== undefined) return this.#hold(n, retry_ms);
    if (action.copies > 0) return; // which may have been taken
    this.remove(action);
    action.reject(error);
  }

  /**
   * Gives a number back that no action has used: the next one bears it. Those sent behind it keep
   * theirs until they are answered, by an error of their own or by the gap that they make: an
   * answer to a number must not meet another action that bears it by now.
   * @param {Action} action
   */
  remove(action) {
    this.list = this.list.filter((other) => other !== action);
    this.#freed = Math.min(this.#freed, action.n);
    if (this.#from(this.#freed).some(({ sent }) => sent)) this.#host.save();
    else this.renumber(this.#freed);
  }

  /**
   * The server has not seen `expect`; where ours begin behind it, it has forgotten us. So it has where all of ours have
   * an outcome and we are out; inside, that is late news.
   * @param {number} expect @param {boolean} inside
   */
  gap(expect, inside) {
    if (this.#from(expect).length || !(inside || this.list.length)) this.renumber(expect);
  }

  /** Numbers all from `n` on without holes, and sends them. @param {number} n */
  renumber(n) {
    this.#freed = Infinity;
    this.next = n;
    const rest = this.#from(n);
    for (const action of rest) Object.assign(action, { n: this.next++, copies: 0 });
    this.flush(n);
  }

  /** @returns {{ next: number, list: Saved[] }} */
  toJSON() {
    return { next: this.next, list: this.list.map(({ n, t, data }) => ({ n, t, data })) };
  }

  /** @param {number} n */
  #from(n) {
    return this.list.filter((action) => action.n >= n);
  }

  /** @param {number} n @param {number} ms */
  #hold(n, ms) {
    const from = Math.min(n, this.#held?.from ?? n);
    this.#held?.cancel();
    const cancel = this.#host.after(ms, () => {
      const from = this.#held?.from;
      this.#held = undefined;
      this.flush(from);
    });
    this.#held = { from, cancel };
  }
}
