const PACE_MS = 100;

/** @typedef {Readonly<{ x: number, y: number }>} Way */

/** @type {Way} */
export const STILL = { x: 0, y: 0 };

/** @param {Way} a @param {Way} b */
const same = (a, b) => a.x === b.x && a.y === b.y;

/**
 * Tells the server which way to go: the newest way alone, one at a time and ten a second at most. So
 * what is steered while the server is away does not pile up.
 */
export class Helm {
  #send;
  #wanted = STILL;
  /** The direction that the server has; undefined when that is not known. @type {Way | undefined} */
  #told = STILL;
  #busy = false;

  /** @param {(way: Way) => Promise<unknown>} send */
  constructor(send) {
    this.#send = send;
  }

  /** @param {Way} way each from -1 to 1 */
  steer({ x, y }) {
    this.#wanted = { x: Math.round(x * 100) / 100, y: Math.round(y * 100) / 100 };
    void this.#tell();
  }

  /** The player is new, or was away: it stands still until told otherwise. */
  stopped() {
    this.#told = STILL;
    void this.#tell();
  }

  async #tell() {
    if (this.#busy || (this.#told && same(this.#told, this.#wanted))) return;
    this.#busy = true;
    const way = this.#wanted;
    const pause = new Promise((resolve) => setTimeout(resolve, PACE_MS));
    this.#told = way;
    try {
      await this.#send(way);
    } catch {
      this.#told = undefined; // it may have counted or not: it is told again
    }
    await pause;
    this.#busy = false;
    void this.#tell();
  }
}
