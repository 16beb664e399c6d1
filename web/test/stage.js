/**
 * The fixtures of the client's tests: a server that the test drives, and a clock and randomness that the test sets. Nothing
 * here sleeps; everything waits for a condition.
 */
import assert from "node:assert/strict";
import WebSocket, { WebSocketServer } from "ws";
import { json } from "../client/codec.js";
import { msgpack } from "../msgpack.js";
import { connect } from "../outlast.js";

/** For a machine that is busy with other things. */
const DEADLINE_MS = 60_000;

/** Waits until `condition` holds, or fails. */
export async function until(condition, what = condition.toString()) {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const value = condition();
    if (value) return value;
    if (performance.now() > deadline) assert.fail(`never came true: ${what}`);
    await new Promise(setImmediate);
  }
}

/** Lets everything run that is ready to run. */
export const settled = async () => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

export class Clock {
  now_ms = 1_000_000;
  timers = new Set();

  now = () => this.now_ms;

  after = (ms, run) => {
    const timer = { at_ms: this.now_ms + ms, run };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  /** Moves on, running what falls due, in order. */
  async advance(ms) {
    const end_ms = this.now_ms + ms;
    for (;;) {
      const [timer] = [...this.timers].filter((timer) => timer.at_ms <= end_ms).sort((a, b) => a.at_ms - b.at_ms);
      if (!timer) break;
      this.timers.delete(timer);
      this.now_ms = Math.max(this.now_ms, timer.at_ms);
      timer.run();
      await settled();
    }
    this.now_ms = end_ms;
  }
}

export class Store {
  map = new Map();
  writes = 0;
  getItem = (name) => this.map.get(name) ?? null;
  setItem = (name, value) => {
    this.writes++;
    this.map.set(name, value);
  };
  removeItem = (name) => this.map.delete(name);
  copy() {
    const copy = new Store();
    copy.map = new Map(this.map);
    return copy;
  }
}

/** The locks that the tabs of one browser share. */
export class Locks {
  held = new Set();
  claim = async (name) => {
    if (this.held.has(name)) return undefined;
    this.held.add(name);
    return () => this.held.delete(name);
  };
}

/** One connection, seen from the server. */
export class Peer {
  frames = [];
  closed = false;

  constructor(socket, request) {
    this.socket = socket;
    this.request = request;
    this.codec = socket.protocol === msgpack.protocol ? msgpack : json;
    socket.on("message", (data) => this.frames.push(this.codec.decode(data)));
    socket.on("close", () => (this.closed = true));
  }

  /** The next frame, which is one of `t`. */
  async next(t) {
    const frame = await until(() => this.frames.shift(), `a frame ${t}`);
    assert.equal(frame.t, t, JSON.stringify(frame));
    return frame;
  }

  send(...frames) {
    for (const frame of frames) this.socket.send(this.codec.encode(frame));
  }

  /** Everything the client has sent, once it has heard all that was sent to it. */
  async heard() {
    this.send({ t: "ping" });
    await until(() => this.frames.at(-1)?.t === "pong", "a pong");
    this.frames.pop();
    return this.frames.splice(0);
  }

  welcome(fields) {
    this.send({ ...WELCOME, t: "welcome", ...fields });
  }

  resumed(rooms = {}, fields) {
    this.send({ ...WELCOME, t: "resumed", gen: 2, key: "key-2", ...fields, rooms });
  }

  bye(code, fields) {
    this.send({ t: "bye", code, reason: `because ${code}`, resume: true, ...fields });
    this.socket.close(code);
  }

  cut() {
    this.socket.terminate();
  }
}

const WELCOME = {
  sid: "sid-1",
  key: "key-1",
  gen: 1,
  ttl_ms: 120_000,
  heartbeat_ms: 25_000,
  limits: { frame_bytes: 65_536, actions_per_s: 50 },
};

/** The fixtures of one test, closed after it. */
export async function stage(t) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: ([first]) => first });
  await new Promise((resolve) => server.once("listening", resolve));
  const peers = [];
  server.on("connection", (socket, request) => peers.push(new Peer(socket, request)));
  const sessions = [];
  const clock = new Clock();
  const locks = new Locks();
  const watchers = new Set();
  const stage = {
    clock,
    locks,
    peers,
    random: 1,
    url: `http://127.0.0.1:${server.address().port}`,

    /** A client of its own, as a page would make it. */
    connect(options = {}) {
      const platform = {
        now: clock.now,
        after: clock.after,
        random: () => stage.random,
        claim: locks.claim,
        storage: undefined,
        watch(wake, offline) {
          const watcher = { wake, offline };
          watchers.add(watcher);
          return () => watchers.delete(watcher);
        },
      };
      const session = connect(stage.url, { WebSocket, platform, storage: null, ...options });
      session.log = [];
      for (const type of ["status", "reset", "error", "end"]) session.on(type, (value) => session.log.push([type, value]));
      session.statuses = () => session.log.filter(([type]) => type === "status").map(([, status]) => status);
      sessions.push(session);
      return session;
    },

    /** The next connection that comes in. */
    accept: () => until(() => peers.shift(), "a connection"),

    /** Returns true when no client tries to connect. */
    async quiet() {
      await settled();
      return peers.length === 0;
    },

    wake() {
      for (const { wake } of watchers) wake();
    },

    /** The network is gone, and the browser knows. */
    offline() {
      for (const { offline } of watchers) offline();
    },

    /** Waits until the client has given up its socket, and then lets it try again. */
    async retry(session, ms = 500) {
      await until(() => session.status === "offline", "offline");
      await clock.advance(ms);
      return stage.accept();
    },

    /** A session that is welcome. */
    async live(options) {
      const session = stage.connect(options);
      const peer = await stage.accept();
      await peer.next("open");
      peer.welcome();
      await until(() => session.status === "live");
      return { session, peer };
    },

    /** A session in a room, as member 7, at position 10. */
    async joined(options, joinOptions) {
      const { session, peer } = await stage.live(options);
      const joining = session.join("chat/lobby", { data: { name: "Ada" }, apply: fold, ...joinOptions });
      const { n } = await peer.next("join");
      peer.send({ t: "joined", room: "chat/lobby", n, member: 7, pos: "10-1", state: [] });
      const room = await joining;
      room.log = [];
      for (const type of ["event", "notice", "signal", "reset", "live", "left"]) {
        room.on(type, (frame) => room.log.push([type, frame]));
      }
      return { session, peer, room };
    },
  };
  t.after(async () => {
    for (const session of sessions) session.end();
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  return stage;
}

/** A state that is the list of all data seen. */
export const fold = (state, event) => [...state, event.data];

export const event = (pos, data, own = {}) => ({ t: "event", room: "chat/lobby", pos, data, ...own });
export const result = (n, pos, fields) => ({ t: "result", room: "chat/lobby", n, pos, ok: true, ...fields });
export const live = (pos) => ({ t: "live", room: "chat/lobby", pos });
export const snapshot = (pos, n, fields) => ({
  t: "snapshot",
  room: "chat/lobby",
  pos,
  n,
  state: [],
  member: 7,
  reason: "requested",
  ...fields,
});

/** The outcome of a promise as a value, and `undefined` while it has none. */
export function outcome(promise) {
  const seen = {};
  promise.then(
    (value) => Object.assign(seen, { value }),
    (error) => Object.assign(seen, { error, code: error.code }),
  );
  return seen;
}

/** Returns frames in short, for comparison. */
export const brief = (frames) => frames.map(({ t, n, data }) => `${t} ${n}${data?.say ? ` ${data.say}` : ""}`);
