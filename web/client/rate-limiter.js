/**
 * A token bucket with the server's own limit, so that actions queued while offline are sent without being refused.
 */
export class RateLimiter {
  /** Actions per second, 50 until the server sets it. A burst may be twice as many. */
  rate = 50;
  #now;
  #tokens = 0;
  #at_ms = 0;

  /** @param {() => number} now milliseconds since a fixed time */
  constructor(now) {
    this.#now = now;
  }

  /** Fills the bucket: the server gives each socket a full one. */
  refill() {
    this.#tokens = 2 * this.rate;
    this.#at_ms = this.#now();
  }

  /** Takes a token and returns 0, or returns the milliseconds until there is one. */
  take_ms() {
    const now_ms = this.#now();
    const gained = ((now_ms - this.#at_ms) / 1000) * this.rate;
    this.#tokens = Math.min(2 * this.rate, this.#tokens + gained);
    this.#at_ms = now_ms;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / this.rate) * 1000);
    this.#tokens--;
    return 0;
  }
}
