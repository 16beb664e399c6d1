/** Time that a line spans at least, so that its first seconds are not a cliff. */
const SPAN_MIN_MS = 60_000;

/** The values of the last minutes, second by second. @template {object} T */
export class History {
  /** @type {{ at_ms: number, values?: T }[]} one without values is a gap */
  #points = [];
  #span_ms;
  #points_max;

  /** @param {number} [span_ms] how far back it goes */
  constructor(span_ms = 300_000) {
    this.#span_ms = span_ms;
    this.#points_max = span_ms / 1000;
  }

  /** @param {number} at_ms @param {T} [values] none where nothing is known of what was before */
  add(at_ms, values) {
    this.#points.push({ at_ms, values });
    while (this.#points.length > this.#points_max || this.#points[0].at_ms <= at_ms - this.#span_ms) this.#points.shift();
  }

  /** One of the values over time. @param {keyof T} key */
  line(key) {
    const end_ms = this.#points.at(-1)?.at_ms ?? 0;
    const span_ms = Math.max(SPAN_MIN_MS, end_ms - (this.#points[0]?.at_ms ?? end_ms));
    const points = this.#points.map(({ at_ms, values }) => ({
      x: 1 - (end_ms - at_ms) / span_ms,
      y: values && Number(values[key]),
    }));
    return { points, most: Math.max(0, ...points.map(({ y }) => y ?? 0)) };
  }
}

/**
 * The path of a line in a box of 100 by 100, with 0 at its bottom and `most` at its top.
 * @param {{ x: number, y?: number }[]} points @param {number} most
 */
export function path(points, most) {
  let down = false;
  let path = "";
  for (const { x, y } of points) {
    if (y !== undefined) path += `${down ? "L" : "M"}${(100 * x).toFixed(1)} ${(96 - (92 * y) / (most || 1)).toFixed(1)}`;
    down = y !== undefined;
  }
  return path;
}
