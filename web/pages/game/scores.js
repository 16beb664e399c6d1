import { at, make } from "../page.js";
import { colorOf } from "./arena.js";
import { ranked } from "./room.js";

/** @typedef {import("./room.js").Game} Game */

/** Time between two readings of the scores, at least. */
const SAY_MS = 3_000;

/** The list of scores, and what of it is read aloud: not each step, but what one wants to know. */
export class Scores {
  /** @type {Map<number, { row: HTMLElement, shown: string }>} */
  #rows = new Map();
  #order = "";
  #said = "";
  #said_ms = -Infinity;

  /** @param {Game} game @param {number | undefined} me @param {number} now_ms */
  show(game, me, now_ms) {
    const players = ranked(game);
    const rows = new Map();
    for (const player of players) {
      const { member, name, score, online } = player;
      const shown = JSON.stringify([name, score, online, member === me]);
      const known = this.#rows.get(member);
      const row = known?.row ?? make("li");
      if (known?.shown !== shown) fill(row, player, member === me);
      rows.set(member, { row, shown });
    }
    this.#rows = rows;
    const order = players.map(({ member }) => member).join();
    if (order !== this.#order) at("score-list").replaceChildren(...players.map(({ member }) => rows.get(member).row));
    this.#order = order;
    this.#say(summary(game, me), now_ms);
  }

  /** @param {string} text @param {number} now_ms */
  #say(text, now_ms) {
    if (text === this.#said || now_ms - this.#said_ms < SAY_MS) return;
    at("told").textContent = text;
    this.#said = text;
    this.#said_ms = now_ms;
  }
}

/** @param {HTMLElement} row @param {import("./room.js").Player} player @param {boolean} mine */
function fill(row, { member, name, score, online }, mine) {
  row.className = `${mine ? "mine" : ""} ${online ? "" : "away"}`.trim();
  const dot = make("span", "blot");
  dot.style.setProperty("--color", colorOf(member));
  const tag = [mine && "you", !online && "away"].filter(Boolean).join(", ");
  row.replaceChildren(dot, make("span", "name", name), make("span", "tag", tag), make("span", "score", String(score)));
}

/** @param {Game} game @param {number | undefined} me */
function summary(game, me) {
  const mine = game.players.find(({ member }) => member === me);
  if (!mine) return "";
  const [best] = ranked(game);
  const coins = (/** @type {number} */ score) => `${score} ${score === 1 ? "coin" : "coins"}`;
  const leads = best === mine ? "You lead." : `${best.name} leads with ${coins(best.score)}.`;
  const away = game.players.filter(({ online }) => !online).map(({ name }) => name);
  const gone = away.length ? ` Away: ${away.join(", ")}.` : "";
  return `You have ${coins(mine.score)}. ${leads} ${game.players.length} in the arena.${gone}`;
}
