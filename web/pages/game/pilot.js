import { STILL } from "./helm.js";

/** @typedef {import("./helm.js").Way} Way */

/** @type {Record<string, Way>} */
const KEYS = {
  ArrowLeft: { x: -1, y: 0 },
  KeyA: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  KeyD: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  KeyW: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
  KeyS: { x: 0, y: 1 },
};
/** Distance of a drag for full speed, and distance up to which it does not steer, in CSS pixels. */
const FULL_PX = 56;
const REST_PX = 8;

/** Reads keys, and a finger or a mouse drawn over the field: wherever it comes down is the stick's middle. */
export class Pilot {
  /** The stick that is being drawn, from where to where. @type {{ from: Way, to: Way } | undefined} */
  stick;
  #field;
  #steer;
  #down = new Set();
  /** @type {number | undefined} */
  #finger;

  /** @param {HTMLElement} field @param {(way: Way) => void} steer */
  constructor(field, steer) {
    this.#field = field;
    this.#steer = steer;
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.#rest());
    document.addEventListener("visibilitychange", () => document.hidden && this.#rest());
    field.addEventListener("pointerdown", (event) => {
      if (this.#finger !== undefined || event.button !== 0) return;
      this.#finger = event.pointerId;
      field.setPointerCapture(event.pointerId);
      const from = within(field, event);
      this.stick = { from, to: from };
    });
    field.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.#finger || !this.stick) return;
      this.stick = { ...this.stick, to: within(field, event) };
      this.#tell();
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"]))
      field.addEventListener(end, (event) => {
        if (event.pointerId !== this.#finger) return;
        this.#finger = undefined;
        this.stick = undefined;
        this.#tell();
      });
  }

  /** Which way to go. @returns {Way} */
  get way() {
    return this.stick ? drawn(this.stick) : held(this.#down);
  }

  /** @param {KeyboardEvent} event @param {boolean} down */
  #key(event, down) {
    if (!KEYS[event.code]) return;
    const target = /** @type {Node} */ (event.target);
    // on a link or in a dialog a key means what it always does
    const ours = target === document.body || this.#field.contains(target);
    if (down && (!ours || event.ctrlKey || event.altKey || event.metaKey)) return;
    if (down) event.preventDefault(); // arrows would scroll
    if (down === this.#down.has(event.code)) return;
    if (down) this.#down.add(event.code);
    else this.#down.delete(event.code);
    this.#tell();
  }

  /** Nobody looks: what is held down is no longer heard of. */
  #rest() {
    this.#down.clear();
    this.#finger = undefined;
    this.stick = undefined;
    this.#tell();
  }

  #tell() {
    this.#steer(this.way);
  }
}

/** @param {HTMLElement} field @param {PointerEvent} event @returns {Way} */
function within(field, event) {
  const { left, top } = field.getBoundingClientRect();
  return { x: event.clientX - left, y: event.clientY - top };
}

/** @param {{ from: Way, to: Way }} stick @returns {Way} */
function drawn({ from, to }) {
  const [x, y] = [to.x - from.x, to.y - from.y];
  const far = Math.hypot(x, y);
  if (far < REST_PX) return STILL;
  const speed = Math.min(far / FULL_PX, 1);
  return { x: (x / far) * speed, y: (y / far) * speed };
}

/** @param {Set<string>} codes @returns {Way} */
function held(codes) {
  let [x, y] = [0, 0];
  for (const code of codes) [x, y] = [x + KEYS[code].x, y + KEYS[code].y];
  return { x: Math.sign(x), y: Math.sign(y) };
}
