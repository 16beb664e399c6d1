/**
 * Why something failed; `message` is for people, `code` for programs: that of the room which refused, an
 * `error` of SPEC A5, a name of SPEC 9 when the session is over, `left`, `gone` or `not_joined` where we
 * are not in the room, `unknown` where the outcome is lost, and of our own `queue_full`, `too_big`, `too_slow`.
 */
export class OutlastError extends Error {
  /** @param {string} code @param {string} [message] */
  constructor(code, message = code) {
    super(message);
    this.name = "OutlastError";
    this.code = code;
  }
}

/** What an action has whose outcome nobody will tell any more (SPEC R5). */
export const unknown = () => new OutlastError("unknown", "the outcome is lost");

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
