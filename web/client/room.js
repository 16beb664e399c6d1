import { offset } from "./codec.js";
import { Emitter } from "./emitter.js";
import { OutlastError, unknown } from "./error.js";
import { Outbox } from "./outbox.js";
import { plain } from "./plain.js";
import { stream } from "./stream.js";
import { abortable, deferred } from "./wait.js";

/**
 * @typedef {import("./codec.js").Frame} Frame
 * @typedef {import("./outbox.js").Outcome} Outcome
 * @typedef {{ t: string, room: string, n: number, data?: any }} Post an action as it is sent
 *
 * @typedef {object} RoomEvents
 * @property {{ t: "event", room: string, pos: string, by?: number, n?: number, data: any }} event an event of the room. `by`
 *   is the member whose action caused it; `n` is the number of that action, in its first event
 * @property {{ t: "notice", room: string, pos: string, data: any }} notice an event for this member only
 * @property {{ t: "signal", room: string, data: any }} signal a message that is not kept: a newer one replaces it
 * @property {{ t: "snapshot" | "joined", room: string, pos: string, state: any, reason?: string }} reset the state was
 *   replaced; `reason` is `requested`, `trimmed`, `diverged` or `shorter`
 * @property {{ t: "live", room: string, pos: string }} live the room has caught up
 * @property {{ t: "left", room: string, reason: string }} left the session is out of the room: `left`, `ended`, `expired`, or
 *   the code of an error
 */

/**
 * @template S
 * @typedef {object} Joining
 * @property {unknown} [data] passed to the room, which may refuse the join for it. Default: none
 * @property {AbortSignal} [signal] aborts the wait and leaves the room again. Default: none
 * @property {(state: S, event: RoomEvents["event"]) => S} [apply] returns the state after an event, and does not change
 *   the one before. If it throws, the session emits `error` and a snapshot is fetched. Default: the state stays that of
 *   the snapshot
 */

/**
 * The session, as its rooms use it.
 * @typedef {object} Host
 * @property {(post: Post) => void} admit throws when the action is too big or too many wait
 * @property {(post: Post) => number | undefined} post sends the action and returns 0, or returns the milliseconds to
 *   wait first; undefined while no socket takes actions
 * @property {() => void} save
 * @property {(error: OutlastError) => void} orphaned an action from before a reload failed
 * @property {(error: unknown) => void} stale an `apply` has thrown: its room needs a snapshot
 * @property {(ms: number, run: () => void) => () => void} after
 */

/**
 * Calls `run` after the code that awaits the current change. Outside browsers a WebSocket delivers many frames in one task,
 * before any such code runs. @type {(run: () => void) => void}
 */
const defer = /** @type {any} */ (globalThis).setImmediate ?? queueMicrotask;

/** A room of the session. @template [S=any] */
export class Room {
  /** The snapshot with all events after it applied. A change replaces it. @type {S} */
  state = /** @type {any} */ (undefined);
  /** Acts of this session without an outcome, in order. @type {readonly Readonly<{ n: number, data?: any }>[]} */
  pending = [];
  /** Number of this session's member in the room. @type {number | undefined} */
  member;

  #host;
  #outbox;
  #emitter = new Emitter();
  /** The session is in the room, as far as this client knows. */
  #inside;
  /** Joins of the application that it has not left. None for a room restored after a reload until it is joined again. */
  #joins = 0;
  /** `apply` has thrown: the state is that of before, until a snapshot comes. */
  #stale = false;
  /** The last of them was left just now. */
  #leaving = false;
  /** Position in the room's log; undefined without a state. @type {string | undefined} */
  #pos;
  /** @type {import("./wait.js").Deferred<void> | undefined} */
  #joining;
  /** Events kept until the code that awaits the join has added its listeners. @type {[keyof RoomEvents, any][] | undefined} */
  #deferred;
  /** @type {unknown} */
  #data;
  /** @type {Joining<S>["apply"]} */
  #apply;

  /** @internal @param {string} name @param {Host} host @param {import("./storage.js").SavedRoom} [saved] */
  constructor(name, host, saved) {
    this.name = name;
    this.#host = host;
    this.#outbox = new Outbox(name, host, saved);
    this.#inside = !!saved?.inside;
    this.#changed();
  }

  /**
   * Adds a listener.
   * @template {keyof RoomEvents} K
   * @param {K} type @param {(frame: RoomEvents[K]) => void} listener @returns {() => void} removes the listener
   */
  on(type, listener) {
    return this.#emitter.on(type, listener);
  }

  /** Calls `listener` after each change of `state`, `pending` or `member`. Returns a function that removes it. @param {() => void} listener */
  subscribe = (listener) => this.#emitter.on("change", listener);

  /** Returns the room's events for `for await`, from now until the session leaves. @param {{ signal?: AbortSignal }} [options] */
  events({ signal } = {}) {
    return stream(this, signal);
  }

  [Symbol.asyncIterator]() {
    return this.events();
  }

  /**
   * Sends an action. Resolves when it is durable; rejects when it is refused, or with `unknown` when its outcome is lost.
   * Aborting ends the wait, and removes the action if it was never sent.
   * @param {unknown} data @param {{ signal?: AbortSignal }} [options] @returns {Promise<Outcome>}
   */
  async act(data, { signal } = {}) {
    signal?.throwIfAborted();
    if (!this.joined) throw new OutlastError("not_joined", `not in ${this.name}`);
    const outcome = /** @type {import("./wait.js").Deferred<Outcome>} */ (deferred());
    const action = this.#outbox.add("act", plain(data), outcome);
    this.#changed();
    return abortable(outcome.promise, signal, () => {
      if (action.sent || !this.#outbox.list.includes(action)) return;
      this.#outbox.remove(action);
      this.#changed();
    });
  }

  /**
   * Takes back one `join`. The last one leaves the room, unless the same task joins again: parts of a page share a room.
   * Resolves when the session is out. Aborting ends the wait only.
   * @param {{ signal?: AbortSignal }} [options]
   */
  async leave({ signal } = {}) {
    signal?.throwIfAborted();
    if (!this.joined || --this.#joins > 0) return;
    this.#joins = 0;
    this.#leaving = true;
    await undefined;
    if (!this.#leaving) return;
    this.#leaving = false;
    if (!this.joined) return;
    const left = /** @type {import("./wait.js").Deferred<Outcome>} */ (deferred());
    this.#outbox.add("leave", undefined, left);
    this.#detach(new OutlastError("left"));
    await abortable(left.promise, signal);
  }

  // The session calls what follows.

  /** @internal True while in the room or joining, and not leaving. */
  get joined() {
    if (this.#leaving) return false;
    const { joinOrLeave } = this.#outbox;
    return joinOrLeave ? joinOrLeave === "join" : this.#inside;
  }

  /** @internal The number of actions without an outcome. */
  get unsettled() {
    return this.#outbox.list.length;
  }

  /** @internal True when a `resume` names the room (SPEC A11). */
  get open() {
    return this.#inside || this.unsettled > 0;
  }

  /** @internal The position to resume from. Null asks for a snapshot: a pending join may make the session another member. */
  get position() {
    if (this.#stale || this.#outbox.list.some(({ t }) => t === "join")) return null;
    return this.#pos ?? null;
  }

  /** @internal True for a room restored after a reload and joined again, while its state is missing. */
  get blank() {
    return this.#joins > 0 && this.#inside && !this.#pos;
  }

  /** @internal Joins. Resolves inside; rejects when the join fails. @param {Joining<S>} options */
  enter({ data, signal, apply }) {
    const known = this.#joins > 0 && this.#apply;
    if (apply && known && apply !== known) {
      throw new OutlastError("other_apply", `${this.name} is joined with another \`apply\`: share one function`);
    }
    this.#data = data === undefined ? undefined : plain(data);
    this.#apply = apply ?? this.#apply;
    this.#leaving = false;
    if (!this.joined) this.#join();
    this.#joins++;
    if (this.position) return Promise.resolve();
    this.#joining ??= /** @type {import("./wait.js").Deferred<void>} */ (deferred());
    return abortable(this.#joining.promise, signal, () => void this.leave().catch(() => {}));
  }

  /** @internal Sends all actions to a new socket. */
  flush() {
    this.#outbox.restart();
    this.#outbox.flush();
  }

  /** @internal @param {Frame} frame */
  receive(frame) {
    const joining = this.#joining;
    const type = this.#handle(frame);
    this.#changed();
    if (type) this.#emit(type, frame);
    if (joining === this.#joining) return;
    const events = (this.#deferred ??= []);
    defer(() => {
      this.#deferred = undefined;
      for (const event of events.splice(0)) this.#emitter.emit(...event);
    });
  }

  /** @internal A `resumed` says that the session is not in the room. @param {string | null | undefined} asked the position in the `resume` */
  gone(asked) {
    const joining = this.#outbox.joinOrLeave === "join";
    if (asked === null && this.#pos && !joining) return; // outdated: the session has joined since
    this.#release("gone");
    if (joining) return;
    if (this.#joins && this.#joining) this.#join();
    else this.#close(new OutlastError("gone"));
  }

  /** @internal A new session replaces the lost one: joins again if the application is in. Returns true if so. */
  restart() {
    this.#reset(unknown());
    if (this.#joins) this.#join();
    return this.#joins > 0;
  }

  /** @internal The session is over. @param {OutlastError} error */
  end(error) {
    this.#outbox.settle(({ t, sent }) => t === "act" && sent, unknown);
    this.#reset(error);
    this.#close(error);
  }

  /** @internal @returns {import("./storage.js").SavedRoom} */
  toJSON() {
    return { inside: this.#inside, ...this.#outbox.toJSON() };
  }

  /** Applies a frame. Returns the type of the event to emit, if any. @param {Frame} frame @returns {keyof RoomEvents | undefined} */
  #handle(frame) {
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
    if (!this.#outbox.list.some((action) => action.t === "join" && action.n === frame.n)) return;
    const again = this.state !== undefined;
    this.#outbox.settleTo(frame.n, frame.pos);
    this.#adopt(frame);
    return again ? "reset" : undefined;
  }

  /** @param {Frame} frame */
  #left({ n, reason }) {
    const inside = this.#inside;
    if (n !== undefined) {
      if (!this.#outbox.list.some((action) => action.n <= n)) return; // another socket has delivered it
      this.#outbox.settleTo(n);
      this.#outbox.next = Math.max(this.#outbox.next, n + 1);
    }
    this.#release(reason);
    if (this.joined) return inside ? /** @type {const} */ ("left") : undefined; // joining again
    if (n === undefined && this.#joins && this.#joining) {
      this.#join(); // the member was lost while its state was on the way
      return;
    }
    this.#detach(new OutlastError(reason));
    return /** @type {const} */ ("left");
  }

  /** @param {Frame} frame */
  #snapshot(frame) {
    const diverged = frame.reason === "diverged";
    const seen = !diverged && this.position && offset(frame.pos) <= offset(this.position);
    this.#outbox.settleTo(frame.n);
    if (diverged) this.#outbox.renumber(frame.n + 1);
    else this.#outbox.next = Math.max(this.#outbox.next, frame.n + 1);
    if (seen) return; // the socket before this one has delivered more
    this.#adopt(frame);
    return /** @type {const} */ ("reset");
  }

  /** @param {Frame} frame */
  #event(frame) {
    const { by, n, pos, data } = frame;
    if (by === this.member) this.#outbox.settle((action) => action.n === n, () => ({ n, pos, data }));
    if (!this.#advance(pos)) return;
    if (this.#apply && !this.#stale) this.#fold(frame);
    return /** @type {const} */ ("event");
  }

  /** @param {any} event */
  #fold(event) {
    try {
      const state = this.#apply?.(this.state, event);
      if (state !== undefined) this.state = state;
    } catch (error) {
      this.#stale = true;
      this.#host.stale(error);
    }
  }

  /** @param {Frame} frame */
  #result({ n, pos, ok, data, code, message }) {
    this.#outbox.settle(
      (action) => action.n === n || (ok && action.n < n && action.t === "act"),
      (action) => (ok ? { n: action.n, pos, data: action.n === n ? data : undefined } : new OutlastError(code, message)),
    );
  }

  /** Moves on to `pos`. Returns false if that is not ahead. @param {string} pos @returns {boolean} */
  #advance(pos) {
    if (!this.#pos || offset(pos) <= offset(this.#pos)) return false;
    this.#pos = pos;
    return true;
  }

  /** Takes over member and state. @param {Frame} frame */
  #adopt({ pos, state, member }) {
    this.#inside = true;
    this.#stale = false;
    this.member = member;
    if (!this.#joins) return; // without `apply` the state would grow stale
    this.#pos = pos;
    this.state = state;
    this.#joining?.resolve();
    this.#joining = undefined;
  }

  /** The session is out. Settles all actions before a join that is still pending. @param {string} reason */
  #release(reason) {
    this.#inside = false;
    this.#pos = undefined;
    this.#outbox.drop(
      new OutlastError(reason, `not in ${this.name}`),
      this.#outbox.list.find((action) => action.t === "join")?.n,
    );
    this.#host.save();
  }

  /** Starts with an empty outbox, as a new session does. @param {OutlastError} error */
  #reset(error) {
    const before = this.#outbox;
    before.restart();
    this.#outbox = new Outbox(this.name, this.#host);
    this.#inside = false;
    this.#pos = undefined;
    before.drop(error);
    this.#changed();
  }

  #join() {
    this.#outbox.add("join", this.#data, { resolve() {}, reject: (error) => this.joined || this.#close(error) });
    this.#changed();
  }

  /** The session is out and does not join again by itself. @param {OutlastError} error */
  #close(error) {
    this.#detach(error);
    this.#changed();
    this.#emit("left", { t: "left", room: this.name, reason: error.code });
  }

  /** @param {keyof RoomEvents} type @param {any} frame */
  #emit(type, frame) {
    this.#deferred ? this.#deferred.push([type, frame]) : this.#emitter.emit(type, frame);
  }

  /** The application is out, or could not get in. @param {OutlastError} error */
  #detach(error) {
    this.#joins = 0;
    this.#joining?.reject(error);
    this.#joining = undefined;
  }

  #changed() {
    const acts = this.#outbox.list.filter((action) => action.t === "act");
    if (acts.length || this.pending.length) this.pending = acts;
    this.#emitter.emit("change");
  }
}
