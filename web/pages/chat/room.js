const MESSAGES_MAX = 200;

/**
 * @typedef {{ member: number, name: string, online: boolean }} Member
 * @typedef {{ pos: string, member: number, name: string, text: string, at_ms: number }} Message
 * @typedef {{ members: readonly Member[], messages: readonly Message[] }} Chat
 * @typedef {{ pos: string, by?: number, data: any }} ChatEvent
 */

/** @type {Chat} */
export const EMPTY = { members: [], messages: [] };

/**
 * The chat room's fold (SPEC B1). An event bears no time, so a live message has the time it came.
 * @param {Chat} state @param {ChatEvent} event @param {() => number} [now] @returns {Chat}
 */
export function apply(state, { pos, by, data }, now = Date.now) {
  if (data.entered) {
    const { member, name } = data.entered;
    return { ...state, members: [...without(state, member), { member, name, online: true }] };
  }
  if (data.left) return { ...state, members: without(state, data.left.member) };
  if (data.away !== undefined) return { ...state, members: online(state, data.away, false) };
  if (data.back !== undefined) return { ...state, members: online(state, data.back, true) };
  if (data.said !== undefined && by !== undefined) {
    const message = { pos, member: by, name: nameOf(state, by), text: data.said, at_ms: now() };
    return { ...state, messages: [...state.messages, message].slice(-MESSAGES_MAX) };
  }
  if (data.posted) {
    const message = { pos, member: 0, ...data.posted, at_ms: now() };
    return { ...state, messages: [...state.messages, message].slice(-MESSAGES_MAX) };
  }
  return state;
}

/** @param {Chat} state @param {number | undefined} member */
export const nameOf = (state, member) => state.members.find((one) => one.member === member)?.name ?? "somebody";

/** @param {Chat} state @param {number} member */
const without = (state, member) => state.members.filter((one) => one.member !== member);

/** @param {Chat} state @param {number} member @param {boolean} online */
const online = (state, member, online) => state.members.map((one) => (one.member === member ? { ...one, online } : one));
