import assert from "node:assert/strict";
import test from "node:test";
import { brief, event, fold, live, outcome, result, settled, snapshot, stage, Store, until } from "./stage.js";

/** A page in a room with two acts under way, and what is left when it goes without a word. */
async function reloaded(t, { release = true } = {}) {
  const scene = await stage(t);
  const storage = new Store();
  const { session, peer, room } = await scene.joined({ storage });
  outcome(room.act({ say: "a" }));
  outcome(room.act({ say: "b" }));
  peer.send(event("11-1", "a", { by: 7, n: 2 }));
  await peer.heard();
  await settled();
  const kept = storage.copy();
  if (release) scene.locks.held.clear();
  return { scene, storage: kept, before: session, peer };
}

test("s3_a_reload_resumes_the_same_session_and_its_actions", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  const joining = outcome(session.join("chat/lobby", { data: { name: "Ada" }, apply: fold }));
  const peer = await scene.accept();
  assert.deepEqual(await peer.next("resume"), { t: "resume", sid: "sid-1", key: "key-1", rooms: { "chat/lobby": null } });
  assert.deepEqual(brief(await peer.heard()), ["act 3 b"], "no second join, no settled act");
  assert.deepEqual(joining, {});
  peer.resumed({ "chat/lobby": "snapshot" });
  peer.send(snapshot("11-1", 2, { state: ["a"] }), event("12-1", "b", { by: 7, n: 3 }), live("12-1"));
  await until(() => joining.value && session.status === "live");
  const room = joining.value;
  assert.deepEqual(room.state, ["a", "b"]);
  assert.equal(room.member, 7);
  outcome(room.act({ say: "c" }));
  assert.equal((await peer.next("act")).n, 4);
});

test("s3_the_newest_key_is_kept", async (t) => {
  const { scene, storage } = await reloaded(t);
  scene.connect({ storage });
  const peer = await scene.accept();
  await peer.next("resume");
  peer.resumed({ "chat/lobby": "snapshot" });
  await peer.heard();
  await settled();
  assert.equal(JSON.parse([...storage.map.values()][0]).key, "key-2");
});

test("pending_acts_are_shown_again_after_a_reload", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  outcome(session.join("chat/lobby", { apply: fold }));
  await scene.accept();
  const [room] = session.rooms;
  assert.deepEqual(room.pending.map(({ data }) => data), [{ say: "b" }]);
});

test("a_refusal_of_an_act_from_before_the_reload_is_told_to_the_session", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  outcome(session.join("chat/lobby", { apply: fold }));
  const peer = await scene.accept();
  peer.resumed({ "chat/lobby": "snapshot" });
  peer.send(snapshot("11-1", 2), result(3, "12-1", { ok: false, code: "no", message: "No." }), live("12-1"));
  await peer.heard();
  assert.deepEqual(session.log.filter(([type]) => type === "error").map(([, { code }]) => code), ["no"]);
});

test("r1_a_room_gone_while_the_page_reloaded_is_joined_again", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  const joining = outcome(session.join("chat/lobby", { data: { name: "Ada" }, apply: fold }));
  const peer = await scene.accept();
  await peer.next("resume");
  await peer.next("act");
  peer.resumed({ "chat/lobby": "gone" });
  assert.deepEqual(await peer.next("join"), { t: "join", room: "chat/lobby", n: 4, data: { name: "Ada" } });
  peer.send({ t: "joined", room: "chat/lobby", n: 4, member: 8, pos: "20-1", state: ["now"] });
  await until(() => joining.value);
});

test("r1_a_room_joined_late_after_a_reload_gets_its_snapshot_by_a_second_socket", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  const peer = await scene.accept();
  await peer.next("resume");
  peer.resumed({ "chat/lobby": "snapshot" });
  peer.send(snapshot("11-1", 3, { state: ["a", "b"] }), live("11-1"), event("12-1", "c"));
  await until(() => session.status === "live");
  await peer.heard();
  assert.deepEqual(session.rooms.map(({ name }) => name), ["chat/lobby"]);
  session.log.length = 0;
  const joining = outcome(session.join("chat/lobby", { apply: fold }));
  const second = await scene.accept();
  assert.deepEqual((await second.next("resume")).rooms, { "chat/lobby": null });
  second.resumed({ "chat/lobby": "snapshot" }, { key: "key-3" });
  second.send(snapshot("12-1", 3, { state: ["a", "b", "c"] }), live("12-1"), event("13-1", "d"));
  await until(() => joining.value);
  await second.heard();
  assert.deepEqual(joining.value.state, ["a", "b", "c", "d"]);
  assert.deepEqual(session.statuses(), []);
});

test("a_room_the_page_no_longer_wants_can_be_left_after_a_reload", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  const peer = await scene.accept();
  await peer.next("resume");
  await peer.next("act");
  peer.resumed({ "chat/lobby": "snapshot" });
  peer.send(snapshot("11-1", 2), live("11-1"));
  await peer.heard();
  const [room] = session.rooms;
  const leaving = outcome(room.leave());
  assert.equal((await peer.next("leave")).n, 4);
  peer.send({ t: "left", room: "chat/lobby", n: 4, reason: "left" });
  await until(() => "value" in leaving);
  assert.deepEqual(session.rooms, []);
});

test("a_duplicated_tab_gets_a_session_of_its_own", async (t) => {
  const { scene, storage } = await reloaded(t, { release: false });
  const duplicate = scene.connect({ storage });
  outcome(duplicate.join("chat/lobby", { data: { name: "Ada" } }));
  const peer = await scene.accept();
  assert.deepEqual(await peer.next("open"), { t: "open" });
  peer.welcome({ sid: "sid-2" });
  assert.equal((await peer.next("join")).n, 1);
  await settled();
  assert.equal(JSON.parse([...storage.map.values()][0]).sid, "sid-2");
});

test("a_session_is_claimed_from_its_welcome_to_its_end", async (t) => {
  const scene = await stage(t);
  const { session } = await scene.live({ storage: new Store() });
  await until(() => scene.locks.held.has("outlast sid-1"));
  session.end();
  assert.equal(scene.locks.held.size, 0);
});

test("a_session_that_ended_is_not_resumed_by_the_next_page", async (t) => {
  const scene = await stage(t);
  const storage = new Store();
  const { session, peer } = await scene.joined({ storage });
  await settled();
  assert.equal(storage.map.size, 1);
  peer.bye(4010);
  await until(() => session.status === "ended");
  await settled();
  assert.equal(storage.map.size, 0);
});

test("close_4001_after_a_reload_tells_the_page_and_joins_what_it_wants", async (t) => {
  const { scene, storage } = await reloaded(t);
  const session = scene.connect({ storage });
  const joining = outcome(session.join("chat/lobby", { data: { name: "Ada" }, apply: fold }));
  const peer = await scene.accept();
  await peer.next("resume");
  peer.bye(4001);
  const fresh = await scene.retry(session);
  await fresh.next("open");
  fresh.welcome({ sid: "sid-2" });
  assert.equal((await fresh.next("join")).n, 1);
  fresh.send({ t: "joined", room: "chat/lobby", n: 1, member: 1, pos: "1-1", state: [] });
  await until(() => joining.value);
  assert.equal(session.log.filter(([type]) => type === "reset").length, 1);
  assert.deepEqual(await fresh.heard(), [], "the acts of the lost session are not done twice");
});

test("storage_that_fails_is_warned_about_once_and_nothing_else", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const scene = await stage(t);
  const broken = () => {
    throw new DOMException("denied", "SecurityError");
  };
  const { room, peer } = await scene.joined({ storage: { getItem: broken, setItem: broken, removeItem: broken } });
  outcome(room.act({ say: "a" }));
  await peer.heard();
  assert.equal(warned.mock.callCount(), 1);
});

test("storage_that_is_full_keeps_the_session_without_its_actions", async (t) => {
  const scene = await stage(t);
  const storage = new Store();
  const { room, peer } = await scene.joined({ storage });
  const { setItem } = storage;
  storage.setItem = (name, value) => {
    if (value.length > 1000) throw new DOMException("full", "QuotaExceededError");
    setItem(name, value);
  };
  outcome(room.act({ say: "x".repeat(2000) }));
  await peer.heard();
  const saved = JSON.parse([...storage.map.values()][0]);
  assert.deepEqual(saved.rooms["chat/lobby"], { inside: true, next: 3, list: [] });
});

test("storage_is_written_once_for_many_acts_and_not_for_events", async (t) => {
  const scene = await stage(t);
  const storage = new Store();
  const { room, peer } = await scene.joined({ storage });
  await settled();
  storage.writes = 0;
  for (let i = 0; i < 20; i++) outcome(room.act({ say: `${i}` }));
  await settled();
  assert.equal(storage.writes, 1);
  peer.send(event("11-1", "x"), event("12-1", "y"));
  await peer.heard();
  assert.equal(storage.writes, 1);
});

test("web_locks_tell_a_duplicate_from_a_reload", async (t) => {
  const { platform } = await import("../client/platform.js");
  const held = new Set();
  const locks = {
    request(name, { signal }, run) {
      if (held.has(name)) return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      held.add(name);
      return run().finally(() => held.delete(name));
    },
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  t.after(() => (before ? Object.defineProperty(globalThis, "navigator", before) : delete globalThis.navigator));
  t.mock.method(AbortSignal, "timeout", () => patience.signal);
  const patience = new AbortController();
  const release = await platform.claim("a");
  const second = platform.claim("a");
  patience.abort();
  assert.equal(await second, undefined);
  release();
  await settled();
  assert.equal(typeof (await platform.claim("a")), "function");
});

test("where_there_are_no_locks_the_tabs_ask_each_other", async () => {
  const { platform } = await import("../client/platform.js");
  assert.equal(globalThis.navigator?.locks, undefined);
  const release = await platform.claim("b");
  assert.equal(typeof release, "function");
  assert.equal(await platform.claim("b"), undefined, "another tab holds it");
  const other = await platform.claim("c");
  release();
  const again = await platform.claim("b");
  assert.equal(typeof again, "function");
  other();
  again();
});

test("nothing_is_claimed_that_nothing_remembers", async (t) => {
  const scene = await stage(t);
  await scene.live({ storage: null });
  await settled();
  assert.equal(scene.locks.held.size, 0);
});

test("r1_a_resume_asks_for_no_more_rooms_than_the_server_takes", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live({ queue: 1000 });
  for (let i = 0; i < 300; i++) outcome(session.join(`chat/${i}`));
  await until(() => peer.frames.length >= 100);
  peer.cut();
  const { rooms } = await (await scene.retry(session)).next("resume");
  assert.equal(Object.keys(rooms).length, 256);
});
