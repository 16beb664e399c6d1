import { at } from "./dom.js";
import { Enter } from "./enter.js";
import { nameOfThisTab, rememberName, roomName } from "./name.js";
import { tell } from "./notice.js";

/**
 * @template S
 * @typedef {import("../../outlast.js").Room<S>} Room
 */

/**
 * One room of a kind at a time: the one that the address names after `#`, entered under a name that is asked for once in
 * each tab. The page's button `#room`, with a `#room-name` in it, opens the dialog again.
 * @template S
 */
export class Visit {
  /** @type {Room<S> | undefined} */
  room;
  #session;
  #how;
  #enter;
  #wanted = "";
  #undo = () => {};

  /**
   * @param {import("../../outlast.js").Session} session
   * @param {object} how
   * @param {string} how.kind `chat`, as in `chat/lobby`
   * @param {string} [how.first] the room where the address names none, `lobby` if nothing else
   * @param {string} how.about a sentence for whoever is to come in
   * @param {(state: S, event: import("../../outlast.js").RoomEvents["event"]) => S} how.apply
   * @param {(state: S) => string | undefined} [how.nameOf] the name that the room has for us
   * @param {() => void} [how.entering] clears the page of the room before
   * @param {(room: Room<S>) => (() => void)} how.entered listens to the room; returns how to stop
   */
  constructor(session, how) {
    this.#session = session;
    this.#how = how;
    this.#enter = new Enter(how.about, (name, room) => void this.#change(name, room));
    at("room").onclick = () => this.ask();
    addEventListener("hashchange", () => {
      const name = nameOfThisTab();
      const wanted = fromAddress();
      if (name && wanted && wanted !== this.#wanted) void this.#go(name, wanted);
    });
  }

  /** Goes in, or asks for a name first. */
  start() {
    const wanted = this.#proposed();
    const name = nameOfThisTab();
    at("room-name").textContent = wanted;
    if (name) void this.#go(name, wanted);
    else this.ask();
  }

  ask() {
    this.#enter.open(this.#proposed(), !this.room);
  }

  #proposed() {
    return fromAddress() || this.#how.first || "lobby";
  }

  /** @param {string} name @param {string} wanted */
  async #change(name, wanted) {
    const known = this.room && this.#how.nameOf?.(this.room.state);
    const same = this.room?.name === `${this.#how.kind}/${wanted}`;
    if (same && known !== name) {
      this.room?.leave().catch(() => {});
      this.room = undefined;
      await undefined; // a join in the same task would take the leave back
    }
    await this.#go(name, wanted);
  }

  /** @param {string} name @param {string} wanted */
  async #go(name, wanted) {
    const { kind, apply, entering, entered } = this.#how;
    this.#wanted = wanted;
    rememberName(name);
    location.hash = wanted;
    at("room-name").textContent = wanted;
    document.title = `#${wanted} · ${kind} · outlast`;
    this.#undo();
    this.#undo = () => {};
    const before = this.room;
    this.room = undefined;
    entering?.();
    const others = this.#session.rooms;
    try {
      const room = await this.#session.join(`${kind}/${wanted}`, { data: { name }, apply });
      if (room === before) room.leave().catch(() => {}); // it is joined once
      if (this.#wanted !== wanted) return;
      this.room = room;
      const undo = entered(room);
      const off = room.on("left", ({ reason }) => {
        if (this.#session.status !== "ended") tell(`You are no longer in this room (${reason}).`, "Come in again", () => this.ask());
      });
      this.#undo = () => (undo(), off());
    } catch (error) {
      if (this.#wanted === wanted && this.#session.status !== "ended")
        tell(`You could not come in: ${/** @type {Error} */ (error).message}`, "Try again", () => this.ask());
    }
    for (const other of [...others, ...this.#session.rooms]) if (this.room && other !== this.room) other.leave().catch(() => {});
  }
}

const fromAddress = () => roomName(decodeURIComponent(location.hash));
