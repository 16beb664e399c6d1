import { Session } from "./client/session.js";

export { OutlastError } from "./client/error.js";
export { Room } from "./client/room.js";
export { Session } from "./client/session.js";

/**
 * @typedef {import("./client/session.js").Options} Options
 * @typedef {import("./client/link.js").Status} Status
 * @typedef {import("./client/session.js").SessionEvents} SessionEvents
 * @typedef {import("./client/room.js").RoomEvents} RoomEvents
 * @typedef {import("./client/outbox.js").Outcome} Outcome
 */

/**
 * Opens a session with an outlast server, or resumes the one that this page had before a reload.
 * @param {string | URL} [address] `ws://…` or `http://…`. Default: the host of this page
 * @param {Options} [options]
 */
export const connect = (address, options = {}) => new Session(address, options);
