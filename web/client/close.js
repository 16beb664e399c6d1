/** @typedef {{ code: number, reason: string, retry_ms?: number }} Loss how a socket ended */

/**
 * The close codes of SPEC 9 behind which a client does not just resume: it opens a new session behind
 * `session_gone`, asks for a token behind `unauthorized`, and stops behind the others.
 * @type {Record<number, string | undefined>}
 */
export const CLOSES = {
  1009: "too_big",
  4001: "session_gone",
  4002: "taken_over",
  4003: "unauthorized",
  4004: "protocol_error",
  4009: "too_many_sessions",
  4010: "ended",
};
