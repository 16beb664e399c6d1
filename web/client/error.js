/**
 * A failed call. `message` is for people, `code` for programs:
 *
 * - a code of the room's own, where the room refused the action
 * - the code of an `error` frame (SPEC A5)
 * - `unknown`: the outcome of the action is lost (SPEC R5)
 * - `not_joined`, `left`, `gone`: this client is not in the room
 * - `queue_full`, `too_big`, `bad_data`, `bad_room`: the action was not accepted by this client; nothing was sent
 * - `other_apply`: a part of this page has joined the room with another `apply`
 * - `closed`: the session was closed before the action was sent
 * - `token_timeout`: the `token` callback took too long
 * - `too_slow`: a `for await` loop fell too far back
 * - the name of a close code of SPEC 9, such as `ended`: the session is over
 */
export class OutlastError extends Error {
  /** @param {string} code @param {string} [message] */
  constructor(code, message = code) {
    super(message);
    this.name = "OutlastError";
    this.code = code;
  }
}

/** The error of an action whose outcome the server will not tell any more (SPEC R5). */
export const unknown = () => new OutlastError("unknown", "the outcome is lost");

/**
 * Calls code of the application. An exception is reported, and does not disturb the client.
 * @template T @param {() => T} run @returns {T | undefined}
 */
export function guarded(run) {
  try {
    return run();
  } catch (error) {
    report(error);
  }
}

/** Shows an exception of the application to its developers. @param {unknown} error */
export const report = (error) => (globalThis.reportError ?? console.error)(error);
