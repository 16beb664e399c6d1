import { CLOSES } from "./close.js";
import { endpoint, json } from "./codec.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { OutlastError, report } from "./error.js";
import { farewell } from "./farewell.js";
import { Link } from "./link.js";
import { roomName } from "./plain.js";
import { platform as browser } from "./platform.js";
import { RateLimiter } from "./rate-limiter.js";
import { Room } from "./room.js";
import { StoredSession } from "./storage.js";
import { Token } from "./token.js";
import { abortable } from "./wait.js";

const QUEUE_ACTIONS = 1000;
const ROOMS_MAX = 256;
const FRAME_BYTES = 65_536;
const FETCH_MAX_MS = 60_000;

/**
 * @typedef {import("./codec.js").Frame} Frame
 * @typedef {import("./link.js").Status} Status
 * @typedef {object} Options
 * @property {() => string | undefined | Promise<string | undefined>} [token] returns a token. Called before each attach, and
 *   again 60 s before the token expires. Default: no token
 * @property {import("./storage.js").WebStorage | null} [storage] keeps the session over a reload of the page; null keeps
 *   nothing. Default: `sessionStorage`
 * @property {import("./codec.js").Codec} [codec] encoding of frames: JSON, or `msgpack` of `outlast/msgpack`. Default: JSON
 * @property {import("./connection.js").SocketClass} [WebSocket] WebSocket class, such as that of the package `ws`. Default:
 *   the built-in one
 * @property {number} [queue] actions without an outcome, at most; one more fails with `queue_full`. Default: 1000
 * @property {import("./platform.js").Platform} [platform] clock, timers and randomness, for tests. Default: the browser's
 */

/**
 * @typedef {object} SessionEvents
 * @property {Status} status the new status
 * @property {Reset} reset the server has lost the session, and a new one has begun: its rooms are joined again, and actions
 *   without an outcome have failed with `unknown`
 * @property {any} error an `OutlastError`, or an exception of the `token` callback or of an `apply`. The session goes on
 * @property {{ code: number, reason: string }} end the session is over: a close code of SPEC 9, and text for people
 *
 * @typedef {object} Reset
 * @property {number} code 4001
 * @property {string} reason `expired` after an absence longer than the lifetime of a session
 * @property {number} away_ms milliseconds since the last frame of the server; NaN after a reload
 */

/** A session with the server. It outlives its sockets. */
export class Session {
  /** Every room that this session has numbered actions for. @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {{ sid: string, key: string } | undefined} */
  #id;
  #emitter = new Emitter();
  #frameBytes = FRAME_BYTES;
  #ttl_ms = 0;
  #saving = false;
  /** A snapshot for a room whose `apply` threw is about to be fetched; how often one was, and when the last time. */
  #fetching = false;
  #fetches = 0;
  #fetched_ms = -Infinity;
  /** Releases the lock that keeps other tabs from using this session. @type {(() => void) | undefined} */
  #release;
  #codec;
  #dial;
  /** The server is to be told of the end. */
  #ends = false;
  #link;
  #platform;
  #queue;
  #rateLimiter;
  /** Pending until a kept session is looked up. @type {Promise<void> | undefined} */
  #restoring;
  #storage;
  #token;

  /** @param {string | URL | undefined} address @param {Options} options */
  constructor(address, { token, storage, codec = json, WebSocket = globalThis.WebSocket, queue = QUEUE_ACTIONS, platform = browser }) {
    if (!WebSocket) throw new TypeError("no WebSocket here: pass one");
    const url = endpoint(address);
    this.#codec = codec;
    this.#platform = platform;
    this.#queue = queue;
    this.#storage = new StoredSession(storage === undefined ? platform.storage : storage, `outlast ${url}`);
    this.#rateLimiter = new RateLimiter(platform.now);
    this.#token = new Token(token, platform);
    this.#dial = (/** @type {import("./connection.js").Listeners} */ on) => new Connection(url, WebSocket, codec, platform, on);
    this.#link = new Link(
      {
        token: () => this.#token.fetch(),
        dial: this.#dial,
        greet: (connection, token) => this.#greet(connection, token),
        attached: (frame, connection) => this.#attached(frame, connection),
        receive: (frame, connection) => this.#receive(frame, connection),
        resumedLate: ({ key }) => this.#id && key && (this.#id.key = key), // the key that works (S3)
        flush: () => this.#flush(),
        waits: () => [...this.#rooms.values()].some((room) => room.unsettled > 0),
        status: (status) => this.#emitter.emit("status", status),
        failed: (error) => this.#emitter.emit("error", error),
        reset: (loss) => this.#reset(loss),
        stop: (loss) => this.#stop(loss),
      },
      platform,
    );
    this.#restoring = this.#restore().then(() => {
      this.#restoring = undefined;
      void this.#link.attach();
    });
  }

  /** @returns {Status} */
  get status() {
    return this.#link.status;
  }

  /** The rooms that this session is in or joining. @returns {Room<any>[]} */
  get rooms() {
    return [...this.#rooms.values()].filter((room) => room.joined);
  }

  /**
   * Adds a listener.
   * @template {keyof SessionEvents} K
   * @param {K} type @param {(value: SessionEvents[K]) => void} listener @returns {() => void} removes the listener
   */
  on(type, listener) {
    return this.#emitter.on(type, listener);
  }

  /**
   * Joins a room, or attaches to one restored after a reload. Resolves inside; rejects when the room refuses the join.
   * @template [S=any]
   * @param {string} name
   * @param {import("./room.js").Joining<S>} [options]
   * @returns {Promise<Room<S>>}
   */
  async join(name, options = {}) {
    if (this.#restoring) await abortable(this.#restoring, options.signal);
    options.signal?.throwIfAborted();
    if (this.status === "ended") throw new OutlastError("ended");
    const room = this.#room(roomName(name));
    const entered = room.enter(options);
    if (room.blank && this.#link.writer) this.#link.attach(); // a snapshot comes with a resume only
    await entered;
    return room;
  }

  /**
   * Ends the session and leaves its rooms. It cannot be resumed. The server is told at once, or as soon as a socket can be
   * opened. Actions that were sent and have no outcome fail with `unknown`, the others with `ended`.
   */
  end() {
    if (this.status === "ended") return;
    const id = this.#id;
    this.#ends = !this.#link.end();
    this.#stop({ code: 4010, reason: "ended" });
    if (id && this.#ends) farewell(id, this.#dial, this.#platform);
  }

  /**
   * Closes the socket and keeps the session: until it expires, the next `connect` of this page resumes it, with the actions
   * that have no outcome. Here they fail with `unknown` if they were sent, and else with `closed`.
   */
  close() {
    if (this.status === "ended") return;
    this.#saveNow();
    this.#stop({ code: 1000, reason: "closed" });
  }

  async #restore() {
    const saved = this.#storage.load();
    if (!saved) return;
    this.#release = await this.#platform.claim(`outlast ${saved.sid}`);
    const id = { sid: saved.sid, key: saved.key };
    if (this.status === "ended") {
      this.#release?.();
      if (this.#release && this.#ends) farewell(id, this.#dial, this.#platform);
      return;
    }
    if (!this.#release) return this.#storage.clear(); // this tab is a duplicate of an open one
    this.#id = id;
    for (const [name, room] of Object.entries(saved.rooms)) this.#room(name, room);
  }

  /** @param {string} name @param {import("./storage.js").SavedRoom} [saved] */
  #room(name, saved) {
    let room = this.#rooms.get(name);
    if (!room) {
      const host = {
        admit: this.#admit.bind(this),
        post: this.#post.bind(this),
        save: this.#save.bind(this),
        orphaned: (/** @type {OutlastError} */ error) => this.#emitter.emit("error", error),
        after: this.#platform.after,
        stale: (/** @type {unknown} */ error) => this.#stale(error),
      };
      this.#rooms.set(name, (room = new Room(name, host, saved)));
    }
    return room;
  }

  /** Fetches a snapshot, which comes with a resume only: at once, and then ever more seldom. @param {unknown} error */
  #stale(error) {
    report(error);
    this.#emitter.emit("error", error);
    if (this.#fetching) return;
    const now_ms = this.#platform.now();
    if (now_ms - this.#fetched_ms > 10 * FETCH_MAX_MS) this.#fetches = 0;
    const wait_ms = this.#fetches++ && Math.min(FETCH_MAX_MS, 500 * 2 ** this.#fetches);
    this.#fetching = true;
    this.#platform.after(wait_ms, () => {
      this.#fetching = false;
      this.#fetched_ms = this.#platform.now();
      if (this.#link.writer) void this.#link.attach();
    });
  }

  /** @param {import("./room.js").Post} post */
  #admit(post) {
    if (this.status === "ended") throw new OutlastError("ended");
    let unsettled = 0;
    for (const room of this.#rooms.values()) unsettled += room.unsettled;
    if (unsettled >= this.#queue) throw new OutlastError("queue_full", "too much waits");
    const bytes = new Blob([this.#codec.encode(post)]).size;
    if (bytes > this.#frameBytes) throw new OutlastError("too_big", `${bytes} bytes of ${this.#frameBytes}`);
  }

  /** @param {import("./room.js").Post} post */
  #post(post) {
    const { writer } = this.#link;
    const wait_ms = writer && this.#rateLimiter.take_ms();
    if (wait_ms === 0) {
      writer?.send(post);
      this.#link.expectOutcome();
    }
    return wait_ms;
  }

  /**
   * Sends the first frame. Returns true if actions may follow at once. After an `open` they wait for the `welcome`: if that
   * were lost, the next `open` would begin another session, and repeat each action.
   * @param {Connection} connection @param {string | undefined} token
   */
  #greet(connection, token) {
    this.#renew(token);
    this.#rateLimiter.refill();
    if (!this.#id) return connection.send({ t: "open", token }), false;
    const open = [...this.#rooms.values()].filter((room) => room.open);
    for (const room of open.slice(0, ROOMS_MAX)) connection.asked[room.name] = room.position; // R1; null for those left out
    connection.key = this.#id.key;
    connection.send({ t: "resume", ...this.#id, token, rooms: connection.asked });
    return true;
  }

  /** @param {string | undefined} token */
  #renew(token) {
    this.#token.renew(
      token,
      (token) => this.#link.writer?.send({ t: "token", token }),
      (error) => this.#emitter.emit("error", error),
    );
  }

  /** @param {Frame} frame @param {Connection} connection */
  #attached({ t, sid, key, ttl_ms, limits, rooms = {} }, { asked }) {
    this.#id = { sid, key };
    this.#ttl_ms = ttl_ms;
    if (limits) {
      this.#rateLimiter.rate = limits.actions_per_s;
      this.#frameBytes = limits.frame_bytes;
    }
    if (t === "welcome" && this.#storage.enabled) void this.#claim(sid);
    for (const [name, how] of Object.entries(rooms)) {
      const room = this.#room(name);
      if (how === "gone") room.gone(asked[name]);
    }
    this.#save();
  }

  /** @param {string} sid */
  async #claim(sid) {
    const release = await this.#platform.claim(`outlast ${sid}`);
    if (this.#id?.sid === sid) this.#release = release;
    else release?.();
  }

  #flush() {
    for (const room of this.#rooms.values()) room.flush();
  }

  /** @param {Frame} frame @param {Connection} connection */
  #receive(frame, connection) {
    const { t, n, room } = frame;
    if (t === "error" && n === undefined) return this.#emitter.emit("error", new OutlastError(frame.code, frame.message));
    const late = t === "error" || t === "gap" || (t === "left" && n === undefined);
    if (late && connection !== this.#link.writer) return; // outdated: the actions were sent again, on another socket
    this.#rooms.get(room)?.receive(frame);
  }

  /** @param {import("./close.js").Loss} loss */
  #reset({ code, reason }) {
    this.#forget();
    for (const [name, room] of this.#rooms) if (!room.restart()) this.#rooms.delete(name);
    const away_ms = this.#platform.now() - this.#link.heard_ms;
    this.#emitter.emit("reset", { code, reason: away_ms > this.#ttl_ms ? "expired" : reason, away_ms });
  }

  /** @param {import("./close.js").Loss} loss */
  #stop({ code, reason }) {
    if (this.status === "ended") return;
    this.#link.stop();
    this.#token.stop();
    const name = CLOSES[code] ?? "closed";
    if (name === "closed") this.#release?.();
    else if (name !== "unauthorized") this.#forget();
    const error = new OutlastError(name, reason);
    for (const room of this.#rooms.values()) room.end(error);
    this.#emitter.emit("end", { code, reason });
  }

  #forget() {
    this.#id = undefined;
    this.#release?.();
    this.#storage.clear();
  }

  /** Saves once for all changes of one task. */
  #save() {
    if (this.#saving) return;
    this.#saving = true;
    queueMicrotask(() => {
      this.#saving = false;
      this.#saveNow();
    });
  }

  #saveNow() {
    if (!this.#id || this.status === "ended") return;
    const rooms = [...this.#rooms].slice(-ROOMS_MAX).map(([name, room]) => [name, room.toJSON()]);
    this.#storage.save({ ...this.#id, rooms: Object.fromEntries(rooms) });
  }
}
