/**
 * A server as SPEC describes it, in memory and one step at a time: rooms as logs, sessions, sockets
 * that can be cut anywhere. What is on its way is in queues, and the test says what arrives when.
 */
export const ROOM = "chat/lobby";

export class Model {
  sessions = new Map();
  sockets = new Set();
  /** Appended and not yet applied. */
  topic = [];
  log = [];
  tag = 1;
  /** Returns the milliseconds to wait when the gateway refuses an action for now. */
  refuses = () => undefined;
  faults = [];

  /** The socket class that the client is given. */
  socketClass() {
    const model = this;
    return class {
      readyState = 0;
      toServer = [];
      toClient = [];
      constructor() {
        model.sockets.add(this);
      }
      send(text) {
        this.toServer.push(JSON.parse(text));
      }
      close() {
        model.cut(this);
      }
    };
  }

  /** Everything on its way is lost. */
  cut(socket, code = 1006) {
    if (!this.sockets.delete(socket)) return;
    socket.readyState = 3;
    if (socket.session?.socket === socket) socket.session.socket = undefined;
    socket.toServer.length = 0;
    queueMicrotask(() => socket.onclose?.({ code, reason: "" }));
  }

  accept(socket) {
    socket.readyState = 1;
    socket.onopen();
  }

  /** The state of the room, folded from the log, which alone is kept. */
  get room() {
    const room = { members: new Map(), last: new Map(), kept: new Map(), state: [] };
    for (const entry of this.log) {
      room.last.set(entry.sid, entry.n);
      if (entry.t === "join") room.members.set(entry.sid, entry.member);
      if (entry.t === "leave") room.members.delete(entry.sid);
      room.kept.set(entry.sid, entry);
      if (entry.data !== undefined) room.state.push(entry.data);
    }
    return room;
  }

  get pos() {
    return this.log.at(-1)?.pos ?? "0-0";
  }

  /** One frame of the client arrives. */
  hear(socket) {
    const frame = socket.toServer.shift();
    const { session } = socket;
    if (session && session.socket !== socket) return; // taken over: nothing it sends has an effect
    if (frame.t === "open") return this.#open(socket);
    if (frame.t === "resume") return this.#resume(socket, frame);
    if (!["join", "act", "leave"].includes(frame.t)) return;
    const retry_ms = this.refuses(frame);
    const error = (fields) => socket.toClient.push({ t: "error", room: ROOM, n: frame.n, message: "", ...fields });
    if (retry_ms) return error({ code: "busy", retry_ms });
    if (frame.t === "join") session.joined = true;
    if (frame.t === "act" && !session.joined) return error({ code: "not_joined" });
    if (frame.t === "leave") session.joined = false;
    this.topic.push({ ...frame, sid: session.sid });
  }

  /** The room takes one action from its topic (A1, A2). */
  apply() {
    const { t, n, sid, data } = this.topic.shift();
    const session = this.sessions.get(sid);
    const room = this.room;
    const last = room.last.get(sid) ?? 0;
    const kept = room.kept.get(sid);
    if (n <= last) {
      if (t !== "act" && !room.members.has(sid) && kept) this.#outcome(session, kept);
      return;
    }
    if (n > last + 1) {
      if (session.gap !== last + 1) session.send({ t: "gap", room: ROOM, expect: last + 1 });
      session.gap = last + 1;
      return;
    }
    session.gap = undefined;
    const entry = { pos: `${this.log.length + 1}-${this.tag}`, t, n, sid, member: room.members.get(sid) };
    if (t === "join" && room.members.has(sid) && this.tag === 1) this.faults.push(`joined twice as ${n}`);
    if (t === "join" && !room.members.has(sid)) Object.assign(entry, { member: this.log.length + 1, data: `${sid} in` });
    if (t === "leave" && room.members.has(sid)) entry.data = `${sid} out`;
    if (t === "act" && !room.members.has(sid)) entry.refused = "not_joined";
    else if (t === "act" && data.bad) entry.refused = "bad";
    else if (t === "act" && !data.quiet) entry.data = data.say;
    this.log.push(entry);
    for (const other of this.sessions.values()) {
      if (other !== session && other.live) other.send(this.#event(entry));
    }
    this.#outcome(session, entry);
  }

  /** The store loses what it had acknowledged (R4). */
  lose(entries) {
    this.log.length = Math.max(0, this.log.length - entries);
    this.tag++;
    this.topic.length = 0;
    for (const session of this.sessions.values()) session.gap = undefined;
    for (const socket of [...this.sockets]) this.cut(socket);
  }

  /** Somebody else in the room: says something to everyone. */
  chatter(text) {
    this.log.push({ pos: `${this.log.length + 1}-${this.tag}`, t: "act", n: this.room.last.get("other") + 1 || 1, sid: "other", member: 0, data: text });
    for (const session of this.sessions.values()) if (session.live) session.send(this.#event(this.log.at(-1)));
  }

  #event({ pos, data, member, n, t }) {
    if (data === undefined) return undefined;
    return { t: "event", room: ROOM, pos, data, ...(t === "act" ? { by: member, n } : {}) };
  }

  /** Returns the frame that tells a session of its own entry. */
  #told(session, entry) {
    const { t, n, pos, member, refused, data } = entry;
    if (t === "act" && refused) return { t: "result", room: ROOM, n, pos, ok: false, code: refused, message: "" };
    if (t === "act" && data === undefined) return { t: "result", room: ROOM, n, pos, ok: true };
    if (t === "act") return this.#event(entry);
    if (t === "leave") return { t: "left", room: ROOM, n, reason: "left" };
    const state = this.room.state;
    return { t: "joined", room: ROOM, n, member, pos: this.pos, state };
  }

  #outcome(session, entry) {
    session.send(this.#told(session, entry));
    if (entry.t === "join") session.live = !!session.socket;
    if (entry.t === "leave") session.live = false;
  }

  #open(socket) {
    const session = {
      sid: `sid-${this.sessions.size + 1}`,
      joined: false,
      send: (frame) => frame && session.socket?.toClient.push(frame),
    };
    this.sessions.set(session.sid, session);
    this.#attach(socket, session, { t: "welcome" });
  }

  #resume(socket, { sid, rooms }) {
    const session = this.sessions.get(sid);
    const { members, last, state } = this.room;
    const member = members.get(sid);
    const asked = rooms[ROOM];
    const found = this.log.findIndex(({ pos }) => pos === asked);
    const how = member === undefined ? "gone" : found >= 0 ? "replay" : "snapshot";
    const told = asked !== undefined || session.joined ? { [ROOM]: how } : {};
    const before = session.socket;
    this.#attach(socket, session, { t: "resumed", rooms: told });
    if (before) before.toClient.push({ t: "bye", code: 4002, reason: "taken over" });
    session.live = member !== undefined;
    if (how === "gone") return;
    session.joined = true;
    if (how === "replay") {
      for (const entry of this.log.slice(found + 1)) {
        if (entry.sid !== sid) session.send(this.#event(entry));
        else if (entry.t === "act") session.send(this.#told(session, entry));
      }
    } else {
      const reason = asked ? "diverged" : "requested";
      session.send({ t: "snapshot", room: ROOM, pos: this.pos, state, member, n: last.get(sid), reason });
    }
    session.send({ t: "live", room: ROOM, pos: this.pos });
  }

  #attach(socket, session, frame) {
    session.socket = socket;
    socket.session = session;
    session.gap = undefined;
    const limits = { frame_bytes: 65_536, actions_per_s: 50 };
    session.send({ sid: session.sid, key: "key", gen: 1, ttl_ms: 120_000, heartbeat_ms: 25_000, limits, ...frame });
  }
}
