import { OutlastError, unknown } from "./error.js";

/**
 * @typedef {"join" | "act" | "leave"} Kind
 * @typedef {{ n: number, pos?: string, data?: any }} Outcome of a durable action
 * @typedef {{ resolve: (outcome: Outcome) => void, reject: (error: OutlastError) => void }} Waiter
 * @typedef {{ n: number, t: Kind, data?: any }} Saved
 * @typedef {Saved & Waiter & { sent: boolean, copies: number }} Action `copies` counts those on the way to the server
 */

/**
 * The actions of one room that have no outcome yet, in order. It numbers, sends and resends them.
 */
export class Outbox {
  next = 1;
  /** @type {Action[]} */
  list = [];
  #room;
  #host;
  /** The lowest number that was freed. */
  #freed = Infinity;
  /** A pause: nothing from number `from` on is sent. @type {{ from: number, cancel: () => void } | undefined} */
  #pause;

  /** @param {string} room @param {import("./room.js").Host} host @param {{ next: number, list: Saved[] }} [saved] */
  constructor(room, host, saved) {
    this.#room = room;
    this.#host = host;
    if (!saved) return;
    this.next = saved.next;
    this.list = saved.list.map((action) => ({ ...action, sent: true, copies: 0, resolve() {}, reject: host.orphaned }));
  }

  /** The kind of the last join or leave without an outcome. */
  get joinOrLeave() {
    return this.list.findLast((action) => action.t !== "act")?.t;
  }

  /** Takes an action, with data that does not change any more. @param {Kind} t @param {unknown} data @param {Waiter} waiter */
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
    if (this.#pause) {
      this.#pause.from = Math.min(this.#pause.from, n);
      return;
    }
    for (const action of this.#from(n)) {
      const { t, n, data } = action;
      const wait_ms = this.#host.post({ t, room: this.#room, n, data });
      if (wait_ms === undefined) return; // no socket takes actions: the next one gets them all
      if (wait_ms > 0) return this.#pauseFrom(n, wait_ms);
      action.sent = true;
      action.copies++;
    }
  }

  /** Forgets pauses and copies of the socket before. */
  restart() {
    this.#pause?.cancel();
    this.#pause = undefined;
    for (const action of this.list) action.copies = 0;
  }

  /** Takes out the actions that have an outcome. @param {(action: Action) => boolean} has @param {(action: Action) => Outcome | OutlastError} outcome */
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

  /** Settles all up to `n`: joins and leaves have happened, and the outcomes of acts are lost. @param {number} n @param {string} [pos] */
  settleTo(n, pos) {
    this.settle((action) => action.n <= n, (action) => (action.t === "act" ? unknown() : { n: action.n, pos }));
  }

  /** Settles all before number `before`, since we are out of the room: leaves succeed, acts fail, and joins stay. @param {OutlastError} error @param {number} [before] */
  drop(error, before = Infinity) {
    this.settle(
      (action) => action.n < before && action.t !== "join",
      (action) => (action.t === "leave" ? { n: action.n } : error),
    );
  }

  /** The server did not take `n`: resends it after `retry_ms`, or rejects it. @param {number} n @param {OutlastError} error @param {number} [retry_ms] */
  untaken(n, error, retry_ms) {
    const action = this.list.find((action) => action.n === n);
    if (!action) return;
    action.copies--;
    if (this.#pause && n > this.#pause.from) return; // resent after the pause
    if (retry_ms !== undefined) return this.#pauseFrom(n, retry_ms);
    if (action.copies > 0) return; // another copy may have been taken
    this.remove(action);
    action.reject(error);
  }

  /**
   * Removes an action that was not taken, and frees its number for the next one. Actions sent after it keep their numbers
   * until they are answered, by an error of their own or by the gap: an answer to a number must not meet another action
   * that bears it by then.
   * @param {Action} action
   */
  remove(action) {
    this.list = this.list.filter((other) => other !== action);
    this.#freed = Math.min(this.#freed, action.n);
    if (this.#from(this.#freed).some(({ sent }) => sent)) this.#host.save();
    else this.renumber(this.#freed);
  }

  /**
   * The room expects number `expect` next: resends all from there on. If they begin after it, or there are none and we
   * are out, the room has forgotten us, and numbering starts anew from `expect`. If there are none and we are inside, the
   * gap is outdated.
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
  #pauseFrom(n, ms) {
    const from = Math.min(n, this.#pause?.from ?? n);
    this.#pause?.cancel();
    const cancel = this.#host.after(ms, () => {
      const from = this.#pause?.from;
      this.#pause = undefined;
      this.flush(from);
    });
    this.#pause = { from, cancel };
  }
}
