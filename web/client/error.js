/** Why an action was not taken, or why nobody knows; `code` is for programs, `message` for people. */
export class OutlastError extends Error {
  /** @param {string} code @param {string} [message] */
  constructor(code, message = code) {
    super(message);
    this.name = "OutlastError";
    this.code = code;
  }
}

/**
 * Runs what belongs to the application: its mistake is reported, and stops nothing here.
 * @template T @param {() => T} run @returns {T | undefined}
 */
export function guarded(run) {
  try {
    return run();
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}
