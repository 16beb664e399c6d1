const FRESH_MS = 6000;
const AGAIN_MS = 3000;

/** The members who are writing, as they signal until that is stale; and our own signal to them. */
export class Typing {
  /** @type {Map<number, ReturnType<typeof setTimeout>>} */
  #others = new Map();
  #told_ms = -Infinity;
  #changed;
  #tell;

  /** @param {() => void} changed @param {(on: boolean) => void} tell */
  constructor(changed, tell) {
    this.#changed = changed;
    this.#tell = tell;
  }

  get others() {
    return this.#others.keys();
  }

  /** @param {number} member @param {boolean} on */
  heard(member, on) {
    clearTimeout(this.#others.get(member));
    this.#others.delete(member);
    if (on) this.#others.set(member, setTimeout(() => this.heard(member, false), FRESH_MS));
    this.#changed();
  }

  /** Called for every key pressed; signals the others at most every 3 s. */
  writing() {
    const now_ms = performance.now();
    if (now_ms - this.#told_ms < AGAIN_MS) return;
    this.#told_ms = now_ms;
    this.#tell(true);
  }

  stopped() {
    if (performance.now() - this.#told_ms < FRESH_MS) this.#tell(false);
    this.#told_ms = -Infinity;
  }

  clear() {
    for (const timer of this.#others.values()) clearTimeout(timer);
    this.#others.clear();
    this.#told_ms = -Infinity;
    this.#changed();
  }
}
