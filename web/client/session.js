import { CLOSES } from "./close.js";
import { endpoint, json } from "./codec.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { OutlastError } from "./error.js";
import { Link } from "./link.js";
import { Memory } from "./memory.js";
import { Pace } from "./pace.js";
import { platform as browser } from "./platform.js";
import { Room } from "./room.js";
import { Token } from "./token.js";
import { abortable } from "./wait.js";

const QUEUE_ACTIONS = 1000;
const ROOMS_MAX = 256;
const FRAME_BYTES = 65_536;

/**
 * @typedef {import("./codec.js").Frame} Frame
 * @typedef {import("./link.js").Status} Status
 * @typedef {object} Options
 * @property {() => string | undefined | Promise<string | undefined>} [token] asked before each attach
 *   and before the token expires
 * @property {import("./memory.js").Store | null} [storage] where the session
 *   outlives its page: `sessionStorage` unless told otherwise, nowhere with `null`
 * @property {import("./codec.js").Codec} [codec] how frames travel: JSON, or `msgpack` of `outlast/msgpack`
 * @property {import("./connection.js").SocketClass} [WebSocket] where there is none built in: that of `ws`
 * @property {number} [queue] the most actions that may wait for an outcome, 1000
 * @property {import("./platform.js").Platform} [platform] another clock and chance, for tests
 */

/**
 * @typedef {object} SessionEvents
 * @property {Status} status the new one
 * @property {Reset} reset the server does not know this session any more, and another has begun: its
 *   rooms are joined again, and what had no outcome is `unknown`
 * @property {any} error what went wrong while all goes on: an `OutlastError`, or what the token
 *   callback threw
 * @property {{ code: number, reason: string }} end it is over: a close code of SPEC 9, and why
 *
 * @typedef {object} Reset
 * @property {number} code 4001
 * @property {string} reason `expired` when we were away for longer than a session lives
 * @property {number} away_ms since the server was last heard of; NaN behind a reload
 */

/** A session with the server: it lasts while sockets come and go. */
export class Session {
  /** @type {Map<string, Room>} every room that we have numbered actions for */
  #rooms = new Map();
  /** @type {{ sid: string, key: string } | undefined} */
  #id;
  #emitter = new Emitter();
  #frameBytes = FRAME_BYTES;
  #ttl_ms = 0;
  #saving = false;
  /** @type {(() => void) | undefined} */
  #release;
  #codec;
  #link;
  #memory;
  #pace;
  #platform;
  #queue;
  #ready;
  #token;

  /** @param {string | URL | undefined} address @param {Options} options */
  constructor(address, { token, storage, codec = json, WebSocket = globalThis.WebSocket, queue = QUEUE_ACTIONS, platform = browser }) {
    if (!WebSocket) throw new TypeError("no WebSocket here: pass one");
    const url = endpoint(address);
    this.#codec = codec;
    this.#platform = platform;
    this.#queue = queue;
    this.#memory = new Memory(storage === undefined ? platform.storage : storage, `outlast ${url}`);
    this.#pace = new Pace(platform.now);
    this.#token = new Token(token, platform);
    this.#link = new Link(
      {
        token: () => this.#token.ask(),
        dial: (on) => new Connection(url, WebSocket, codec, platform, on),
        greet: (connection, token) => this.#greet(connection, token),
        attached: (frame, connection) => this.#attached(frame, connection),
        receive: (frame, connection) => this.#receive(frame, connection),
        strayed: ({ key }) => this.#id && key && (this.#id.key = key), // the one that works: what came after it is void (S3)
        flush: () => this.#flush(),
        turned: (status) => this.#emitter.emit("status", status),
        failed: (error) => this.#emitter.emit("error", error),
        reset: (loss) => this.#reset(loss),
        stop: (loss) => this.#stop(loss),
      },
      platform,
    );
    this.#ready = this.#restore().then(() => void this.#link.attach());
  }

  /** @returns {Status} */
  get status() {
    return this.#link.status;
  }

  /** The rooms that we are in, or on our way into. @returns {Room<any>[]} */
  get rooms() {
    return [...this.#rooms.values()].filter((room) => room.bound);
  }

  /**
   * @template {keyof SessionEvents} K
   * @param {K} type @param {(value: SessionEvents[K]) => void} listener @returns {() => void} its undo
   */
  on(type, listener) {
    return this.#emitter.on(type, listener);
  }

  /**
   * Joins a room, or takes up again one that a reload brought back.
   * @template [S=any]
   * @param {string} name
   * @param {import("./room.js").Joining<S>} [options]
   * @returns {Promise<Room<S>>}
   */
  async join(name, options = {}) {
    await abortable(this.#ready, options.signal);
    options.signal?.throwIfAborted();
    if (this.status === "ended") throw new OutlastError("ended");
    const room = this.#room(name);
    const entered = room.enter(options);
    if (room.blank && this.#link.writer) this.#link.attach(); // a snapshot comes with a resume only
    await entered;
    return room;
  }

  /** Ends the session: its rooms are left, and nothing resumes it. */
  end() {
    this.#link.writer?.send({ t: "end" });
    this.#stop({ code: 4010, reason: "ended" });
  }

  async #restore() {
    const saved = this.#memory.load();
    if (!saved) return;
    this.#release = await this.#platform.claim(`outlast ${saved.sid}`);
    if (!this.#release) return this.#memory.clear(); // a duplicate of a tab that is still there
    this.#id = { sid: saved.sid, key: saved.key };
    for (const [name, room] of Object.entries(saved.rooms)) this.#room(name, room);
  }

  /** @param {string} name @param {import("./memory.js").SavedRoom} [saved] */
  #room(name, saved) {
    let room = this.#rooms.get(name);
    if (!room) {
      const host = {
        admit: this.#admit.bind(this),
        post: this.#post.bind(this),
        save: this.#save.bind(this),
        orphaned: (/** @type {OutlastError} */ error) => this.#emitter.emit("error", error),
        after: this.#platform.after,
      };
      this.#rooms.set(name, (room = new Room(name, host, saved)));
    }
    return room;
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
    const wait_ms = writer && this.#pace.take_ms();
    if (wait_ms === 0) writer?.send(post);
    return wait_ms;
  }

  /**
   * Behind an `open` nothing is sent before its `welcome`: were that lost, the next `open` would
   * make another session, and have each action done twice.
   * @param {Connection} connection @param {string | undefined} token
   */
  #greet(connection, token) {
    this.#keep(token);
    this.#pace.refill();
    if (!this.#id) return connection.send({ t: "open", token }), false;
    const open = [...this.#rooms.values()].filter((room) => room.open);
    for (const room of open.slice(0, ROOMS_MAX)) connection.asked[room.name] = room.position; // R1; one left out counts as null
    connection.key = this.#id.key;
    connection.send({ t: "resume", ...this.#id, token, rooms: connection.asked });
    return true;
  }

  /** @param {string | undefined} token */
  #keep(token) {
    this.#token.keep(
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
      this.#pace.rate = limits.actions_per_s;
      this.#frameBytes = limits.frame_bytes;
    }
    if (t === "welcome" && this.#memory.kept) void this.#claim(sid);
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
    if (late && connection !== this.#link.writer) return; // another socket has our actions now, and tells
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
    const name = CLOSES[code] ?? "ended";
    if (name !== "unauthorized") this.#forget();
    const error = new OutlastError(name, reason);
    for (const room of this.#rooms.values()) room.close(error);
    this.#emitter.emit("end", { code, reason });
  }

  #forget() {
    this.#id = undefined;
    this.#release?.();
    this.#memory.clear();
  }

  /** Once for all that happens in one go. */
  #save() {
    if (this.#saving) return;
    this.#saving = true;
    queueMicrotask(() => {
      this.#saving = false;
      if (!this.#id || this.status === "ended") return;
      const rooms = [...this.#rooms].slice(-ROOMS_MAX).map(([name, room]) => [name, room.toJSON()]);
      this.#memory.save({ ...this.#id, rooms: Object.fromEntries(rooms) });
    });
  }
}
