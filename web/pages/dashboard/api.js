import { storedToken } from "../page/token.js";

/**
 * @typedef {{ room: string, member?: number, n: number, pos: string }} Place
 * @typedef {{ sid: string, user: string, gen: number, attached: boolean, gateway?: string,
 *   detached_since_ms?: number, rooms: Place[] }} Found
 */

const SID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The sessions that a text means: the one of that id, or all of that user. @param {string} text @returns {Promise<Found[]>} */
export async function find(text) {
  const sids = SID.test(text) ? [text.toLowerCase()] : await ask("GET", `?user=${encodeURIComponent(text)}`);
  const found = await Promise.all(sids.map((/** @type {string} */ sid) => ask("GET", `/${sid}`).catch(gone)));
  return found.filter((session) => session !== undefined);
}

/** Ends a session. @param {string} sid */
export async function end(sid) {
  await ask("DELETE", `/${sid}`).catch(gone);
}

/** One that is over is not there; anything else went wrong. @param {Error & { status?: number }} error */
function gone(error) {
  if (error.status !== 404) throw error;
}

/** @param {string} method @param {string} path */
async function ask(method, path) {
  const token = storedToken();
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  const answer = await fetch(`/v1/sessions${path}`, { method, headers, signal: AbortSignal.timeout(15_000) });
  if (answer.status === 204) return;
  const body = await answer.json().catch(() => undefined);
  if (answer.ok && body) return body;
  throw Object.assign(new Error(body?.message ?? `the server answered ${answer.status}`), { status: answer.status });
}
