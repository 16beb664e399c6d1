/**
 * @typedef {{ member: number, name: string, x: number, y: number, score: number, online: boolean }} Player
 * @typedef {readonly [id: number, x: number, y: number]} Coin
 * @typedef {{ players: readonly Player[], coins: readonly Coin[] }} Game
 * @typedef {{ data: any }} GameEvent
 */

/** @type {Game} */
export const EMPTY = { players: [], coins: [] };

/** The game's fold (SPEC B2). @param {Game} state @param {GameEvent} event @returns {Game} */
export function apply(state, { data }) {
  if (data.tick) {
    const { players, coins } = data.tick;
    const now = new Map(players.map((/** @type {number[]} */ [member, ...rest]) => [member, rest]));
    /** @param {Player} player */
    const moved = (player) => {
      const [x, y, score] = now.get(player.member) ?? [player.x, player.y, player.score];
      return { ...player, x, y, score };
    };
    return { players: state.players.map(moved), coins };
  }
  if (data.entered) {
    const player = { ...data.entered, score: 0, online: true };
    return { ...state, players: [...without(state, player.member), player] };
  }
  if (data.left) return { ...state, players: without(state, data.left.member) };
  if (data.away !== undefined) return online(state, data.away, false);
  if (data.back !== undefined) return online(state, data.back, true);
  return state;
}

/** The best first; of equals, who came first. @param {Game} state */
export const ranked = (state) => [...state.players].sort((a, b) => b.score - a.score || a.member - b.member);

/** @param {Game} state @param {number} member */
const without = (state, member) => state.players.filter((one) => one.member !== member);

/** @param {Game} state @param {number} member @param {boolean} online @returns {Game} */
const online = (state, member, online) => ({
  ...state,
  players: state.players.map((one) => (one.member === member ? { ...one, online } : one)),
});
