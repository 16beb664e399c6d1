import assert from "node:assert/strict";
import test from "node:test";
import { endpoint } from "../client/codec.js";
import { event, live, outcome, settled, stage, until } from "./stage.js";

const jwt = (exp) => `head.${Buffer.from(JSON.stringify({ sub: "ada", exp })).toString("base64url")}.sign`;

test("h1_connects_to_v1_connect_with_the_json_subprotocol", async (t) => {
  const scene = await stage(t);
  scene.connect();
  const peer = await scene.accept();
  assert.equal(peer.request.url, "/v1/connect");
  assert.equal(peer.request.headers["sec-websocket-protocol"], "outlast.v1.json");
});

test("h1_finds_the_endpoint_from_any_address", () => {
  assert.equal(endpoint("http://a.example"), "ws://a.example/v1/connect");
  assert.equal(endpoint("https://a.example:8443/"), "wss://a.example:8443/v1/connect");
  assert.equal(endpoint("wss://a.example/realtime/v1/connect"), "wss://a.example/realtime/v1/connect");
  globalThis.location = { href: "https://here.example/rooms/?x=1#lobby" };
  assert.equal(endpoint(undefined), "wss://here.example/v1/connect");
  delete globalThis.location;
});

test("a_surrounding_without_a_websocket_is_told_what_to_do", async (t) => {
  const scene = await stage(t);
  assert.throws(() => scene.connect({ WebSocket: null }), /pass one/);
});

test("h2_first_frame_is_open_and_later_resume_with_the_newest_key", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.cut();
  const second = await scene.retry(session);
  assert.deepEqual(await second.next("resume"), { t: "resume", sid: "sid-1", key: "key-1", rooms: {} });
  second.resumed();
  await second.heard();
  second.cut();
  const third = await scene.retry(session);
  assert.equal((await third.next("resume")).key, "key-2");
});

test("h3_the_token_is_in_the_frame_and_not_in_the_url", async (t) => {
  const scene = await stage(t);
  scene.connect({ token: () => "secret" });
  const peer = await scene.accept();
  assert.deepEqual(await peer.next("open"), { t: "open", token: "secret" });
  assert.ok(!peer.request.url.includes("secret"));
});

test("h6_asks_for_a_token_before_each_attach", async (t) => {
  const scene = await stage(t);
  let asked = 0;
  const session = scene.connect({ token: async () => `token-${++asked}` });
  const peer = await scene.accept();
  assert.equal((await peer.next("open")).token, "token-1");
  peer.welcome();
  await peer.heard();
  peer.cut();
  const again = await scene.retry(session);
  assert.equal((await again.next("resume")).token, "token-2");
});

test("h6_renews_the_token_before_it_expires", async (t) => {
  const scene = await stage(t);
  const start_s = scene.clock.now() / 1000;
  const tokens = [jwt(start_s + 600), jwt(start_s + 1200), jwt(start_s + 1800)];
  const { peer } = await scene.live({ token: async () => tokens[0] });
  peer.socket.on("message", () => {});
  const heartbeat = async (ms) => {
    for (let left_ms = ms; left_ms > 0; left_ms -= 20_000) {
      await scene.clock.advance(Math.min(20_000, left_ms));
      assert.ok((await peer.heard()).every(({ t }) => t === "token" && seen.push(t)));
    }
  };
  const seen = [];
  tokens.shift();
  await heartbeat(539_000);
  assert.equal(seen.length, 0);
  await heartbeat(2_000);
  assert.equal(seen.length, 1, "a minute ahead");
  await heartbeat(597_000);
  assert.equal(seen.length, 1);
  tokens.shift();
  await heartbeat(4_000);
  assert.equal(seen.length, 2);
});

test("h6_a_token_callback_that_fails_is_told_and_tried_again", async (t) => {
  const scene = await stage(t);
  let fail = true;
  const session = scene.connect({
    token: async () => {
      if (fail) throw new Error("no network");
      return "token";
    },
  });
  await until(() => session.status === "offline");
  assert.equal(session.log.find(([type]) => type === "error")[1].message, "no network");
  fail = false;
  const peer = await scene.retry(session);
  await peer.next("open");
});

test("f1_answers_ping_with_pong", async (t) => {
  const { peer } = await (await stage(t)).live();
  peer.send({ t: "ping" });
  assert.deepEqual(await peer.next("pong"), { t: "pong" });
});

test("f1_gives_up_a_server_that_is_silent_for_two_heartbeats", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  await scene.clock.advance(49_999);
  assert.equal(session.status, "live");
  await peer.heard();
  await scene.clock.advance(49_999);
  assert.equal(session.status, "live");
  await scene.clock.advance(1);
  await until(() => peer.closed);
  await scene.retry(session);
});

test("f1_gives_up_a_server_that_never_welcomes", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  const peer = await scene.accept();
  await peer.next("open");
  await scene.clock.advance(20_000);
  await until(() => peer.closed);
  await scene.retry(session);
});

test("f2_unknown_frames_and_fields_are_ignored", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  peer.send({ t: "weather", room: "chat/lobby" }, { t: "event", room: "chat/elsewhere", pos: "1-1", data: 1 }, { nothing: 1 });
  peer.socket.send("not json");
  peer.socket.send("null");
  peer.send(event("11-1", "hello", { colour: "blue" }));
  await peer.heard();
  assert.deepEqual(room.state, ["hello"]);
  assert.equal(session.status, "live");
});

test("f2_an_error_without_n_is_told_and_the_connection_goes_on", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  peer.send({ t: "error", code: "unknown_frame", message: "what?" });
  await peer.heard();
  const [, error] = session.log.find(([type]) => type === "error");
  assert.deepEqual([error.code, error.message], ["unknown_frame", "what?"]);
  assert.equal(session.status, "live");
});

test("d2_waits_with_full_jitter_below_a_doubling_cap", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  let peer = await scene.accept();
  for (const cap_ms of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    scene.random = 0.5;
    peer.cut();
    await until(() => session.status === "offline");
    await scene.clock.advance(cap_ms / 2 - 1);
    assert.ok(await scene.quiet(), `not before ${cap_ms / 2}`);
    await scene.clock.advance(1);
    peer = await scene.accept();
    await peer.next("open");
  }
});

test("d2_a_successful_attach_starts_over", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.cut();
  (await scene.retry(session, 500)).cut();
  (await scene.retry(session, 1000)).cut();
  const attached = await scene.retry(session, 2000);
  attached.resumed();
  await attached.heard();
  attached.cut();
  await scene.retry(session, 500);
});

test("d1_busy_says_when", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  const peer = await scene.accept();
  peer.send({ t: "busy", retry_ms: 7777 });
  await until(() => peer.closed && session.status === "offline");
  await scene.clock.advance(7776);
  assert.ok(await scene.quiet());
  await scene.clock.advance(1);
  await scene.accept();
});

test("d2_waking_up_retries_now", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  scene.wake();
  assert.ok(await scene.quiet(), "not while attached");
  peer.cut();
  await until(() => session.status === "offline");
  scene.wake();
  await (await scene.accept()).next("resume");
  scene.wake();
  assert.ok(await scene.quiet(), "not twice");
});

test("d2_going_online_and_becoming_visible_are_waking_up", async () => {
  const { platform } = await import("../client/platform.js");
  const target = new EventTarget();
  const page = new EventTarget();
  Object.assign(globalThis, {
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
    document: page,
  });
  let woken = 0;
  let gone = 0;
  const undo = platform.watch(() => woken++, () => gone++);
  target.dispatchEvent(new Event("online"));
  page.hidden = true;
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(woken, 1);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(woken, 2);
  assert.equal(gone, 0);
  target.dispatchEvent(new Event("offline"));
  assert.equal(gone, 1);
  undo();
  target.dispatchEvent(new Event("online"));
  target.dispatchEvent(new Event("offline"));
  page.dispatchEvent(new Event("visibilitychange"));
  assert.deepEqual([woken, gone], [2, 1]);
  for (const name of ["addEventListener", "removeEventListener", "document"]) delete globalThis[name];
});

test("status_tells_connecting_offline_catching_up_live", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.joined();
  assert.deepEqual(session.statuses(), ["catching-up", "live"]);
  session.log.length = 0;
  peer.cut();
  const again = await scene.retry(session);
  again.resumed({ "chat/lobby": "replay" });
  await again.heard();
  assert.deepEqual(session.statuses(), ["offline", "connecting", "catching-up"]);
  again.send(event("11-1", "x"), live("11-1"));
  await until(() => session.status === "live");
});

// SPEC 9, with and without the `bye` that should come before the close
for (const code of [4000, 4005, 4006, 4008, 4013, 1001, 1006, 1011, 3000, 4999]) {
  test(`close_${code}_resumes`, async (t) => {
    const scene = await stage(t);
    const { session, peer } = await scene.live();
    if (code === 1006) peer.cut();
    else peer.socket.close(code);
    const again = await scene.retry(session);
    assert.equal((await again.next("resume")).sid, "sid-1");
  });
}

for (const code of [4000, 4008]) {
  test(`close_${code}_resumes_after_its_retry_ms`, async (t) => {
    const scene = await stage(t);
    const { session, peer } = await scene.live();
    peer.bye(code, { retry_ms: 3210 });
    await until(() => session.status === "offline");
    await scene.clock.advance(3209);
    assert.ok(await scene.quiet());
    await scene.clock.advance(1);
    await (await scene.accept()).next("resume");
  });
}

for (const [code, name] of [
  [1009, "too_big"],
  [4002, "taken_over"],
  [4004, "protocol_error"],
  [4009, "too_many_sessions"],
  [4010, "ended"],
]) {
  for (const way of ["bye", "close"]) {
    test(`close_${code}_by_${way}_stops`, async (t) => {
      const scene = await stage(t);
      const { session, peer, room } = await scene.joined();
      const act = outcome(room.act({ say: "a" }));
      await peer.heard();
      if (way === "bye") peer.bye(code === 1009 ? 1009 : code, { resume: false });
      else peer.socket.close(code, `because ${code}`);
      await until(() => session.status === "ended");
      await settled();
      assert.deepEqual(session.log.at(-1), ["end", { code, reason: `because ${code}` }]);
      assert.equal(act.code, "unknown", "it was sent");
      assert.deepEqual(room.log.at(-1), ["left", { t: "left", room: "chat/lobby", reason: name }]);
      await scene.clock.advance(60_000);
      assert.ok(await scene.quiet());
      await assert.rejects(session.join("chat/lobby"), { code: "ended" });
      await assert.rejects(room.act({}), { code: "not_joined" });
    });
  }
}

test("close_4001_opens_a_new_session_and_joins_its_rooms_again", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const act = outcome(room.act({ say: "a" }));
  peer.cut();
  const told = await scene.retry(session);
  await told.next("resume");
  told.bye(4001, { resume: false });
  await until(() => act.error);
  assert.equal(act.code, "unknown");
  const fresh = await scene.retry(session, 1000);
  assert.deepEqual(await fresh.next("open"), { t: "open" });
  assert.deepEqual(session.log.find(([type]) => type === "reset")[1], { code: 4001, reason: "because 4001", away_ms: 500 });
  fresh.welcome({ sid: "sid-2" });
  assert.deepEqual(await fresh.next("join"), { t: "join", room: "chat/lobby", n: 1, data: { name: "Ada" } });
  fresh.send({ t: "joined", room: "chat/lobby", n: 1, member: 9, pos: "3-3", state: ["anew"] });
  await until(() => room.member === 9);
  assert.deepEqual(room.state, ["anew"]);
  assert.equal(room.log.at(-1)[0], "reset");
  outcome(room.act({ say: "b" }));
  assert.equal((await fresh.next("act")).n, 2);
});

test("close_4001_tells_a_room_that_the_new_session_may_not_join", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  peer.bye(4001);
  const fresh = await scene.retry(session);
  await fresh.next("open");
  fresh.welcome({ sid: "sid-2" });
  await fresh.next("join");
  fresh.send({ t: "error", code: "forbidden", message: "no", room: "chat/lobby", n: 1 });
  await until(() => room.log.length);
  assert.deepEqual(room.log, [["left", { t: "left", room: "chat/lobby", reason: "forbidden" }]]);
});

test("close_4003_asks_for_a_token_and_resumes_with_it", async (t) => {
  const scene = await stage(t);
  let token = "old";
  const { session, peer } = await scene.live({ token: async () => token });
  token = "new";
  peer.bye(4003);
  const again = await scene.retry(session);
  assert.equal((await again.next("resume")).token, "new");
});

test("close_4003_stops_without_a_token_and_keeps_the_session_for_later", async (t) => {
  const scene = await stage(t);
  const { Store } = await import("./stage.js");
  const storage = new Store();
  let token = "old";
  const { session, peer } = await scene.live({ token: async () => token, storage });
  token = undefined;
  peer.bye(4003);
  await until(() => session.status === "offline");
  await scene.clock.advance(500);
  await until(() => session.status === "ended");
  assert.equal(session.log.at(-1)[1].code, 4003);
  assert.equal(storage.map.size, 1);
});

test("close_4003_stops_where_nobody_can_be_asked", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.bye(4003);
  await until(() => session.status === "offline");
  await scene.clock.advance(500);
  await until(() => session.status === "ended");
});

test("close_4003_stops_when_the_refused_token_is_all_there_is", async (t) => {
  const scene = await stage(t);
  const session = scene.connect({ token: async () => "wrong" });
  const peer = await scene.accept();
  await peer.next("open");
  peer.bye(4003, { reason: "the token has expired" });
  await until(() => session.status === "offline");
  await scene.clock.advance(500);
  await until(() => session.status === "ended");
  assert.deepEqual(session.log.at(-1), ["end", { code: 4003, reason: "the token has expired" }]);
  await assert.rejects(session.join("chat/lobby"), { code: "ended" });
});

test("close_4003_again_and_again_is_told_and_retried_with_jitter", async (t) => {
  const scene = await stage(t);
  let count = 0;
  const session = scene.connect({ token: async () => `wrong ${++count}` });
  let peer = await scene.accept();
  for (const wait_ms of [500, 1000, 2000]) {
    await peer.next("open");
    peer.bye(4003);
    peer = await scene.retry(session, wait_ms);
  }
  assert.equal((await peer.next("open")).token, "wrong 4");
  assert.deepEqual(session.log.filter(([type]) => type === "error").map(([, { code }]) => code), ["unauthorized", "unauthorized"]);
  peer.welcome();
  await until(() => session.status === "live");
  peer.bye(4003);
  await until(() => session.status === "offline");
  assert.equal(session.log.filter(([type]) => type === "error").length, 2, "a token that expires is no error");
});

test("h6_a_token_that_was_renewed_may_serve_again", async (t) => {
  const scene = await stage(t);
  let token = "first";
  const { session, peer } = await scene.live({ token: async () => token });
  token = "second";
  peer.cut();
  const again = await scene.retry(session);
  assert.equal((await again.next("resume")).token, "second");
  again.resumed();
  await until(() => session.status === "live");
  again.cut();
  assert.equal((await (await scene.retry(session)).next("resume")).token, "second");
});

test("end_says_so_to_the_server_and_stops", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  session.end();
  assert.equal(session.status, "ended");
  await peer.next("end");
  await until(() => peer.closed);
  assert.equal(room.log.at(-1)[1].reason, "ended");
  session.end();
  assert.equal(session.log.filter(([type]) => type === "end").length, 1);
});

test("a_listener_that_throws_stops_nobody_else", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const reported = [];
  t.mock.method(console, "error", (error) => reported.push(error.message));
  let heard = 0;
  room.on("event", () => {
    throw new Error("mine");
  });
  const off = room.on("event", () => heard++);
  peer.send(event("11-1", "a"));
  await peer.heard();
  off();
  peer.send(event("12-1", "b"));
  await peer.heard();
  assert.equal(heard, 1);
  assert.deepEqual(reported, ["mine", "mine"]);
});
