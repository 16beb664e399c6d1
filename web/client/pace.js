/** The server's own bucket, kept here too: whatever piled up offline goes out without being refused. */
export class Pace {
  /** Actions a second; a burst may be twice that. */
  rate = 50;
  #now;
  #tokens = 0;
  #at_ms = 0;

  /** @param {() => number} now */
  constructor(now) {
    this.#now = now;
  }

  /** A new socket has a full bucket. */
  refill() {
    this.#tokens = 2 * this.rate;
    this.#at_ms = this.#now();
  }

  /** Lets one action through and says 0, or says how long to wait. */
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
