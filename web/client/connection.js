const ATTACH_MS = 20_000;

/**
 * What the client needs of a WebSocket: a browser's, Node.js's own, or that of the package `ws`.
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
 * @property {(loss: import("./close.js").Loss, connection: Connection) => void} lost
 */

/**
 * One socket: frames in, frames out, and its loss told once. It answers pings, and gives a socket
 * up that has said nothing for two heartbeats.
 */
export class Connection {
  #socket;
  #platform;
  #on;
  #unwatch = () => {};
  #silence_ms = ATTACH_MS;
  #codec;
  #closed = false;
  /** A newer socket has asked for the session: if this one is told so, that is no news. */
  replaced = false;
  /** The key that its `resume` bore. @type {string | undefined} */
  key;
  /** When it was last heard of. */
  heard_ms;
  /** @type {Record<string, string | null>} positions we asked to resume from */
  asked = {};
  /** @type {Set<string> | undefined} rooms that are not live yet; nothing before the attach */
  behind;

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
    this.#socket.onmessage = (/** @type {{ data: unknown }} */ { data }) => this.#hear(data);
    this.#socket.onclose = (/** @type {import("./close.js").Loss} */ { code, reason }) => this.lose({ code, reason });
    this.#socket.onerror = () => {};
    this.#watch();
  }

  /** It has been silent for so long that it may be dead: a pause that the timers did not see. */
  get stale() {
    return this.#platform.now() - this.heard_ms > this.#silence_ms / 2;
  }

  /** @param {{ t: string, [field: string]: unknown }} frame */
  send(frame) {
    if (this.#socket.readyState === 1) this.#socket.send(this.#codec.encode(frame));
  }

  /** @param {import("./codec.js").Frame} frame a `welcome` or `resumed` */
  attached({ heartbeat_ms, rooms = {} }) {
    this.#silence_ms = 2 * heartbeat_ms;
    this.behind = new Set(Object.keys(rooms).filter((name) => rooms[name] !== "gone"));
  }

  /** Gives the socket up and says so. @param {import("./close.js").Loss} loss */
  lose(loss) {
    if (this.close()) this.#on.lost(loss, this);
  }

  /** Gives the socket up without a word; false when it was given up before. */
  close() {
    if (this.#closed) return false;
    this.#closed = true;
    this.#unwatch();
    this.#socket.close();
    return true;
  }

  /** @param {unknown} data */
  #hear(data) {
    if (this.#closed) return;
    const now_ms = this.#platform.now();
    // what was kept for us while the timers slept: the server has given us up by now
    if (now_ms - this.heard_ms > this.#silence_ms) return this.#silent();
    this.heard_ms = now_ms;
    const frame = this.#decode(data);
    if (frame?.t === "ping") this.send({ t: "pong" });
    else if (frame) this.#on.frame(frame, this);
    if (!this.#closed) this.#watch();
  }

  /** @param {unknown} data @returns {import("./codec.js").Frame | undefined} nothing for what is no frame */
  #decode(data) {
    try {
      return this.#codec.decode(data);
    } catch {
      return undefined;
    }
  }

  #silent = () => this.lose({ code: 4006, reason: "silent" });

  #watch() {
    this.#unwatch();
    this.#unwatch = this.#platform.after(this.#silence_ms, this.#silent);
  }
}
