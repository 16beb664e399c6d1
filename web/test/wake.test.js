/** Sleeping, waking up, and losing the network (D2). */
import assert from "node:assert/strict";
import test from "node:test";
import { event, live, outcome, settled, stage, until } from "./stage.js";

/** Nothing ran, and the clock went on: a lid was closed. */
const sleep = (scene, ms) => (scene.clock.now_ms += ms);

test("d2_waking_up_replaces_a_socket_that_may_have_died_asleep", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  session.log.length = 0;
  sleep(scene, 30_000);
  scene.wake();
  const again = await scene.accept();
  assert.deepEqual((await again.next("resume")).rooms, { "chat/lobby": "10-1" });
  peer.send(event("11-1", "from the first, which was alive"));
  await until(() => room.state.length === 1);
  again.resumed({ "chat/lobby": "replay" });
  again.send(event("11-1", "from the first, which was alive"), event("12-1", "b"), live("12-1"));
  await until(() => peer.closed);
  assert.deepEqual(room.state, ["from the first, which was alive", "b"]);
  assert.deepEqual(session.log, [], "never away");
});

test("d2_waking_up_from_a_short_nap_leaves_the_socket_alone", async (t) => {
  const scene = await stage(t);
  await scene.live();
  sleep(scene, 10_000);
  scene.wake();
  assert.ok(await scene.quiet());
});

test("d2_waking_up_tries_anew_what_hangs", async (t) => {
  const scene = await stage(t);
  scene.connect();
  const first = await scene.accept();
  await first.next("open");
  scene.wake();
  assert.ok(await scene.quiet(), "it may be about to answer");
  sleep(scene, 11_000);
  scene.wake();
  const second = await scene.accept();
  await second.next("open");
  await until(() => first.closed);
});

test("d2_a_lost_network_is_told_at_once_and_tried_when_it_is_back", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  session.log.length = 0;
  scene.offline();
  assert.equal(session.status, "offline");
  await until(() => peer.closed);
  const act = outcome(room.act({ say: "meanwhile" }));
  scene.wake();
  const again = await scene.accept();
  await again.next("resume");
  assert.equal((await again.next("act")).n, 2);
  again.resumed({ "chat/lobby": "replay" });
  again.send(live("10-1"), event("11-1", "meanwhile", { by: 7, n: 2 }));
  await until(() => act.value);
  assert.deepEqual(session.statuses(), ["offline", "connecting", "catching-up", "live"]);
});

test("d2_a_network_lost_in_the_middle_of_a_move_loses_both_sockets", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.joined();
  peer.send({ t: "move", after_ms: 100, by_ms: 5000 });
  await peer.heard();
  await scene.clock.advance(100);
  const second = await scene.accept();
  await second.next("resume");
  scene.offline();
  assert.equal(session.status, "offline");
  await until(() => peer.closed && second.closed);
  scene.wake();
  await (await scene.accept()).next("resume");
});

test("d2_offline_while_nothing_is_connected_changes_nothing", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.cut();
  await until(() => session.status === "offline");
  scene.offline();
  await settled();
  assert.equal(session.status, "offline");
  scene.wake();
  await (await scene.accept()).next("resume");
});

test("s2_a_session_that_expired_while_asleep_is_told_with_how_long_that_was", async (t) => {
  const scene = await stage(t);
  const { session, room } = await scene.joined();
  const act = outcome(room.act({ say: "before the lid was closed" }));
  sleep(scene, 3_600_000);
  scene.wake();
  const gone = await scene.accept();
  await gone.next("resume");
  gone.bye(4001);
  await until(() => act.error);
  assert.equal(act.code, "unknown");
  const [, reset] = session.log.find(([type]) => type === "reset");
  assert.deepEqual(reset, { code: 4001, reason: "expired", away_ms: 3_600_000 });
  const fresh = await scene.retry(session);
  await fresh.next("open");
  fresh.welcome({ sid: "sid-2" });
  assert.equal((await fresh.next("join")).n, 1);
});

test("s4_a_session_lost_without_a_pause_is_not_called_expired", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.cut();
  const gone = await scene.retry(session);
  await gone.next("resume");
  gone.bye(4001);
  await until(() => session.log.some(([type]) => type === "reset"));
  const [, reset] = session.log.find(([type]) => type === "reset");
  assert.deepEqual(reset, { code: 4001, reason: "because 4001", away_ms: 500 });
});

test("f1_frames_that_waited_out_a_sleep_do_not_hide_it", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  sleep(scene, 3_600_000);
  peer.send({ t: "ping" }, event("11-1", "long ago"));
  await until(() => peer.closed);
  assert.deepEqual(room.state, []);
  const gone = await scene.retry(session);
  await gone.next("resume");
  gone.bye(4001);
  await until(() => session.log.some(([type]) => type === "reset"));
  const [, reset] = session.log.find(([type]) => type === "reset");
  assert.equal(reset.reason, "expired");
  assert.ok(reset.away_ms >= 3_600_000);
});
