const TICK_MS = 100;
/** Delay of the drawing after the newest tick, so that there is mostly a next one to move to. */
const DELAY_MS = 120;
/** Earliness or lateness of a tick from which on the timeline restarts. */
const ADRIFT_MS = 250;
/** Share of a tick's earliness or lateness that moves the timeline: most of it is jitter of the network. */
const BELIEF = 0.1;
const FRAMES_MAX = 8;

/**
 * @typedef {{ x: number, y: number }} Point
 * @typedef {Map<number, Point>} Places
 * @typedef {{ at_ms: number, places: Places }} Frame
 */

/** Positions of all players between the server's ticks. It reads no clock: `now_ms` is an argument. */
export class Track {
  /** The newest last, at the times at which they are due. @type {Frame[]} */
  #frames = [];

  /** A tick has come. @param {Places} places @param {number} now_ms */
  push(places, now_ms) {
    const last = this.#frames.at(-1);
    const due_ms = last ? last.at_ms + TICK_MS : now_ms;
    const off_ms = now_ms - due_ms;
    if (last && Math.abs(off_ms) > ADRIFT_MS) {
      // from where everybody is drawn right now, so that nobody jumps
      this.#frames = [{ at_ms: now_ms - TICK_MS, places: this.at(now_ms) }, { at_ms: now_ms, places }];
      return;
    }
    this.#frames = [...this.#frames, { at_ms: due_ms + off_ms * BELIEF, places }].slice(-FRAMES_MAX);
  }

  /** Everybody is somewhere else now. */
  clear() {
    this.#frames = [];
  }

  /** @param {number} now_ms @returns {Places} */
  at(now_ms) {
    const at_ms = now_ms - DELAY_MS;
    const next = this.#frames.findIndex((frame) => frame.at_ms >= at_ms);
    if (next === -1) return this.#frames.at(-1)?.places ?? new Map();
    const [from, to] = [this.#frames[Math.max(next - 1, 0)], this.#frames[next]];
    const part = to === from ? 1 : (at_ms - from.at_ms) / (to.at_ms - from.at_ms);
    const places = new Map();
    for (const [member, there] of to.places) {
      const here = from.places.get(member) ?? there;
      places.set(member, { x: here.x + (there.x - here.x) * part, y: here.y + (there.y - here.y) * part });
    }
    return places;
  }
}
