import { at, make } from "../page.js";
import { end, find } from "./api.js";
import { number, span } from "./format.js";

/** @typedef {import("./api.js").Found} Found */

/** Finds sessions, shows where they stand, and ends them. */
export class Finder {
  /** @type {string | undefined} what was looked for */
  #asked;

  constructor() {
    at("finder").onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const text = at("finder-text").value.trim();
      if (text) void this.#find(text);
    };
  }

  /** @param {string} text */
  async #find(text) {
    this.#asked = text;
    at("finder-button").disabled = true;
    say("Looking …");
    try {
      const sessions = await find(text);
      if (this.#asked !== text) return;
      at("found").replaceChildren(...sessions.map((session) => this.#shown(session)));
      say(sessions.length === 0 ? "There is no such session, and no user of that name has one." : sessions.length === 1 ? "One session." : `${sessions.length} sessions.`);
    } catch (error) {
      at("found").replaceChildren();
      say(`It could not be found out: ${/** @type {Error} */ (error).message}`);
    } finally {
      at("finder-button").disabled = false;
    }
  }

  /** @param {Found} session */
  #shown(session) {
    const { sid, user, gen, attached, gateway, detached_since_ms, rooms } = session;
    const row = make("li", "session");
    const facts = make("dl");
    const where = attached ? `attached at ${gateway}` : `without a socket for ${span(Date.now() - (detached_since_ms ?? 0))}`;
    for (const [name, value] of [
      ["Session", sid],
      ["User", user],
      ["Socket", `${where} (its ${ordinal(gen)})`],
    ]) {
      const fact = make("div");
      fact.append(make("dt", "", name), make("dd", "", value));
      facts.append(fact);
    }
    row.append(facts, table(rooms), this.#ending(sid, row));
    return row;
  }

  /** A button that asks once more before it does it. @param {string} sid @param {HTMLElement} row */
  #ending(sid, row) {
    const buttons = make("div", "ending");
    const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {() => void} */ pressed) => {
      const made = /** @type {HTMLButtonElement} */ (make("button", name, text));
      made.type = "button";
      made.onclick = pressed;
      return made;
    };
    const asks = () => {
      const no = button("Keep it", "quiet", () => {
        rests();
        /** @type {HTMLElement} */ (buttons.firstElementChild).focus();
      });
      const yes = button("Yes, end it", "danger", () => void this.#end(sid, row));
      buttons.replaceChildren(make("span", "", "Its rooms are left for good."), yes, no);
      no.focus();
    };
    const rests = () => buttons.replaceChildren(button("End this session", "quiet", asks));
    rests();
    return buttons;
  }

  /** @param {string} sid @param {HTMLElement} row */
  async #end(sid, row) {
    try {
      await end(sid);
      row.remove();
      say("The session is over, and its rooms have been told.");
      at("finder-text").focus();
    } catch (error) {
      say(`It may not have ended: ${/** @type {Error} */ (error).message}`);
    }
  }
}

/** @param {string} text */
const say = (text) => (at("finder-news").textContent = text);

/** @param {Found["rooms"]} rooms */
function table(rooms) {
  if (rooms.length === 0) return make("p", "none", "It is in no room.");
  const table = make("table");
  const head = make("tr");
  for (const title of ["Room", "Member", "Actions", "Position"]) head.append(make("th", "", title));
  table.append(head);
  for (const { room, member, n, pos } of rooms) {
    const row = make("tr");
    const cells = [room, member === undefined ? "not in" : number(member), number(n), pos].map((text) => make("td", "", text));
    row.append(...cells);
    table.append(row);
  }
  const scroll = make("div", "scroll");
  scroll.tabIndex = 0;
  scroll.role = "region";
  scroll.ariaLabel = "Its rooms";
  scroll.append(table);
  return scroll;
}

/** @param {number} count */
const ordinal = (count) => `${count}${{ one: "st", two: "nd", few: "rd" }[/** @type {"one"} */ (new Intl.PluralRules("en", { type: "ordinal" }).select(count))] ?? "th"}`;
