import { OutlastError } from "./error.js";

/** SPEC F2 allows 64 levels, of which the frame is one. */
const DEPTH_MAX = 63;
const ROOM = /^(?=.{3,128}$)[a-z0-9._-]+\/[a-z0-9._-]+$/;

/** Returns `name` if a room can be called so; else throws `bad_room`. @param {string} name */
export function roomName(name) {
  if (ROOM.test(name)) return name;
  throw new OutlastError("bad_room", `${JSON.stringify(name)}: a room is named kind/name, of a-z, 0-9, '.', '_' and '-'`);
}

/**
 * Returns a copy of `value` that JSON can carry, and that does not change with it: `toJSON` is called, and properties that are
 * undefined are left out. Throws `bad_data`, with the path of what JSON cannot carry.
 * @param {any} value @param {string} [path] @param {number} [depth] @returns {any}
 */
export function plain(value, path = "data", depth = 0) {
  const json = typeof value?.toJSON === "function" ? value.toJSON() : value;
  if (json === null || typeof json === "boolean") return json;
  if (typeof json === "string") return wellFormed(json, path);
  if (typeof json === "number" && Number.isFinite(json)) return json;
  if (typeof json !== "object") throw bad(path, typeof json === "number" ? String(json) : `a value of type ${typeof json}`);
  if (depth === DEPTH_MAX) throw bad(path, `more than ${DEPTH_MAX} levels, or a circle`);
  if (Array.isArray(json)) return Array.from(json, (item, i) => plain(item, `${path}[${i}]`, depth + 1));
  const entries = Object.entries(json).filter(([, item]) => item !== undefined);
  return Object.fromEntries(
    entries.map(([name, item]) => [wellFormed(name, path), plain(item, `${path}.${name}`, depth + 1)]),
  );
}

/** @param {string} text @param {string} path */
function wellFormed(text, path) {
  if (/\p{Surrogate}/u.test(text)) throw bad(path, "text with half of a character (a lone surrogate)");
  return text;
}

/** @param {string} path @param {string} what */
const bad = (path, what) => new OutlastError("bad_data", `${path}: ${what} cannot be sent as JSON`);
