const BASE_MS = 500;
const CAP_MS = 30_000;

/**
 * How long to wait before the next try: full jitter, drawn after the cap (SPEC D2).
 * @param {number} tries those in vain so far @param {() => number} random
 */
export const backoff_ms = (tries, random) => random() * Math.min(CAP_MS, BASE_MS * 2 ** tries);
