// Applications on outlast.js: components that mount and unmount faster than the server answers. Tells on standard
// output, a line each, what passes their sockets, what the application asks, and what it is told.
import { platform } from "../../../web/client/platform.js";
import { connect } from "../../../web/outlast.js";

const [url, sessions, rooms, seed, hasty] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const start = performance.now();
const tell = (line) => process.stdout.write(`${JSON.stringify({ at: performance.now() - start, ...line })}\n`);

/** Mulberry32. @param {number} state */
const chance = (state) => () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A WebSocket that tells what passes it. @param {number} page */
const tapped = (page) => {
  let sockets = 0;
  return class extends WebSocket {
    constructor(address, protocol) {
      super(address, protocol);
      this.number = sockets++;
      this.addEventListener("close", ({ code, reason }) => {
        this.over = true;
        tell({ page, socket: this.number, closed: `${code} ${reason}` });
      });
      // Node.js 20 says of a socket that never opened no more than that there was an error.
      this.addEventListener("error", () => setTimeout(() => this.over || this.dispatchEvent(new Event("close")), 10));
    }
    set onmessage(listener) {
      super.onmessage = (message) => {
        tell({ page, socket: this.number, in: JSON.parse(message.data) });
        listener(message);
      };
    }
    send(data) {
      tell({ page, socket: this.number, out: JSON.parse(data) });
      super.send(data);
    }
  };
};

/** Comes back sooner: a round is short, and a session does not outlive long waits. */
const hurried = { ...platform, random: () => Math.random() / 8 };

let calm = false;
const ends = [];

/** @param {number} page */
const run = async (page) => {
  const random = chance(seed + page);
  const below = (n) => Math.floor(random() * n);
  const session = connect(url, { WebSocket: tapped(page), storage: null, platform: hurried });
  session.on("status", (status) => tell({ page, status }));
  session.on("reset", (reset) => tell({ page, reset }));
  session.on("end", (end) => tell({ page, end }));
  session.on("error", (error) => tell({ page, error: String(error) }));
  let asked = 0;
  let open = 0;
  const watched = new Set();

  /** Tells what is asked and what comes of it. @param {object} what @param {() => Promise<any>} ask */
  const ask = async (what, ask) => {
    const id = asked++;
    tell({ page, asked: id, ...what });
    open++;
    try {
      const outcome = await ask();
      const { n, pos } = outcome ?? {};
      tell({ page, settled: id, ok: true, n, pos });
      return outcome;
    } catch (error) {
      tell({ page, settled: id, ok: false, code: error.code ?? error.name, message: String(error.message) });
    } finally {
      open--;
    }
  };
  /** @param {import("../../../web/client/room.js").Room} room */
  const watch = (room) => {
    if (watched.has(room)) return;
    watched.add(room);
    for (const type of ["event", "notice", "reset", "left", "live"]) room.on(type, (frame) => tell({ page, told: type, frame }));
  };
  const mount = (name) =>
    ask({ kind: "join", room: name }, async () => {
      const joining = session.join(name, { data: { name: `page ${page}` } });
      joining.catch(() => {});
      // Node.js runs what waits for the join only after it has handled all frames of a piece: so listen before.
      for (let turns = 0; turns < 10; turns++) {
        await undefined;
        const room = find(name);
        if (room) watch(room);
      }
      watch(await joining);
    });
  const find = (name) => session.rooms.find((room) => room.name === name);
  const say = (room) => {
    const mark = `page ${page} says ${asked}`;
    void ask({ kind: "say", room: room.name, mark }, () => room.act({ say: mark }));
  };
  const leave = (room) => ask({ kind: "leave", room: room.name }, () => room.leave());

  const names = [page % rooms, (page + 1) % rooms].map((room) => `chat/room-${room}`);
  for (const name of names) void mount(name);
  const act = () => {
    const name = names[below(names.length)];
    const room = find(name);
    const dice = random();
    if (!room) return void (hasty || open === 0 ? mount(name) : 0);
    watch(room);
    if (dice < 0.6) say(room);
    else if (dice < 0.72) void ask({ kind: "typing", room: name }, () => room.act({ typing: below(2) === 0 }));
    else if (dice < 0.75) void ask({ kind: "refused", room: name }, () => room.act({ say: "" }));
    else if (dice < 0.95) {
      // A component that unmounts and mounts again, perhaps more than once.
      for (let times = 1 + below(2); times > 0; times--) {
        const room = find(name);
        if (!hasty) return void (room && leave(room));
        if (room) void leave(room);
        void mount(name);
        const again = find(name);
        if (again && below(2)) say(again);
      }
    } else void leave(room);
  };
  ends.push(() => session.end());
  while (!calm) {
    if (open < 6) act();
    await pause(50 + below(200));
  }
  while (open > 0 || session.status !== "live") await pause(20);
  for (const name of names) if (!find(name)) await mount(name);
  const inside = () => session.rooms.map(({ name, member }) => [name, member]);
  for (let told = ""; session.status !== "ended"; await pause(200)) {
    // Another session may follow when a server is gone for too long.
    for (const name of names) if (!find(name)) await mount(name);
    const now = JSON.stringify(inside());
    if (now !== told && session.status === "live") tell({ page, calm: true, inside: inside() });
    told = now;
  }
};

process.stdin.setEncoding("utf8");
process.stdin.on("data", (text) => {
  for (const word of text.trim().split("\n")) {
    if (word === "calm") calm = true;
    if (word === "end") for (const end of ends) end();
  }
});
process.stdin.on("end", () => process.exit(0));
for (let page = 0; page < sessions; page++) void run(page);
