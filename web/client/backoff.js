const BASE_MS = 500;
const CAP_MS = 30_000;

/** How long to wait before the next try: full jitter, drawn after the cap. */
export class Backoff {
  #tries = 0;
  #random;

  /** @param {() => number} random */
  constructor(random) {
    this.#random = random;
  }

  next_ms() {
    return this.#random() * Math.min(CAP_MS, BASE_MS * 2 ** this.#tries++);
  }

  reset() {
    this.#tries = 0;
  }
}
