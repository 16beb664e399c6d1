import { at, make } from "../page.js";
import { Rows, say } from "../page/rows.js";
import { number, span } from "./format.js";
import { path } from "./history.js";
import { ordered, partitions, rate, roles, totals } from "./room.js";

/**
 * @typedef {import("./room.js").Fleet} Fleet
 * @typedef {import("./room.js").Process} Process
 * @typedef {import("./room.js").Totals} Totals
 * @typedef {{ key: keyof Totals, title: string, unit?: string, note: (now: Totals) => string }} Tile
 */

/** @type {Tile[]} */
const TILES = [
  { key: "sockets", title: "Sockets", note: () => "attached sessions" },
  { key: "detached", title: "Detached", note: () => "have no socket" },
  { key: "actions", title: "Actions", unit: "/s", note: () => "that rooms took" },
  { key: "events", title: "Events", unit: "/s", note: () => "written to room logs" },
  { key: "delivered", title: "Delivered", unit: "/s", note: () => "events sent to clients" },
  { key: "p99_ms", title: "Commit, p99", unit: "ms", note: ({ p50_ms }) => `half in ${number(p50_ms)} ms` },
  { key: "waiting", title: "Attach queue", note: ({ admitted, busy }) => `${number(admitted)}/s in, ${number(busy)}/s busy` },
  { key: "catching_up", title: "Catching up", note: ({ catch_ups }) => `${number(catch_ups)} rooms/s` },
];

/** Number of colours for owners. */
const HUES = 8;

/** The view of the fleet. */
export class View {
  #history;
  #tiles;
  #owners;
  #processes;

  /** @param {import("./history.js").History<Totals>} history */
  constructor(history) {
    this.#history = history;
    this.#tiles = TILES.map((tile) => ({ ...tile, made: makeTile(tile) }));
    at("tiles").append(...this.#tiles.map(({ made }) => made));
    this.#owners = /** @type {Rows<{ id: string, held: number, hue: number }>} */ (
      new Rows(at("owners"), { key: ({ id }) => id, make: () => make("li"), fill: fillOwner })
    );
    this.#processes = /** @type {Rows<Process>} */ (new Rows(at("processes"), { key: ({ id }) => id, make: makeRow, fill: fillRow }));
  }

  /** @param {Fleet} state */
  show(state) {
    const now = totals(state);
    const known = state.processes.length > 0;
    for (const { key, note, made } of this.#tiles) {
      const [, value, chart, small] = made.children;
      const { points, most } = this.#history.line(key);
      say(/** @type {Element} */ (value.firstElementChild), known ? number(now[key]) : "–");
      chart.firstElementChild?.setAttribute("d", path(points, most));
      say(small.children[0], known ? note(now) : "");
      const peak = Math.max(most, now[key]); // what is shown now may not be in the history yet
      say(small.children[1], peak > 0 ? ` · up to ${number(peak)}` : "");
    }
    this.#showOwners(state);
    const lost = state.processes.filter((process) => process.lost).length;
    say(at("processes-note"), known ? `${state.processes.length - lost} alive${lost ? `, ${lost} lost` : ""}` : "nobody has reported yet");
    this.#processes.show(ordered(state));
  }

  /** @param {Fleet} state */
  #showOwners(state) {
    const { owners, all, free } = partitions(state);
    const rows = owners.map((owner, i) => ({ ...owner, hue: i % HUES }));
    if (free) rows.push({ id: "nobody", held: free, hue: -1 });
    this.#owners.show(rows);
    say(at("partitions-note"), all === 0 ? "" : free ? `${free} of ${all} have no worker` : `all ${all} have a worker`);
    at("partitions-note").classList.toggle("warn", free > 0);
  }
}

/** @param {Tile} tile */
function makeTile({ title, unit }) {
  const made = make("div", "tile");
  const value = make("dd", "value");
  value.append(make("span"), ...(unit ? [make("small", "", unit)] : []));
  const chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, text] of Object.entries({ viewBox: "0 0 100 100", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" })) chart.setAttribute(name, text);
  chart.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  const small = make("dd", "small");
  small.append(make("span"), make("span", "peak"));
  made.append(make("dt", "", title), value, chart, small);
  return made;
}

/** @param {HTMLElement} made @param {{ id: string, held: number, hue: number }} owner */
function fillOwner(made, { id, held, hue }) {
  made.dataset.hue = String(hue);
  made.style.setProperty("--held", String(held));
  say(made, `${id} ${held}`);
}

function makeRow() {
  const row = make("tr");
  const head = make("th");
  head.setAttribute("scope", "row");
  head.append(make("code"), make("small"));
  const state = make("td");
  state.append(make("span", "state"));
  row.append(head, state, make("td"), ...Array.from({ length: 6 }, () => make("td", "figure")));
  return row;
}

/** @param {HTMLElement} made @param {Process} process */
function fillRow(made, process) {
  const { id, host, pid, gateway, worker, up_ms, lost } = process;
  const [head, state, does, ...figures] = made.children;
  made.classList.toggle("lost", lost);
  say(head.children[0], id);
  say(head.children[1], `${host} · ${pid}`);
  const shown = /** @type {HTMLElement} */ (state.firstElementChild);
  shown.dataset.state = lost ? "lost" : gateway?.draining ? "draining" : "alive";
  say(shown, shown.dataset.state);
  say(does, roles(process).join(", "));
  const texts = [
    gateway && number(gateway.sockets),
    worker && String(worker.partitions),
    worker && number(worker.rooms),
    worker && number(rate(process, worker.actions)),
    worker && `${number(worker.commit_p99_us / 1000)} ms`,
    span(up_ms),
  ];
  texts.forEach((text, i) => say(figures[i], text ?? "–"));
}
