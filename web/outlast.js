import { Session } from "./session.js";

export { OutlastError } from "./error.js";
export { Room } from "./room.js";
export { Session } from "./session.js";

/**
 * Opens a session with an outlast server, or goes on with the one that this page had before a reload.
 * @param {string | URL} [address] `ws://…` or `http://…`, this page's own host if left out
 * @param {import("./session.js").Options} [options]
 */
export const connect = (address, options = {}) => new Session(address, options);
