import { decode, encode, SUBPROTOCOL } from "./codec.js";

const ATTACH_MS = 20_000;

/**
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
  #closed = false;
  /** A newer socket has asked for the session: if this one is told so, that is no news. */
  replaced = false;
  /** @type {Record<string, string | null>} positions we asked to resume from */
  asked = {};
  /** @type {Set<string> | undefined} rooms that are not live yet; nothing before the attach */
  behind;

  /**
   * @param {string} url
   * @param {typeof WebSocket} Socket
   * @param {import("./platform.js").Platform} platform
   * @param {Listeners} on
   */
  constructor(url, Socket, platform, on) {
    this.#platform = platform;
    this.#on = on;
    this.#socket = new Socket(url, SUBPROTOCOL);
    this.#socket.onopen = () => this.#closed || on.open(this);
    this.#socket.onmessage = ({ data }) => this.#hear(data);
    this.#socket.onclose = ({ code, reason }) => this.lose({ code, reason });
    this.#socket.onerror = () => {};
    this.#watch();
  }

  /** @param {{ t: string, [field: string]: unknown }} frame */
  send(frame) {
    if (this.#socket.readyState === 1) this.#socket.send(encode(frame));
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

  /** @param {unknown} text */
  #hear(text) {
    if (this.#closed) return;
    const frame = decode(text);
    if (frame?.t === "ping") this.send({ t: "pong" });
    else if (frame) this.#on.frame(frame, this);
    if (!this.#closed) this.#watch();
  }

  #watch() {
    this.#unwatch();
    this.#unwatch = this.#platform.after(this.#silence_ms, () => this.lose({ code: 4006, reason: "silent" }));
  }
}
