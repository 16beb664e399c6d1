import assert from "node:assert/strict";
import test from "node:test";
import { brief, event, fold, live, outcome, result, settled, snapshot, stage, Store, until } from "./stage.js";

test("e1_a_position_that_is_not_new_is_ignored", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  for (const pos of ["11-1", "11-1", "12-5", "9-1", "11-9", "12-5", "100-1"]) peer.send(event(pos, pos));
  await peer.heard();
  assert.deepEqual(room.state, ["11-1", "12-5", "100-1"]);
});

test("e1_who_listens_once_inside_hears_what_came_along_with_joined", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  const peer = await scene.accept();
  await peer.next("open");
  peer.welcome();
  const joining = session.join("chat/lobby", { apply: fold });
  const { n } = await peer.next("join");
  // In one go, as a network may bring them.
  peer.socket._socket.cork();
  peer.send({ t: "joined", room: "chat/lobby", n, member: 1, pos: "10-1", state: [] }, event("11-1", "first"), event("12-1", "second"));
  peer.socket._socket.uncork();
  const room = await (async () => joining)();
  const heard = [];
  room.on("event", ({ data }) => heard.push(data));
  await peer.heard();
  assert.deepEqual([heard, room.state], [["first", "second"], ["first", "second"]]);
});

test("e1_notices_and_results_are_positions_too", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  outcome(room.act({}));
  peer.send({ t: "notice", room: "chat/lobby", pos: "11-1", data: "for you" });
  peer.send({ t: "notice", room: "chat/lobby", pos: "11-1", data: "for you" });
  peer.send(result(2, "12-1"));
  await peer.heard();
  assert.deepEqual(room.log.map(([type, { data }]) => [type, data]), [["notice", "for you"]]);
  peer.cut();
  const again = await scene.retry(session);
  assert.deepEqual((await again.next("resume")).rooms, { "chat/lobby": "12-1" });
});

test("r1_resumes_from_joined_snapshot_live_and_the_last_entry", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.joined();
  const resume = async (peer) => {
    peer.cut();
    const again = await scene.retry(session);
    again.asked = (await again.next("resume")).rooms["chat/lobby"];
    return again;
  };
  const second = await resume(peer);
  assert.equal(second.asked, "10-1");
  second.resumed({ "chat/lobby": "snapshot" });
  second.send(snapshot("20-2", 1));
  await second.heard();
  const third = await resume(second);
  assert.equal(third.asked, "20-2");
  third.resumed({ "chat/lobby": "replay" });
  third.send(live("25-3"));
  await third.heard();
  const fourth = await resume(third);
  assert.equal(fourth.asked, "25-3");
  fourth.resumed({ "chat/lobby": "replay" });
  fourth.send(event("26-3", "x"), live("26-3"), event("27-3", "y"));
  await fourth.heard();
  assert.equal((await resume(fourth)).asked, "27-3");
});

test("r1_replay_is_delivered_as_events_and_live_behind_it", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  peer.cut();
  const again = await scene.retry(session);
  again.resumed({ "chat/lobby": "replay" });
  again.send(event("11-1", "missed"), live("11-1"), event("12-1", "new"));
  await again.heard();
  assert.deepEqual(room.log.map(([type]) => type), ["event", "live", "event"]);
  assert.deepEqual(room.state, ["missed", "new"]);
});

test("r1_a_snapshot_replaces_the_state_and_is_told", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  peer.send(snapshot("40-1", 1, { state: ["anew"], reason: "trimmed", member: 8 }));
  await peer.heard();
  assert.deepEqual(room.state, ["anew"]);
  assert.equal(room.member, 8);
  assert.deepEqual(room.log.map(([type, { reason }]) => [type, reason]), [["reset", "trimmed"]]);
});

test("r1_gone_settles_a_leave_and_rejects_acts", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const act = outcome(room.act({ say: "a" }));
  const leave = outcome(room.leave());
  peer.cut();
  const again = await scene.retry(session);
  await again.next("resume");
  again.resumed({ "chat/lobby": "gone" });
  await until(() => "value" in leave);
  assert.equal(act.code, "gone");
  assert.equal(room.log.at(-1)[0], "left");
  assert.equal(session.status, "live");
});

test("r1_gone_without_a_leave_tells_the_application", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const act = outcome(room.act({ say: "a" }));
  peer.cut();
  const again = await scene.retry(session);
  again.resumed({ "chat/lobby": "gone" });
  await until(() => act.error);
  assert.equal(act.code, "gone");
  assert.deepEqual(room.log, [["left", { t: "left", room: "chat/lobby", reason: "gone" }]]);
  await assert.rejects(room.act({}), { code: "not_joined" });
  await again.heard();
  outcome(session.join("chat/lobby"));
  const { n } = await again.next("join");
  again.send({ t: "gap", room: "chat/lobby", expect: 2 });
  assert.deepEqual([n, (await again.next("join")).n], [3, 2], "the act was never applied");
});

test("r1_gone_resends_a_join_and_keeps_what_stands_behind_it", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const [act, leave] = [outcome(room.act({ say: "a" })), outcome(room.leave())];
  await settled();
  const join = outcome(session.join("chat/lobby", { data: { name: "Ada" } }));
  await settled();
  const later = outcome(room.act({ say: "b" }));
  peer.cut();
  const again = await scene.retry(session);
  assert.deepEqual((await again.next("resume")).rooms, { "chat/lobby": null }, "the join may make us another member");
  assert.deepEqual(brief(await again.heard()), ["act 2 a", "leave 3", "join 4", "act 5 b"]);
  again.resumed({ "chat/lobby": "gone" });
  await again.heard();
  assert.equal(act.code, "gone");
  assert.ok("value" in leave);
  again.send({ t: "joined", room: "chat/lobby", n: 4, member: 9, pos: "20-1", state: ["there"] });
  again.send(event("21-1", "b", { by: 9, n: 5 }));
  await until(() => later.value && join.value);
  assert.deepEqual(room.state, ["there", "b"]);
  assert.equal(join.value, room);
});

test("r1_a_join_whose_answer_was_lost_is_settled_by_the_snapshot", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  const joining = outcome(session.join("chat/lobby", { apply: fold }));
  await peer.next("join");
  peer.cut();
  const again = await scene.retry(session);
  assert.deepEqual((await again.next("resume")).rooms, { "chat/lobby": null });
  await again.next("join");
  again.resumed({ "chat/lobby": "snapshot" });
  again.send(snapshot("5-1", 1, { state: ["there"] }), event("6-1", "x"), live("6-1"));
  await until(() => joining.value);
  assert.deepEqual(joining.value.state, ["there", "x"]);
  assert.equal(joining.value.member, 7);
  assert.deepEqual(session.statuses().slice(-1), ["live"]);
});

test("r1_a_room_that_was_left_is_not_asked_for", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const leave = outcome(room.leave());
  await peer.next("leave");
  peer.send({ t: "left", room: "chat/lobby", n: 2, reason: "left" });
  await until(() => "value" in leave);
  peer.cut();
  const again = await scene.retry(session);
  assert.deepEqual((await again.next("resume")).rooms, {});
});

test("a2_leave_settles_and_the_room_can_be_joined_again", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  const leave = outcome(room.leave());
  assert.deepEqual(session.rooms, []);
  peer.send({ t: "left", room: "chat/lobby", n: 2, reason: "left" });
  await until(() => "value" in leave);
  assert.deepEqual(room.log.map(([type, { reason }]) => [type, reason]), [["left", "left"]]);
  await room.leave();
  const joining = outcome(session.join("chat/lobby"));
  assert.deepEqual(brief(await peer.heard()), ["leave 2", "join 3"]);
  peer.send({ t: "joined", room: "chat/lobby", n: 3, member: 8, pos: "30-1", state: ["later"] });
  await until(() => joining.value);
  assert.equal(joining.value, room);
  assert.deepEqual(room.state, ["later"]);
});

test("a2_being_removed_from_a_room_rejects_what_it_was_asked", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  const act = outcome(room.act({}));
  peer.send({ t: "left", room: "chat/lobby", reason: "expired" });
  await until(() => act.error);
  assert.equal(act.code, "expired");
  assert.deepEqual(session.rooms, []);
});

test("a4_a_refused_join_rejects_with_its_code", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  const joining = outcome(session.join("chat/lobby", { data: { name: "" } }));
  await peer.next("join");
  peer.send(result(1, "1-1", { ok: false, code: "bad_name", message: "A name has 1 to 40 characters." }));
  await until(() => joining.error);
  assert.equal(joining.code, "bad_name");
  outcome(session.join("chat/lobby", { data: { name: "Ada" } }));
  assert.equal((await peer.next("join")).n, 2);
});

test("a4_a_refused_join_leaves_a_later_one_alone", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  const first = outcome(session.join("chat/lobby"));
  await peer.next("join");
  outcome(session.rooms[0].leave());
  await peer.next("leave");
  const second = outcome(session.join("chat/lobby"));
  await until(() => first.error);
  await peer.next("join");
  peer.send(result(1, "1-1", { ok: false, code: "full" }), { t: "left", room: "chat/lobby", n: 2, reason: "left" });
  peer.send({ t: "joined", room: "chat/lobby", n: 3, member: 4, pos: "5-1", state: ["in"] });
  await until(() => second.value);
  assert.equal(first.code, "left");
  assert.deepEqual(second.value.state, ["in"]);
});

test("joining_a_room_that_we_are_in_is_the_same_room", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  assert.equal(await session.join("chat/lobby"), room);
  assert.deepEqual(await peer.heard(), []);
});

test("two_who_wait_for_one_join_both_get_it", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  const [first, second] = [outcome(session.join("chat/lobby")), outcome(session.join("chat/lobby"))];
  await peer.next("join");
  peer.send({ t: "joined", room: "chat/lobby", n: 1, member: 1, pos: "1-1", state: null });
  await until(() => first.value && second.value);
  assert.equal(first.value, second.value);
});

test("abort_of_a_join_ends_the_wait_and_leaves_again", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  const stop = new AbortController();
  const joining = outcome(session.join("chat/lobby", { signal: stop.signal }));
  await peer.next("join");
  stop.abort();
  await until(() => joining.error);
  assert.equal(joining.error.name, "AbortError");
  assert.equal((await peer.next("leave")).n, 2);
  peer.send(
    { t: "joined", room: "chat/lobby", n: 1, member: 1, pos: "1-1", state: null },
    { t: "left", room: "chat/lobby", n: 2, reason: "left" },
  );
  await peer.heard();
  assert.deepEqual(session.rooms, []);
  await assert.rejects(session.join("chat/lobby", { signal: stop.signal }), { name: "AbortError" });
  assert.deepEqual(await peer.heard(), []);
});

test("signals_are_told_and_change_nothing", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const { state } = room;
  peer.send({ t: "signal", room: "chat/lobby", data: { typing: 3, on: true } });
  await peer.heard();
  assert.deepEqual(room.log[0][1].data, { typing: 3, on: true });
  assert.equal(room.state, state);
});

test("state_is_a_new_reference_for_a_change_and_the_same_one_otherwise", async (t) => {
  const { peer, room } = await (await stage(t)).joined(undefined, {
    apply: (state, { data }) => (data === "same" ? state : [...state, data]),
  });
  const { state, pending } = room;
  let changes = 0;
  const off = room.subscribe(() => changes++);
  peer.send(event("11-1", "same"));
  await peer.heard();
  assert.equal(room.state, state);
  assert.equal(room.pending, pending);
  peer.send(event("12-1", "new"));
  await peer.heard();
  assert.notEqual(room.state, state);
  assert.deepEqual(state, []);
  off();
  const before = changes;
  peer.send(event("13-1", "more"));
  await peer.heard();
  assert.equal(changes, before);
});

test("for_await_yields_every_event_until_we_leave", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const seen = [];
  const loop = (async () => {
    for await (const { data } of room) seen.push(data);
  })();
  await settled();
  for (const pos of [11, 12, 13]) peer.send(event(`${pos}-1`, pos));
  outcome(room.leave());
  peer.send({ t: "left", room: "chat/lobby", n: 2, reason: "left" });
  await loop;
  assert.deepEqual(seen, [11, 12, 13]);
});

test("for_await_that_falls_too_far_behind_ends_with_an_error", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const loop = room[Symbol.asyncIterator]();
  for (let pos = 11; pos < 1020; pos++) peer.send(event(`${pos}-1`, pos));
  await peer.heard();
  await assert.rejects(loop.next(), { code: "too_slow" });
});

test("abort_ends_a_join_that_waits_for_another_tab", async (t) => {
  const scene = await stage(t);
  const storage = new Store();
  storage.setItem(`outlast ${scene.url.replace("http", "ws")}/v1/connect`, JSON.stringify({ sid: "sid-1", key: "key-1", rooms: {} }));
  scene.locks.claim = () => new Promise(() => {});
  const stop = new AbortController();
  const joining = outcome(scene.connect({ storage }).join("chat/lobby", { signal: stop.signal }));
  stop.abort(new Error("enough"));
  await until(() => joining.error);
  assert.equal(joining.error.message, "enough");
});

test("abort_ends_a_for_await", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const stop = new AbortController();
  const seen = [];
  const loop = outcome(
    (async () => {
      for await (const { data } of room.events({ signal: stop.signal })) seen.push(data);
    })(),
  );
  peer.send(event("11-1", "a"));
  await until(() => seen.length === 1);
  stop.abort(new Error("enough"));
  await until(() => loop.error);
  assert.equal(loop.error.message, "enough");
  peer.send(event("12-1", "b"));
  await peer.heard();
  assert.deepEqual(seen, ["a"]);
});

test("abort_ends_the_wait_for_a_leave_and_not_the_leave", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const stop = new AbortController();
  const leaving = outcome(room.leave({ signal: stop.signal }));
  const { n } = await peer.next("leave");
  stop.abort(new Error("enough"));
  await until(() => leaving.error);
  peer.send({ t: "left", room: "chat/lobby", n, reason: "left" });
  await until(() => room.log.length);
  assert.equal(room.joined, false);
  await assert.rejects(room.leave({ signal: AbortSignal.abort(new Error("before")) }), { message: "before" });
});

test("parts_of_a_page_share_a_room_and_the_last_one_leaves_it", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  assert.equal(await session.join("chat/lobby"), room);
  await room.leave();
  assert.deepEqual(await peer.heard(), []);
  assert.deepEqual(session.rooms, [room]);
  outcome(room.act({ say: "still here" }));
  const leave = outcome(room.leave());
  await assert.rejects(room.act({}), { code: "not_joined" });
  assert.deepEqual(brief(await peer.heard()), ["act 2 still here", "leave 3"]);
  peer.send({ t: "left", room: "chat/lobby", n: 3, reason: "left" });
  await until(() => "value" in leave);
});

test("a_part_that_leaves_and_joins_in_one_task_stays", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  const [leave, join] = [outcome(room.leave()), outcome(session.join("chat/lobby"))];
  await until(() => "value" in leave && join.value);
  assert.equal(join.value, room);
  assert.deepEqual(await peer.heard(), []);
  assert.equal(room.member, 7);
});

test("a_join_that_is_aborted_takes_the_room_from_nobody_else", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  const join = outcome(session.join("chat/lobby"));
  const controller = new AbortController();
  const aborted = outcome(session.join("chat/lobby", { signal: controller.signal }));
  await peer.next("join");
  controller.abort();
  await until(() => aborted.error);
  peer.send({ t: "joined", room: "chat/lobby", n: 1, member: 4, pos: "5-1", state: [] });
  await until(() => join.value);
  assert.deepEqual(await peer.heard(), []);
});

test("a_room_that_is_shared_has_one_apply", async (t) => {
  const { session, room } = await (await stage(t)).joined();
  await assert.rejects(session.join("chat/lobby", { apply: (state) => state }), { code: "other_apply" });
  assert.equal(await session.join("chat/lobby"), room);
});

test("an_apply_that_throws_is_told_and_a_snapshot_is_fetched", async (t) => {
  const reported = t.mock.method(console, "error", () => {});
  const scene = await stage(t);
  let breaks = true;
  const apply = (state, { data }) => {
    if (breaks) throw new Error("a bug");
    return [...state, data];
  };
  const { session, peer, room } = await scene.joined({}, { apply });
  peer.send(event("11-1", "a", { by: 9 }), event("12-1", "b", { by: 9 }));
  await peer.heard();
  assert.deepEqual(session.log.filter(([type]) => type === "error").map(([, { message }]) => message), ["a bug"]);
  assert.deepEqual(room.state, [], "that of before");
  assert.equal(reported.mock.callCount(), 1);
  await scene.clock.advance(0);
  const second = await scene.accept();
  assert.deepEqual((await second.next("resume")).rooms, { "chat/lobby": null });
  second.resumed({ "chat/lobby": "snapshot" });
  breaks = false;
  second.send(snapshot("12-1", 1, { state: ["a", "b"] }), live("12-1"), event("13-1", "c", { by: 9 }));
  await until(() => room.state.length === 3);
  assert.deepEqual(room.state, ["a", "b", "c"]);
  assert.equal(session.status, "live");
});

test("an_apply_that_always_throws_makes_no_storm_of_sockets", async (t) => {
  t.mock.method(console, "error", () => {});
  const scene = await stage(t);
  const apply = () => {
    throw new Error("a bug");
  };
  let { peer } = await scene.joined({}, { apply });
  const waits = [];
  for (let off = 11; off < 16; off++) {
    peer.send(event(`${off}-1`, "a", { by: 9 }));
    await peer.heard();
    const before_ms = scene.clock.now();
    while (await scene.quiet()) await scene.clock.advance(500);
    waits.push(scene.clock.now() - before_ms);
    peer = await scene.accept();
    await peer.next("resume");
    peer.resumed({ "chat/lobby": "snapshot" });
    peer.send(snapshot(`${off}-1`, 1), live(`${off}-1`));
    await peer.heard();
  }
  assert.deepEqual(waits, [500, 2_000, 4_000, 8_000, 16_000]);
});
