/** The game page: one arena, drawn between the server's ticks. */
import { at, start, Visit } from "../page.js";
import { Arena } from "./arena.js";
import { Helm } from "./helm.js";
import { Pilot } from "./pilot.js";
import { apply, EMPTY } from "./room.js";
import { Scores } from "./scores.js";
import { Track } from "./track.js";

const session = start({ away: "Away from the server. Your score is kept; the game goes on when it is back." });
const arena = new Arena(at("arena"));
const track = new Track();
let scores = new Scores();

/** The arena that we are in. @type {Visit<import("./room.js").Game>} */
export const visit = new Visit(session, {
  kind: "game",
  about: "Run after coins, with arrow keys, W A S D, or a finger. Drop out, and you stand still; come back, and your score has waited for you.",
  apply,
  nameOf: (state) => state.players.find(({ member }) => member === visit.room?.member)?.name,
  entering() {
    track.clear();
    scores = new Scores();
    show();
  },
  entered(room) {
    const offs = [
      room.subscribe(show),
      room.on("event", ({ data }) => {
        if (data.tick) ticked(data.tick);
        else if (data.back === room.member) helm.stopped();
      }),
      room.on("reset", () => {
        track.clear();
        helm.stopped();
      }),
    ];
    helm.stopped();
    show();
    at("field").focus({ preventScroll: true });
    return () => offs.forEach((off) => off());
  },
});

const helm = new Helm((way) => visit.room?.act({ steer: way }) ?? Promise.resolve());
const pilot = new Pilot(at("field"), (way) => helm.steer(way));

/** The coins of the last tick. @type {Map<number, import("./track.js").Point>} */
let coins = new Map();

/** @param {{ players: [number, number, number, number][], coins: [number, number, number][] }} tick */
function ticked(tick) {
  const now_ms = performance.now();
  track.push(new Map(tick.players.map(([member, x, y]) => [member, { x, y }])), now_ms);
  const lying = new Map(tick.coins.map(([id, x, y]) => [id, { x, y }]));
  for (const [id, coin] of coins) if (!lying.has(id)) arena.pop(coin, now_ms);
  coins = lying;
}

function show() {
  const game = visit.room?.state ?? EMPTY;
  scores.show(game, visit.room?.member, performance.now());
  const label = `${game.players.length} players and ${game.coins.length} coins`;
  if (at("arena").ariaLabel !== label) at("arena").ariaLabel = label;
}

function draw() {
  const now_ms = performance.now();
  const view = { me: visit.room?.member, way: pilot.way, stick: pilot.stick, now_ms };
  arena.draw(visit.room?.state ?? EMPTY, track.at(now_ms), view);
  requestAnimationFrame(draw);
}

session.on("status", (/** @type {string} */ status) => at("field").classList.toggle("paused", status !== "live"));

visit.start();
requestAnimationFrame(draw);
