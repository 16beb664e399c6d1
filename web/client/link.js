import { backoff_ms } from "./backoff.js";
import { CLOSES } from "./close.js";
import { OutlastError } from "./error.js";

/**
 * @typedef {import("./connection.js").Connection} Connection
 * @typedef {import("./codec.js").Frame} Frame
 * @typedef {import("./close.js").Loss} Loss
 * @typedef {"connecting" | "live" | "catching-up" | "offline" | "ended"} Status
 * @typedef {object} LinkHost what a link needs of its session
 * @property {() => Promise<string | undefined>} token
 * @property {(on: import("./connection.js").Listeners) => Connection} dial
 * @property {(connection: Connection, token: string | undefined) => boolean} greet sends the first
 *   frame; says whether actions may follow at once
 * @property {(frame: Frame, connection: Connection) => void} attached
 * @property {(frame: Frame, connection: Connection) => void} receive
 * @property {(connection: Connection) => void} strayed this connection's late `resume` took the session over
 * @property {() => void} flush sends all actions to the writer
 * @property {(status: Status) => void} turned
 * @property {(error: unknown) => void} failed
 * @property {(loss: Loss) => void} reset
 * @property {(loss: Loss) => void} stop
 */

const STRAY_MS = 60_000;

/**
 * Keeps the session attached. One socket delivers; while another takes over from it, the first goes
 * on until the second has caught up. What is lost is tried again.
 */
export class Link {
  /** @type {Status} */
  status = "connecting";
  /** Takes our actions. @type {Connection | undefined} */
  writer;
  /** Delivers. @type {Connection | undefined} */
  #current;
  /** Attaches, and then takes over. @type {Connection | undefined} */
  #next;
  #host;
  #after;
  #random;
  #tries = 0;
  #unwatch;
  /** @type {(() => void) | undefined} */
  #cancel;
  #attempt = 0;
  /** A socket that was given up before its `resume` was answered: that may still arrive, and take us over. @type {Connection | undefined} */
  #stray;
  /** The token that was refused last, "" for none, and why. @type {{ token: string, loss: Loss } | undefined} */
  #refused;
  /** When the server was last heard of, by a socket that is gone. */
  heard_ms = NaN;

  /** @param {LinkHost} host @param {import("./platform.js").Platform} platform */
  constructor(host, platform) {
    this.#host = host;
    this.#after = platform.after;
    this.#random = platform.random;
    this.#unwatch = platform.watch(
      () => this.#wake(),
      () => [this.#next, this.#current].forEach((connection) => connection?.lose({ code: 1006, reason: "offline" })),
    );
  }

  /** Opens a socket: the first, the next try, or one to replace the one that delivers. */
  async attach() {
    const attempt = this.#supersede();
    this.#drop(this.#next);
    if (!this.#current) this.#turn("connecting");
    try {
      const token = await this.#host.token();
      if (attempt !== this.#attempt) return;
      if (this.#refused && (!token || token === this.#refused.token)) return this.#host.stop(this.#refused.loss);
      this.#next = this.#host.dial({
        open: (connection) => this.#greet(connection, token),
        frame: (frame, connection) => this.#hear(frame, connection),
        lost: (loss, connection) => this.#lost(loss, connection, token),
      });
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#host.failed(error);
      this.#retry();
    }
  }

  stop() {
    this.#supersede();
    this.#unwatch();
    this.#drop(this.#next);
    this.#drop(this.#current);
    this.#turn("ended");
  }

  /** A pause is over: what waits is tried now, and a socket that may have died in it is replaced. */
  #wake() {
    const connection = this.#next ?? this.#current;
    if (connection ? connection.stale : this.#cancel) this.attach();
  }

  /** @param {Connection} connection @param {string | undefined} token */
  #greet(connection, token) {
    if (this.#host.greet(connection, token)) this.#write(connection);
  }

  /** @param {Connection} connection */
  #write(connection) {
    if (this.#current && this.#current !== connection) this.#current.replaced = true;
    this.writer = connection;
    this.#host.flush();
  }

  /** @param {Frame} frame @param {Connection} connection */
  #hear(frame, connection) {
    switch (frame.t) {
      case "move":
        if (connection === (this.#next ?? this.#current)) this.#schedule(frame.after_ms);
        return;
      case "bye":
        return connection.lose(frame);
      case "busy":
        return connection.lose({ code: 4013, reason: "busy", retry_ms: frame.retry_ms });
      case "welcome":
      case "resumed":
        this.#attached(frame, connection);
        break;
      default:
        this.#host.receive(frame, connection);
        if (frame.t === "live" || frame.t === "left") connection.behind?.delete(frame.room);
    }
    if (connection === this.#next && connection.behind?.size === 0) this.#promote();
  }

  /** @param {Frame} frame @param {Connection} connection */
  #attached(frame, connection) {
    connection.attached(frame);
    this.#tries = 0;
    this.#refused = undefined;
    if (this.status !== "live") this.#turn("catching-up");
    this.#host.attached(frame, connection);
    if (this.writer !== connection) this.#write(connection);
  }

  #promote() {
    this.#drop(this.#current);
    this.#current = this.#next;
    this.#next = undefined;
    this.#turn("live");
  }

  /** @param {Loss} loss @param {Connection} connection @param {string} [token] */
  #lost(loss, connection, token = "") {
    const taken = loss.code === 4002 && connection.replaced;
    const stray = !taken && (loss.code === 4001 || loss.code === 4002) && this.#stray;
    if (stray) {
      this.#stray = undefined;
      this.#host.strayed(stray);
    }
    if (loss.code > 4000 && loss.code !== 4006) connection.key = undefined; // answered
    const name = taken || stray ? undefined : CLOSES[loss.code];
    const replacing = connection === this.#current && this.#next;
    this.#drop(connection);
    if (replacing) return; // whatever became of this one, the other is told as well
    if (name === "unauthorized") {
      if (this.#refused) this.#host.failed(new OutlastError(name, loss.reason));
      this.#refused = { token, loss };
    } else if (name === "session_gone") {
      this.#drop(this.#current);
      this.#host.reset(loss);
    } else if (name) return this.#host.stop(loss);
    this.#retry(loss.retry_ms);
  }

  /** @param {Connection | undefined} connection */
  #drop(connection) {
    if (!connection) return;
    connection.close();
    if (connection.behind) this.heard_ms = connection.heard_ms;
    else if (connection.key) this.#keep(connection);
    if (connection === this.#next) this.#next = undefined;
    if (connection === this.#current) this.#current = undefined;
    if (connection !== this.writer) return;
    this.writer = this.#current;
    if (this.writer) this.#host.flush();
  }

  /** H2 bounds how late its first frame can be. @param {Connection} stray */
  #keep(stray) {
    this.#stray = stray;
    this.#after(STRAY_MS, () => this.#stray === stray && (this.#stray = undefined));
  }

  /** @param {number} [retry_ms] */
  #retry(retry_ms = backoff_ms(this.#tries++, this.#random)) {
    if (!this.#current) this.#turn("offline");
    this.#schedule(retry_ms);
  }

  /** @param {number} ms */
  #schedule(ms) {
    this.#supersede();
    this.#cancel = this.#after(ms, () => this.attach());
  }

  /** @param {Status} status */
  #turn(status) {
    if (status === this.status) return;
    this.status = status;
    this.#host.turned(status);
  }

  /** Whatever was to be tried is not any more. */
  #supersede() {
    this.#cancel?.();
    this.#cancel = undefined;
    return ++this.#attempt;
  }
}
