const ATTACH_MS = 20_000;

/**
 * The part of the WebSocket API that the client uses: a browser's, Node.js's own, or that of the package `ws`.
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {any} binaryType
 * @property {any} onopen
 * @property {any} onmessage
 * @property {any} onclose
 * @property {any} onerror
 * @property {(data: string | Uint8Array<ArrayBuffer>) => void} send
 * @property {(code?: number) => void} close
 * @typedef {new (url: string, protocol: string) => Socket} SocketClass
 *
 * @typedef {object} Listeners
 * @property {(connection: Connection) => void} open
 * @property {(frame: import("./codec.js").Frame, connection: Connection) => void} frame
 * @property {(loss: import("./close.js").Loss, connection: Connection) => void} lost called once, unless `close` comes first
 */

/**
 * One socket. It answers pings, and closes after two heartbeat intervals without a frame, or 20 s before the attach.
 */
export class Connection {
  #socket;
  #platform;
  #on;
  #cancelTimeout = () => {};
  #timeout_ms = ATTACH_MS;
  #codec;
  #closed = false;
  /** A newer socket has taken the session over: a `taken_over` on this one is expected. */
  replaced = false;
  /** The key that its `resume` bore. @type {string | undefined} */
  key;
  /** Time of the last frame. */
  heard_ms;
  /** The positions that its `resume` bore. @type {Record<string, string | null>} */
  asked = {};
  /** The rooms that are not live yet; undefined before the attach. @type {Set<string> | undefined} */
  catchingUp;

  /**
   * @param {string} url
   * @param {SocketClass} Socket
   * @param {import("./codec.js").Codec} codec
   * @param {import("./platform.js").Platform} platform
   * @param {Listeners} on
   */
  constructor(url, Socket, codec, platform, on) {
    this.#codec = codec;
    this.#platform = platform;
    this.#on = on;
    this.heard_ms = platform.now();
    this.#socket = new Socket(url, codec.protocol);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#closed || on.open(this);
    this.#socket.onmessage = (/** @type {{ data: unknown }} */ { data }) => this.#receive(data);
    this.#socket.onclose = (/** @type {import("./close.js").Loss} */ { code, reason }) => this.lose({ code, reason });
    this.#socket.onerror = () => {};
    this.#startTimeout();
  }

  /** True after half of the timeout without a frame: the socket may have died while timers did not run. */
  get stale() {
    return this.#platform.now() - this.heard_ms > this.#timeout_ms / 2;
  }

  /** Returns false if the socket is not open. @param {{ t: string, [field: string]: unknown }} frame */
  send(frame) {
    if (this.#socket.readyState !== 1) return false;
    this.#socket.send(this.#codec.encode(frame));
    return true;
  }

  /** @param {import("./codec.js").Frame} frame a `welcome` or `resumed` */
  attached({ heartbeat_ms, rooms = {} }) {
    this.#timeout_ms = 2 * heartbeat_ms;
    this.catchingUp = new Set(Object.keys(rooms).filter((name) => rooms[name] !== "gone"));
  }

  /** Closes the socket and calls `lost`. @param {import("./close.js").Loss} loss */
  lose(loss) {
    if (this.close()) this.#on.lost(loss, this);
  }

  /** Closes the socket without calling `lost`. Returns false when it was closed before. */
  close() {
    if (this.#closed) return false;
    this.#closed = true;
    this.#cancelTimeout();
    this.#socket.close();
    return true;
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#closed) return;
    const now_ms = this.#platform.now();
    // The timers slept, and the frame was buffered meanwhile: by now the server has closed this socket.
    if (now_ms - this.heard_ms > this.#timeout_ms) return this.#timedOut();
    this.heard_ms = now_ms;
    const frame = this.#decode(data);
    if (frame?.t === "ping") this.send({ t: "pong" });
    else if (frame) this.#on.frame(frame, this);
    if (!this.#closed) this.#startTimeout();
  }

  /** @param {unknown} data @returns {import("./codec.js").Frame | undefined} undefined when `data` is not a frame */
  #decode(data) {
    try {
      return this.#codec.decode(data);
    } catch {
      return undefined;
    }
  }

  #timedOut = () => this.lose({ code: 4006, reason: "silent" });

  #startTimeout() {
    this.#cancelTimeout();
    this.#cancelTimeout = this.#platform.after(this.#timeout_ms, this.#timedOut);
  }
}
