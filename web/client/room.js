import { offset } from "./codec.js";
import { Emitter } from "./emitter.js";
import { guarded, OutlastError, unknown } from "./error.js";
import { Outbox } from "./outbox.js";
import { stream } from "./stream.js";
import { abortable, wait } from "./wait.js";

/**
 * @typedef {import("./codec.js").Frame} Frame
 * @typedef {import("./outbox.js").Outcome} Outcome
 * @typedef {{ t: string, room: string, n: number, data?: any }} Post an action on its way
 *
 * @typedef {object} RoomEvents
 * @property {{ t: "event", room: string, pos: string, by?: number, n?: number, data: any }} event `by` is the
 *   member whose action caused it, `n` that action's number where it is the first
 * @property {{ t: "notice", room: string, pos: string, data: any }} notice for us alone
 * @property {{ t: "signal", room: string, data: any }} signal not kept: the newest counts
 * @property {{ t: "snapshot" | "joined", room: string, pos: string, state: any, reason?: string }} reset the state
 *   is a new one; `reason` is `requested`, `trimmed`, `diverged` or `shorter`
 * @property {{ t: "live", room: string, pos: string }} live catching up is over
 * @property {{ t: "left", room: string, reason: string }} left we are out: `left`, `ended`, `expired`, or a code
 */

/**
 * @template S
 * @typedef {object} Joining
 * @property {unknown} [data] what the room wants to know of us
 * @property {AbortSignal} [signal] ends the wait, and leaves again
 * @property {(state: S, event: RoomEvents["event"]) => S} [apply] the state behind an event; it must not
 *   change the one before
 */

/**
 * @typedef {object} Host what a room needs of its session
 * @property {(post: Post) => void} admit throws when there is no place for it
 * @property {(post: Post) => number | undefined} post sends it and says 0, or how long to wait
 *   first; nothing while no socket takes actions
 * @property {() => void} save
 * @property {(error: OutlastError) => void} orphaned an action from before a reload failed
 * @property {(ms: number, run: () => void) => () => void} after
 */

/**
 * Runs after the code that waits for what has just happened. Outside browsers a WebSocket hands out many frames in one go,
 * before any such code. @type {(run: () => void) => void}
 */
const soon = /** @type {any} */ (globalThis).setImmediate ?? queueMicrotask;

/** A room of the session: its state, its events, and what we ask of it. @template [S=any] */
export class Room {
  /** What `apply` made of a snapshot and the events behind it; replaced, never changed. @type {S} */
  state = /** @type {any} */ (undefined);
  /** Our own acts without an outcome, in order. @type {readonly Readonly<{ n: number, data?: any }>[]} */
  pending = [];
  /** Our own name in this room. @type {number | undefined} */
  member;

  #host;
  #outbox;
  #emitter = new Emitter();
  /** The server has us in this room, as far as we know. */
  #inside;
  /** The application wants this room; one that a reload brought back it may not. */
  #claimed = false;
  /** Where we are in the log; nothing while the state is not here. @type {string | undefined} */
  #pos;
  /** @type {import("./wait.js").Wait<void> | undefined} */
  #entering;
  /** What is told a moment later: those who waited for us to enter shall listen by then. @type {[keyof RoomEvents, any][] | undefined} */
  #held;
  /** @type {unknown} */
  #data;
  /** @type {Joining<S>["apply"]} */
  #apply;

  /** @internal @param {string} name @param {Host} host @param {import("./memory.js").SavedRoom} [saved] */
  constructor(name, host, saved) {
    this.name = name;
    this.#host = host;
    this.#outbox = new Outbox(name, host, saved);
    this.#inside = !!saved?.inside;
    this.#show();
  }

  /**
   * @template {keyof RoomEvents} K
   * @param {K} type @param {(frame: RoomEvents[K]) => void} listener @returns {() => void} its undo
   */
  on(type, listener) {
    return this.#emitter.on(type, listener);
  }

  /** Tells of every change of `state`, `pending` and `member`. @param {() => void} listener */
  subscribe = (listener) => this.#emitter.on("change", listener);

  /** Every event from now on until we leave, for `for await`. @param {{ signal?: AbortSignal }} [options] */
  events({ signal } = {}) {
    return stream(this, signal);
  }

  [Symbol.asyncIterator]() {
    return this.events();
  }

  /**
   * Resolves when the action is durable; rejects when it is refused, or when nobody knows (`unknown`).
   * Aborting ends the wait, and the action itself if it was never sent.
   * @param {unknown} data @param {{ signal?: AbortSignal }} [options] @returns {Promise<Outcome>}
   */
  async act(data, { signal } = {}) {
    signal?.throwIfAborted();
    if (!this.bound) throw new OutlastError("not_joined", `not in ${this.name}`);
    const outcome = /** @type {import("./wait.js").Wait<Outcome>} */ (wait());
    const action = this.#outbox.add("act", data, outcome);
    this.#show();
    return abortable(outcome.promise, signal, () => {
      if (action.sent || !this.#outbox.list.includes(action)) return;
      this.#outbox.remove(action);
      this.#show();
    });
  }

  /** Resolves when we are out. Aborting ends the wait alone. @param {{ signal?: AbortSignal }} [options] */
  async leave({ signal } = {}) {
    signal?.throwIfAborted();
    if (!this.bound) return;
    const left = /** @type {import("./wait.js").Wait<Outcome>} */ (wait());
    this.#outbox.add("leave", undefined, left);
    this.#abandon(new OutlastError("left"));
    await abortable(left.promise, signal);
  }

  // What follows is the session's own.

  /** @internal Whether we are inside once all that was asked has happened. */
  get bound() {
    const { turn } = this.#outbox;
    return turn ? turn === "join" : this.#inside;
  }

  /** @internal */
  get unsettled() {
    return this.#outbox.list.length;
  }

  /** @internal Whether it belongs into a `resume`. */
  get open() {
    return this.#inside || this.unsettled > 0;
  }

  /** @internal Where to resume from. A join on its way may make us another member: that takes a snapshot. */
  get position() {
    return (!this.#outbox.list.some(({ t }) => t === "join") && this.#pos) || null;
  }

  /** @internal Brought back by a reload and wanted, but without its state. */
  get blank() {
    return this.#claimed && this.#inside && !this.#pos;
  }

  /** @internal Resolves inside, rejects when we cannot be. @param {Joining<S>} options */
  enter({ data, signal, apply }) {
    this.#data = data;
    this.#apply = apply ?? this.#apply;
    if (!this.bound) this.#join();
    this.#claimed = true;
    if (this.position) return Promise.resolve();
    this.#entering ??= /** @type {import("./wait.js").Wait<void>} */ (wait());
    return abortable(this.#entering.promise, signal, () => void this.leave().catch(() => {}));
  }

  /** @internal A new socket takes actions: it gets all of them. */
  flush() {
    this.#outbox.release();
    this.#outbox.flush();
  }

  /** @internal @param {Frame} frame */
  receive(frame) {
    const entering = this.#entering;
    const news = this.#take(frame);
    this.#show();
    if (news) this.#tell(news, frame);
    if (entering === this.#entering) return;
    const held = (this.#held ??= []);
    soon(() => {
      this.#held = undefined;
      for (const one of held.splice(0)) this.#emitter.emit(...one);
    });
  }

  /** @internal A `resume` found that we are not in this room. @param {string | null | undefined} asked the position it bore */
  gone(asked) {
    const joining = this.#outbox.turn === "join";
    if (asked === null && this.#pos && !joining) return; // we came in after that was said
    this.#vacate("gone");
    if (joining) return;
    if (this.#claimed && this.#entering) this.#join();
    else this.#shut(new OutlastError("gone"));
  }

  /** @internal The session is gone, and the new one knows nothing of us. Says whether we want in again. */
  restart() {
    this.#end(unknown());
    if (this.#claimed) this.#join();
    return this.#claimed;
  }

  /** @internal The session is over. @param {OutlastError} error */
  close(error) {
    this.#end(error);
    this.#shut(error);
  }

  /** @internal @returns {import("./memory.js").SavedRoom} */
  toJSON() {
    return { inside: this.#inside, ...this.#outbox.toJSON() };
  }

  /** Takes a frame in, and says what it is to the application. @param {Frame} frame @returns {keyof RoomEvents | undefined} */
  #take(frame) {
    const { n, pos } = frame;
    switch (frame.t) {
      case "joined":
        return this.#joined(frame);
      case "snapshot":
        return this.#snapshot(frame);
      case "event":
        return this.#event(frame);
      case "notice":
        return this.#advance(pos) ? "notice" : undefined;
      case "signal":
        return "signal";
      case "live":
        this.#advance(pos);
        return "live";
      case "result":
        this.#advance(pos);
        this.#result(frame);
        return;
      case "left":
        return this.#left(frame);
      case "gap":
        this.#outbox.gap(frame.expect, this.#inside);
        return;
      case "error":
        this.#outbox.untaken(n, new OutlastError(frame.code, frame.message), frame.retry_ms);
    }
  }

  /** @param {Frame} frame */
  #joined(frame) {
    if (!this.#asked("join", frame.n)) return;
    const again = this.state !== undefined;
    this.#outbox.settleTo(frame.n, frame.pos);
    this.#stand(frame);
    return again ? "reset" : undefined;
  }

  /** @param {Frame} frame */
  #left({ n, reason }) {
    const inside = this.#inside;
    if (n !== undefined) {
      if (!this.#outbox.list.some((action) => action.n <= n)) return; // told before, by another socket
      this.#outbox.settleTo(n);
      this.#outbox.next = Math.max(this.#outbox.next, n + 1);
    }
    this.#vacate(reason);
    if (this.bound) return inside ? /** @type {const} */ ("left") : undefined; // we are on our way in
    if (n === undefined && this.#claimed && this.#entering) {
      this.#join(); // we were promised to be shown what we are not in
      return;
    }
    this.#abandon(new OutlastError(reason));
    return /** @type {const} */ ("left");
  }

  /** @param {Frame} frame */
  #snapshot(frame) {
    const diverged = frame.reason === "diverged";
    const seen = !diverged && this.position && offset(frame.pos) <= offset(this.position);
    this.#outbox.settleTo(frame.n);
    if (diverged) this.#outbox.renumber(frame.n + 1);
    else this.#outbox.next = Math.max(this.#outbox.next, frame.n + 1);
    if (seen) return; // the socket that this one replaces was faster
    this.#stand(frame);
    return /** @type {const} */ ("reset");
  }

  /** @param {Frame} frame */
  #event(frame) {
    const { by, n, pos, data } = frame;
    if (by === this.member) this.#outbox.settle((action) => action.n === n, () => ({ n, pos, data }));
    if (!this.#advance(pos)) return;
    const apply = this.#apply;
    const state = apply && guarded(() => apply(this.state, /** @type {any} */ (frame)));
    if (state !== undefined) this.state = state;
    return /** @type {const} */ ("event");
  }

  /** @param {Frame} frame */
  #result({ n, pos, ok, data, code, message }) {
    this.#outbox.settle(
      (action) => action.n === n || (ok && action.n < n && action.t === "act"),
      (action) => (ok ? { n: action.n, pos, data: action.n === n ? data : undefined } : new OutlastError(code, message)),
    );
  }

  /** @param {import("./outbox.js").Kind} t @param {number} n */
  #asked(t, n) {
    return this.#outbox.list.some((action) => action.t === t && action.n === n);
  }

  /** @param {string} pos @returns {boolean} whether that is news */
  #advance(pos) {
    if (!this.#pos || offset(pos) <= offset(this.#pos)) return false;
    this.#pos = pos;
    return true;
  }

  /** @param {Frame} frame */
  #stand({ pos, state, member }) {
    this.#inside = true;
    this.member = member;
    if (!this.#claimed) return; // nobody would fold it
    this.#pos = pos;
    this.state = state;
    this.#entering?.resolve();
    this.#entering = undefined;
  }

  /** We are out: what was asked before a join that is still to come is over. @param {string} reason */
  #vacate(reason) {
    this.#inside = false;
    this.#pos = undefined;
    this.#outbox.drop(
      new OutlastError(reason, `not in ${this.name}`),
      this.#outbox.list.find((action) => action.t === "join")?.n,
    );
    this.#host.save();
  }

  /** @param {OutlastError} error */
  #end(error) {
    const over = this.#outbox;
    over.release();
    this.#outbox = new Outbox(this.name, this.#host);
    this.#inside = false;
    this.#pos = undefined;
    over.drop(error);
    this.#show();
  }

  #join() {
    this.#outbox.add("join", this.#data, { resolve() {}, reject: (error) => this.bound || this.#shut(error) });
    this.#show();
  }

  /** We are not in, and shall not come in by ourselves. @param {OutlastError} error */
  #shut(error) {
    this.#abandon(error);
    this.#show();
    this.#tell("left", { t: "left", room: this.name, reason: error.code });
  }

  /** @param {keyof RoomEvents} news @param {any} frame */
  #tell(news, frame) {
    this.#held ? this.#held.push([news, frame]) : this.#emitter.emit(news, frame);
  }

  /** @param {OutlastError} error */
  #abandon(error) {
    this.#claimed = false;
    this.#entering?.reject(error);
    this.#entering = undefined;
  }

  #show() {
    const acts = this.#outbox.list.filter((action) => action.t === "act");
    if (acts.length || this.pending.length) this.pending = acts;
    this.#emitter.emit("change");
  }
}
