/** The dashboard: the room that shows the fleet, and a way to look after sessions. */
import { askForToken, at, make, start, tell } from "../page.js";
import { Finder } from "./finder.js";
import { History } from "./history.js";
import { apply, EMPTY, totals } from "./room.js";
import { View } from "./view.js";

/**
 * @typedef {import("./room.js").Fleet} Fleet
 * @typedef {import("../../outlast.js").Room<Fleet>} Room
 * @typedef {import("../../outlast.js").OutlastError} OutlastError
 */

const ROOM = "stats/fleet";
const NEWS_MAX = 5;

const session = start({ away: "Away from the server. What has happened meanwhile is shown when it is back." });
/** @type {History<import("./room.js").Totals>} */
const history = new History();
const view = new View(history);
new Finder();

/** @type {Room | undefined} */
let room;
let drawn = 0;

/** Many events are drawn at once. */
function soon() {
  drawn ||= requestAnimationFrame(() => {
    drawn = 0;
    view.show(room?.state ?? EMPTY);
  });
}

/** @param {any} data */
function noteEvent(data) {
  if (!data.roll) return;
  if (room) history.add(data.roll.at_ms, totals(room.state));
  for (const id of data.roll.lost) read(`${id} is lost.`);
}

/** Has something read aloud. @param {string} text */
function read(text) {
  const news = at("news");
  news.append(make("span", "", `${text} `));
  while (news.children.length > NEWS_MAX) news.firstElementChild.remove();
}

async function watch() {
  const others = session.rooms.filter(({ name }) => name !== ROOM);
  try {
    room = /** @type {Room} */ (await session.join(ROOM, { apply }));
    room.subscribe(soon);
    room.on("event", ({ data }) => noteEvent(data));
    room.on("reset", () => history.add(room?.state.at_ms ?? 0));
    room.on("left", ({ reason }) => {
      if (session.status !== "ended") tell(`You no longer watch (${reason}).`, "Watch again", () => location.reload());
    });
    soon();
    for (const other of others) other.leave().catch(() => {});
  } catch (error) {
    if (session.status !== "ended") turnedAway(/** @type {OutlastError} */ (error));
  }
}

/** @param {OutlastError} error */
function turnedAway({ code, message }) {
  if (code !== "forbidden") return tell(`You cannot watch: ${message}`, "Try again", () => location.reload());
  const why = `${message[0].toUpperCase()}${message.slice(1)}.`;
  tell(why, "Enter a token", () => askForToken(why));
  askForToken(why);
}

soon();
void watch();
