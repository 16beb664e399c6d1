/** Sizes of the arena (SPEC B2) and of the things in it, as in the room. */
const SIZE = 1000;
const PLAYER = 20;
const COIN = 12;
const GRID = 100;
const POP_MS = 450;
/** The name of a player, in CSS pixels. */
const NAME_PX = 12;
/** The longest name in the arena, in characters; the list of scores has it whole. */
const NAME_MAX = 16;

/**
 * @typedef {import("./room.js").Game} Game
 * @typedef {import("./room.js").Player} Player
 * @typedef {import("./track.js").Point} Point
 * @typedef {import("./helm.js").Way} Way
 * @typedef {{ x: number, y: number, since_ms: number }} Pop
 */

/** Draws the arena on a canvas, which keeps the sharpness of the screen. */
export class Arena {
  #canvas;
  #pen;
  #colors = colors();
  /** Coins that have just been found. @type {Pop[]} */
  #pops = [];
  /** CSS pixels in one of the arena's. */
  #scale = 1;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.#colors = colors()));
    this.#fit();
  }

  /** A coin was found here. @param {Point} coin @param {number} now_ms */
  pop({ x, y }, now_ms) {
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.#pops.push({ x, y, since_ms: now_ms });
  }

  /**
   * @param {Game} game @param {Map<number, Point>} places where players are drawn, by member
   * @param {{ me?: number, way: Way, stick?: { from: Way, to: Way }, now_ms: number }} view
   */
  draw(game, places, { me, way, stick, now_ms }) {
    const pen = this.#pen;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const ratio = this.#canvas.width / (SIZE * this.#scale);
    pen.scale(ratio * this.#scale, ratio * this.#scale);
    this.#grid();
    for (const [, x, y] of game.coins) this.#coin(x, y);
    this.#pops = this.#pops.filter(({ since_ms }) => now_ms - since_ms < POP_MS);
    for (const { x, y, since_ms } of this.#pops) this.#ring(x, y, (now_ms - since_ms) / POP_MS);
    // our own player on top of all others, who is online on top of who is not
    const rank = (/** @type {Player} */ one) => (one.member === me ? 2 : Number(one.online));
    for (const player of [...game.players].sort((a, b) => rank(a) - rank(b))) {
      const at = places.get(player.member) ?? player;
      this.#player(player, at, player.member === me ? way : undefined);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (stick) this.#stick(stick);
  }

  #fit() {
    const { clientWidth } = this.#canvas;
    this.#scale = clientWidth / SIZE || 1;
    const side = Math.round(clientWidth * devicePixelRatio);
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
  }

  #grid() {
    const pen = this.#pen;
    pen.beginPath();
    for (let at = GRID; at < SIZE; at += GRID) {
      pen.moveTo(at, 0);
      pen.lineTo(at, SIZE);
      pen.moveTo(0, at);
      pen.lineTo(SIZE, at);
    }
    pen.strokeStyle = this.#colors.line;
    pen.lineWidth = 1;
    pen.stroke();
  }

  /** @param {number} x @param {number} y */
  #coin(x, y) {
    const pen = this.#pen;
    this.#disc(x, y, COIN, this.#colors.coin);
    pen.strokeStyle = this.#colors.rim;
    pen.lineWidth = 3;
    pen.stroke();
    this.#disc(x - COIN / 3, y - COIN / 3, COIN / 4, "rgb(255 255 255 / 0.75)");
  }

  /** @param {number} x @param {number} y @param {number} part of its time */
  #ring(x, y, part) {
    const pen = this.#pen;
    pen.globalAlpha = 1 - part;
    pen.beginPath();
    pen.arc(x, y, COIN + 34 * part, 0, 2 * Math.PI);
    pen.strokeStyle = this.#colors.rim;
    pen.lineWidth = 4;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  /** @param {Player} player @param {Point} at @param {Way | undefined} way where it is ours */
  #player({ member, name, online, score }, { x, y }, way) {
    const pen = this.#pen;
    pen.globalAlpha = online ? 1 : 0.35;
    this.#disc(x, y, PLAYER, colorOf(member));
    if (way) {
      pen.strokeStyle = this.#colors.ink;
      pen.lineWidth = 4;
      pen.stroke();
      if (way.x || way.y) {
        const far = Math.hypot(way.x, way.y);
        this.#disc(x + (way.x / far) * (PLAYER + 12), y + (way.y / far) * (PLAYER + 12), 5, this.#colors.ink);
      }
    } else if (!online) {
      pen.setLineDash([6, 6]);
      pen.strokeStyle = this.#colors.ink;
      pen.lineWidth = 2;
      pen.stroke();
      pen.setLineDash([]);
    }
    const px = NAME_PX / this.#scale;
    pen.font = `700 ${Math.min(px, PLAYER)}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillStyle = "#fff";
    pen.fillText(String(score), x, y);
    pen.font = `600 ${px}px system-ui, sans-serif`;
    pen.fillStyle = this.#colors.ink;
    const short = [...name].length > NAME_MAX ? `${[...name].slice(0, NAME_MAX - 1).join("")}…` : name;
    const label = online ? short : `${short} (away)`;
    const half = pen.measureText(label).width / 2;
    const above = y - PLAYER - 0.8 * px;
    const inside = Math.min(Math.max(x, half + 4), Math.max(SIZE - half - 4, half + 4));
    pen.fillText(label, inside, above > px ? above : y + PLAYER + 0.8 * px);
    pen.globalAlpha = 1;
  }

  /** @param {{ from: Way, to: Way }} stick */
  #stick({ from, to }) {
    const [x, y] = [to.x - from.x, to.y - from.y];
    const part = Math.min(56 / (Math.hypot(x, y) || 1), 1);
    this.#pen.globalAlpha = 0.16;
    this.#disc(from.x, from.y, 56, this.#colors.ink);
    this.#pen.globalAlpha = 0.35;
    this.#disc(from.x + x * part, from.y + y * part, 24, this.#colors.ink);
    this.#pen.globalAlpha = 1;
  }

  /** @param {number} x @param {number} y @param {number} radius @param {string} color */
  #disc(x, y, radius, color) {
    this.#pen.beginPath();
    this.#pen.arc(x, y, radius, 0, 2 * Math.PI);
    this.#pen.fillStyle = color;
    this.#pen.fill();
  }
}

/** One for each player, told apart by neighbours in number. @param {number} member */
export const colorOf = (member) => `hsl(${(member * 137.508 + 200) % 360} 55% 44%)`;

function colors() {
  const style = getComputedStyle(document.documentElement);
  const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return { ink: color("--ink"), line: color("--line"), coin: color("--coin"), rim: color("--coin-rim") };
}
