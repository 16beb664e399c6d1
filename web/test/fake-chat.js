/**
 * A small server of the chat page, for looking at it: `node test/fake-chat.js [port]` serves the
 * pages and speaks SPEC B1 from memory. It holds no more of the protocol than the page needs.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { freePort } from "./free-port.js";

const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
const WEB = new URL("../", import.meta.url);
const PAGES = new URL("pages/", WEB);

export async function fakeChat(port = 0) {
  const sessions = new Map();
  const rooms = new Map();
  let offset = 0;

  const http = createServer(async (request, response) => {
    const path = new URL(request.url, "http://x").pathname.slice(1).replace(/(^|\/)$/, "$1index.html");
    const type = TYPES[path.split(".").at(-1)];
    try {
      const body = await readFile(new URL(path, PAGES)).catch(() => readFile(new URL(path, WEB)));
      response.writeHead(200, { "content-type": type, "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'" });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  const sockets = new WebSocketServer({ server: http, handleProtocols: ([first]) => first });

  const room = (name) => {
    if (!rooms.has(name)) rooms.set(name, { name, members: new Map(), messages: [], log: [], next: 1 });
    return rooms.get(name);
  };
  const view = ({ members, messages }) => ({
    members: [...members.values()].map(({ member, name, session }) => ({ member, name, online: !!session.socket })),
    messages: messages.slice(-50),
  });
  const pos = () => `${offset}-7`;
  const tell = (room, frame) => {
    for (const { session } of room.members.values()) session.send(frame);
  };
  const commit = (room, data, own = {}) => {
    offset++;
    const frame = { t: "event", room: room.name, pos: pos(), data, ...own };
    room.log.push(frame);
    tell(room, frame);
  };

  const actions = {
    join(session, { room: name, n, data }) {
      const into = room(name);
      const member = into.next++;
      commit(into, { entered: { member, name: data.name } });
      into.members.set(session.sid, { member, name: data.name, session });
      session.send({ t: "joined", room: name, n, member, pos: pos(), state: view(into) });
    },
    act(session, { room: name, n, data }) {
      const into = room(name);
      const me = into.members.get(session.sid);
      if (data.say?.includes("refuse me")) {
        offset++;
        session.send({ t: "result", room: name, n, pos: pos(), ok: false, code: "refused", message: "The room will not have that." });
      } else if (data.say) {
        into.messages.push({ pos: `${offset + 1}-7`, member: me.member, name: me.name, text: data.say, at_ms: Date.now() });
        commit(into, { said: data.say }, { by: me.member, n });
      } else {
        session.send({ t: "result", room: name, n, pos: pos(), ok: true });
        tell(into, { t: "signal", room: name, data: { typing: me.member, on: data.typing } });
      }
    },
    leave(session, { room: name, n }) {
      const into = room(name);
      const { member } = into.members.get(session.sid);
      into.members.delete(session.sid);
      session.send({ t: "left", room: name, n, reason: "left" });
      commit(into, { left: { member, reason: "left" } });
    },
  };

  sockets.on("connection", (socket) => {
    let session;
    const attach = (t, fields) => {
      session.socket = socket;
      session.key = `key-${Math.random()}`;
      session.send({ t, sid: session.sid, key: session.key, gen: 1, ttl_ms: 120_000, heartbeat_ms: 25_000, limits: { frame_bytes: 65_536, actions_per_s: 50 }, ...fields });
    };
    const frames = {
      open() {
        session = { sid: `sid-${sessions.size + 1}`, n: {}, send: (frame) => session.socket?.send(JSON.stringify(frame)) };
        sessions.set(session.sid, session);
        attach("welcome");
      },
      resume({ sid, rooms: asked }) {
        session = sessions.get(sid);
        if (!session) return socket.close(4001, "session gone");
        session.socket?.close(4002);
        const mine = Object.keys(asked).map((name) => room(name));
        const inside = (room) => room.members.get(session.sid);
        attach("resumed", { rooms: Object.fromEntries(mine.map((room) => [room.name, !inside(room) ? "gone" : asked[room.name] ? "replay" : "snapshot"])) });
        for (const room of mine.filter(inside)) {
          const me = inside(room);
          const from = asked[room.name];
          if (from) for (const frame of room.log.filter((frame) => parseInt(frame.pos) > parseInt(from))) session.send(frame);
          else session.send({ t: "snapshot", room: room.name, pos: pos(), state: view(room), member: me.member, n: session.n[room.name], reason: "requested" });
          session.send({ t: "live", room: room.name, pos: pos() });
          if (me.away) commit(room, { back: me.member });
          me.away = false;
        }
      },
      end() {
        socket.close(4010);
      },
    };
    socket.on("message", (text) => {
      const frame = JSON.parse(text);
      frames[frame.t]?.(frame);
      if (!actions[frame.t] || (session.n[frame.room] ?? 0) >= frame.n) return;
      if (!frame.room.startsWith("chat/")) {
        return session.send({ t: "error", room: frame.room, n: frame.n, code: "unknown_room_kind", message: "there are only chats here" });
      }
      session.n[frame.room] = frame.n;
      actions[frame.t](session, frame);
    });
    socket.on("close", () => {
      if (session?.socket !== socket) return;
      session.socket = undefined;
      for (const room of rooms.values()) {
        const me = room.members.get(session.sid);
        if (!me) continue;
        me.away = true;
        commit(room, { away: me.member });
      }
    });
  });

  const listen = (port) => new Promise((resolve) => http.listen(port, "127.0.0.1", resolve));
  await listen(port || (await freePort()));
  const address = http.address();
  return {
    url: `http://127.0.0.1:${address.port}/`,
    chat: `http://127.0.0.1:${address.port}/chat/`,
    /** Everybody loses the server, and nobody finds it. */
    async down() {
      for (const socket of sockets.clients) socket.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
    up: () => listen(address.port),
    /** It comes back without remembering a session. */
    forget: () => sessions.clear(),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log((await fakeChat(Number(process.argv[2] ?? 0))).chat);
}
