/**
 * The end of a socket.
 * @typedef {object} Loss
 * @property {number} code close code
 * @property {string} reason text for people
 * @property {number} [retry_ms] milliseconds until the next attempt, if the server sets them
 */

/**
 * Names of the close codes of SPEC 9 after which a client does not just resume: after `session_gone` it opens a new
 * session, after `unauthorized` it asks for a token, and after the others it stops.
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
