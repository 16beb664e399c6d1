/** @typedef {{ code: number, reason: string, retry_ms?: number }} Loss how a socket ended */

/**
 * What a client does after a close code of SPEC 9; after any other, and after none, it resumes.
 * @type {Record<number, { name: string, then: "stop" | "reopen" | "ask" } | undefined>}
 */
export const CLOSES = {
  1009: { name: "too_big", then: "stop" },
  4001: { name: "session_gone", then: "reopen" },
  4002: { name: "taken_over", then: "stop" },
  4003: { name: "unauthorized", then: "ask" },
  4004: { name: "protocol_error", then: "stop" },
  4009: { name: "too_many_sessions", then: "stop" },
  4010: { name: "ended", then: "stop" },
};
