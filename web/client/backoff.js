const BASE_MS = 500;
const CAP_MS = 30_000;

/**
 * Milliseconds until the next attempt: exponential backoff with full jitter, drawn after the cap (SPEC D2).
 * @param {number} failures attempts that failed in a row, 0 or more
 * @param {() => number} random from 0 to 1
 */
export const backoff_ms = (failures, random) => random() * Math.min(CAP_MS, BASE_MS * 2 ** failures);
