import { backoff_ms } from "./backoff.js";
import { CLOSES } from "./close.js";
import { OutlastError } from "./error.js";

/**
 * @typedef {import("./connection.js").Connection} Connection
 * @typedef {import("./codec.js").Frame} Frame
 * @typedef {import("./close.js").Loss} Loss
 * @typedef {"connecting" | "live" | "catching-up" | "offline" | "ended"} Status
 */

/**
 * The session, as its link uses it.
 * @typedef {object} LinkHost
 * @property {() => Promise<string | undefined>} token
 * @property {(on: import("./connection.js").Listeners) => Connection} dial opens a socket
 * @property {(connection: Connection, token: string | undefined) => boolean} greet sends the first frame; returns true
 *   if actions may follow at once
 * @property {(frame: Frame, connection: Connection) => void} attached
 * @property {(frame: Frame, connection: Connection) => void} receive
 * @property {(connection: Connection) => void} resumedLate the `resume` of a closed connection has taken the session over
 * @property {() => void} flush sends all actions to the writer
 * @property {() => boolean} waits some action has no outcome
 * @property {(status: Status) => void} status
 * @property {(error: unknown) => void} failed
 * @property {(loss: Loss) => void} reset
 * @property {(loss: Loss) => void} stop
 */

const LATE_RESUME_MS = 60_000;
const DEAD_PATH_MS = 5_000;

/**
 * The attachment of the session to the server, over one socket after another. A socket that replaces another takes over
 * once it has caught up; until then the old one delivers. A lost socket is retried.
 */
export class Link {
  /** @type {Status} */
  status = "connecting";
  /** The connection that takes our actions. @type {Connection | undefined} */
  writer;
  /** The connection that delivers. @type {Connection | undefined} */
  #current;
  /** The connection that attaches and catches up, and then becomes `#current`. @type {Connection | undefined} */
  #next;
  #host;
  #after;
  #random;
  #failures = 0;
  #unwatch;
  /** Cancels the scheduled attempt. @type {(() => void) | undefined} */
  #cancel;
  #attempt = 0;
  /** Connections that were closed before their `resume` was answered, the newest of each key last. A frame may still arrive, and take the session over. @type {Connection[]} */
  #strays = [];
  /** Cancels the look whether the path is dead. @type {(() => void) | undefined} */
  #cancelLook;
  #now;
  /** The token that was refused last, "" for none, and the close. @type {{ token: string, loss: Loss } | undefined} */
  #refused;
  /** Time of the last frame on a closed connection. */
  heard_ms = NaN;

  /** @param {LinkHost} host @param {import("./platform.js").Platform} platform */
  constructor(host, platform) {
    this.#host = host;
    this.#after = platform.after;
    this.#now = platform.now;
    this.#random = platform.random;
    this.#unwatch = platform.watch(
      () => this.#wake(),
      () => [this.#next, this.#current].forEach((connection) => connection?.lose({ code: 1006, reason: "offline" })),
    );
  }

  /** Opens a socket: the first, a retry, or one to replace the one that delivers. */
  async attach() {
    if (this.status === "ended") return;
    const attempt = this.#supersede();
    this.#drop(this.#next);
    if (!this.#current) this.#setStatus("connecting");
    try {
      const token = await this.#host.token();
      if (attempt !== this.#attempt) return;
      if (this.#refused && (!token || token === this.#refused.token)) return this.#host.stop(this.#refused.loss);
      this.#next = this.#host.dial({
        open: (connection) => this.#greet(connection, token),
        frame: (frame, connection) => this.#receive(frame, connection),
        lost: (loss, connection) => this.#lost(loss, connection, token),
      });
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#host.failed(error);
      this.#retry();
    }
  }

  /** Says on the open sockets that the session ends. Returns false if there is none. */
  end() {
    return [this.#next, this.#current].map((connection) => connection?.send({ t: "end" })).includes(true);
  }

  stop() {
    this.#supersede();
    this.#cancelLook?.();
    this.#unwatch();
    this.#drop(this.#next);
    this.#drop(this.#current);
    this.#setStatus("ended");
  }

  /**
   * An action was sent. If nothing at all is heard for 5 s and it has no outcome, the path may be dead: a second socket is
   * tried beside the first (SPEC F1).
   */
  expectOutcome() {
    const connection = this.writer;
    if (!connection || this.#cancelLook) return;
    const since_ms = this.#now();
    this.#cancelLook = this.#after(DEAD_PATH_MS, () => {
      this.#cancelLook = undefined;
      if (!this.#host.waits()) return;
      if (connection !== (this.#next ?? this.#current) || connection.heard_ms > since_ms) this.expectOutcome();
      else this.attach();
    });
  }

  /** Retries at once, or replaces a socket that may have died during a pause. */
  #wake() {
    const connection = this.#next ?? this.#current;
    if (connection ? connection.stale : this.#cancel) this.attach();
  }

  /** @param {Connection} connection @param {string | undefined} token */
  #greet(connection, token) {
    if (this.#host.greet(connection, token)) this.#setWriter(connection);
  }

  /** @param {Connection} connection */
  #setWriter(connection) {
    if (this.#current && this.#current !== connection) this.#current.replaced = true;
    this.writer = connection;
    this.#host.flush();
  }

  /** @param {Frame} frame @param {Connection} connection */
  #receive(frame, connection) {
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
        if (frame.t === "live" || frame.t === "left") connection.catchingUp?.delete(frame.room);
    }
    if (connection === this.#next && connection.catchingUp?.size === 0) this.#promote();
  }

  /** @param {Frame} frame @param {Connection} connection */
  #attached(frame, connection) {
    connection.attached(frame);
    this.#failures = 0;
    this.#refused = undefined;
    if (this.status !== "live") this.#setStatus("catching-up");
    this.#host.attached(frame, connection);
    if (this.writer !== connection) this.#setWriter(connection);
  }

  #promote() {
    this.#drop(this.#current);
    this.#current = this.#next;
    this.#next = undefined;
    this.#setStatus("live");
  }

  /** @param {Loss} loss @param {Connection} connection @param {string} [token] */
  #lost(loss, connection, token = "") {
    const taken = loss.code === 4002 && connection.replaced;
    const late = !taken && (loss.code === 4001 || loss.code === 4002) && this.#takeStray(loss.code, connection.key);
    if (late) this.#host.resumedLate(late);
    if (loss.code > 4000 && loss.code !== 4006) connection.key = undefined; // its `resume` was answered
    const name = taken || late ? undefined : CLOSES[loss.code];
    const replacing = connection === this.#current && this.#next;
    this.#drop(connection);
    if (replacing) return; // if the session is over, the other connection is closed with the same code
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
    if (connection.catchingUp) this.heard_ms = connection.heard_ms;
    else if (connection.key) this.#keepStray(connection);
    if (connection === this.#next) this.#next = undefined;
    if (connection === this.#current) this.#current = undefined;
    if (connection !== this.writer) return;
    this.writer = this.#current;
    if (this.writer) this.#host.flush();
  }

  /** SPEC H2 bounds the time until the first frame of a socket. @param {Connection} connection */
  #keepStray(connection) {
    this.#strays = [...this.#strays.filter(({ key }) => key !== connection.key), connection];
    this.#after(LATE_RESUME_MS, () => (this.#strays = this.#strays.filter((stray) => stray !== connection)));
  }

  /** Takes the newest stray whose key may work: after 4001 that is not the one that was refused. @param {number} code @param {string} [refused] */
  #takeStray(code, refused) {
    if (code === 4001) this.#strays = this.#strays.filter(({ key }) => key !== refused);
    return this.#strays.pop();
  }

  /** @param {number} [retry_ms] */
  #retry(retry_ms = backoff_ms(this.#failures++, this.#random)) {
    if (!this.#current) this.#setStatus("offline");
    this.#schedule(retry_ms);
  }

  /** @param {number} ms */
  #schedule(ms) {
    this.#supersede();
    this.#cancel = this.#after(ms, () => this.attach());
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    this.#host.status(status);
  }

  /** Cancels the attempt that is scheduled or running. Returns the number of the next one. */
  #supersede() {
    this.#cancel?.();
    this.#cancel = undefined;
    return ++this.#attempt;
  }
}
