import assert from "node:assert/strict";
import test from "node:test";
import { brief, event, live, outcome, snapshot, stage, until } from "./stage.js";

const move = { t: "move", after_ms: 300, by_ms: 30_000 };

/** A session in a room that was told to move, and its second connection, which has sent its resume. */
async function moving(t) {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  session.log.length = 0;
  peer.send(move);
  await peer.heard();
  await scene.clock.advance(300);
  const second = await scene.accept();
  const resume = await second.next("resume");
  return { scene, session, first: peer, second, resume, room };
}

test("d3_moves_after_after_ms_while_the_first_socket_delivers", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  peer.send(move);
  await peer.heard();
  await scene.clock.advance(299);
  assert.ok(await scene.quiet());
  await scene.clock.advance(1);
  const second = await scene.accept();
  assert.deepEqual((await second.next("resume")).rooms, { "chat/lobby": "10-1" });
  peer.send(event("11-1", "from the first"));
  await peer.heard();
  assert.deepEqual(room.state, ["from the first"]);
  assert.equal(session.status, "live");
  assert.ok(!peer.closed);
});

test("d3_no_event_is_lost_or_told_twice", async (t) => {
  const { session, first, second, room } = await moving(t);
  first.send(event("11-1", 11), event("12-1", 12));
  await first.heard();
  second.resumed({ "chat/lobby": "replay" });
  second.send(event("11-1", 11), event("12-1", 12), event("13-1", 13));
  await second.heard();
  first.send(event("13-1", 13), event("14-1", 14));
  await first.heard();
  second.send(live("13-1"), event("14-1", 14), event("15-1", 15));
  await second.heard();
  assert.deepEqual(room.state, [11, 12, 13, 14, 15]);
  await until(() => first.closed);
  assert.deepEqual(session.statuses(), [], "it never left live");
});

test("d3_the_first_socket_is_dropped_when_the_second_is_live", async (t) => {
  const { first, second } = await moving(t);
  second.resumed({ "chat/lobby": "replay" });
  await second.heard();
  assert.ok(!first.closed);
  second.send(live("10-1"));
  await until(() => first.closed);
});

test("d3_being_taken_over_by_ourselves_is_no_news", async (t) => {
  const { scene, session, first, second } = await moving(t);
  first.bye(4002);
  await until(() => first.closed);
  second.resumed({ "chat/lobby": "replay" });
  second.send(live("10-1"));
  await second.heard();
  await scene.clock.advance(20_000);
  assert.deepEqual(session.log, []);
  assert.ok(await scene.quiet());
});

test("d3_actions_go_to_the_second_from_its_resume_on", async (t) => {
  const { first, second, room } = await moving(t);
  const act = outcome(room.act({ say: "a" }));
  assert.deepEqual(brief(await second.heard()), ["act 2 a"]);
  assert.deepEqual(await first.heard(), []);
  second.resumed({ "chat/lobby": "replay" });
  second.send(event("11-1", "a", { by: 7, n: 2 }), live("11-1"));
  await until(() => act.value);
});

test("d3_what_the_first_says_of_actions_counts_no_more", async (t) => {
  const { first, second, room } = await moving(t);
  const act = outcome(room.act({ say: "a" }));
  first.send({ t: "error", code: "not_joined", message: "", room: "chat/lobby", n: 2 }, { t: "gap", room: "chat/lobby", expect: 1 });
  await first.heard();
  assert.deepEqual(act, {});
  assert.deepEqual(brief(await second.heard()), ["act 2 a"]);
});

test("d3_a_snapshot_of_what_the_first_has_told_is_skipped", async (t) => {
  const { first, second, room } = await moving(t);
  first.send(event("11-1", 11), event("12-1", 12));
  await first.heard();
  second.resumed({ "chat/lobby": "snapshot" });
  second.send(snapshot("11-1", 1, { state: ["all up to 11"], reason: "shorter" }));
  second.send(event("12-1", 12), live("12-1"), event("13-1", 13));
  await second.heard();
  assert.deepEqual(room.state, [11, 12, 13]);
  assert.ok(room.log.every(([type]) => type !== "reset"));
});

test("d3_a_second_socket_that_fails_is_tried_again_and_the_first_goes_on", async (t) => {
  const { scene, session, first, second, room } = await moving(t);
  second.cut();
  const act = outcome(room.act({ say: "a" }));
  assert.deepEqual(brief([await first.next("act")]), ["act 2 a"], "actions are back on the first");
  first.send(event("11-1", "a", { by: 7, n: 2 }));
  await until(() => act.value);
  await scene.clock.advance(500);
  const third = await scene.accept();
  assert.deepEqual((await third.next("resume")).rooms, { "chat/lobby": "11-1" });
  third.resumed({ "chat/lobby": "replay" });
  third.send(live("11-1"));
  await until(() => first.closed);
  assert.deepEqual(session.statuses(), []);
});

test("d3_a_busy_second_gateway_says_when_to_try_again", async (t) => {
  const { scene, session, second } = await moving(t);
  second.send({ t: "busy", retry_ms: 4321 });
  await until(() => second.closed);
  await scene.clock.advance(4320);
  assert.ok(await scene.quiet());
  await scene.clock.advance(1);
  await (await scene.accept()).next("resume");
  assert.deepEqual(session.statuses(), []);
});

test("d3_taken_over_after_a_lost_second_socket_still_resumes", async (t) => {
  const { scene, session, first, second, room } = await moving(t);
  outcome(room.act({ say: "a" }));
  second.cut();
  await first.next("act");
  first.bye(4002);
  const third = await scene.retry(session, 1000);
  await third.next("resume");
});

test("d3_moved_at_by_ms_resumes", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.joined();
  peer.send({ ...move, after_ms: 60_000 });
  await peer.heard();
  peer.bye(4000, { retry_ms: 50 });
  await until(() => session.status === "offline");
  await scene.clock.advance(50);
  await (await scene.accept()).next("resume");
  await scene.clock.advance(10_000);
  assert.ok(await scene.quiet(), "the move is not made a second time");
});

test("d3_the_first_may_go_before_the_second_is_live", async (t) => {
  const { session, first, second, room } = await moving(t);
  first.cut();
  second.resumed({ "chat/lobby": "replay" });
  second.send(event("11-1", 11), live("11-1"));
  await second.heard();
  assert.deepEqual(room.state, [11]);
  assert.deepEqual(session.statuses(), []);
});

test("d3_a_second_told_to_move_moves_on", async (t) => {
  const { scene, first, second } = await moving(t);
  second.resumed({ "chat/lobby": "replay" });
  second.send(live("10-1"), move);
  await second.heard();
  await until(() => first.closed);
  await scene.clock.advance(300);
  await (await scene.accept()).next("resume");
});

test("d3_a_join_on_its_way_is_not_undone_by_a_resume_that_came_before_it", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  const joining = outcome(session.join("chat/lobby"));
  await peer.next("join");
  peer.send(move);
  await peer.heard();
  await scene.clock.advance(300);
  const second = await scene.accept();
  assert.deepEqual((await second.next("resume")).rooms, { "chat/lobby": null });
  await second.next("join");
  peer.send({ t: "joined", room: "chat/lobby", n: 1, member: 7, pos: "10-1", state: [] });
  await until(() => joining.value);
  second.resumed({ "chat/lobby": "gone" });
  second.send(event("11-1", 11));
  await second.heard();
  assert.deepEqual(session.rooms, [joining.value]);
  assert.equal(session.status, "live");
});

test("d3_an_outcome_that_the_first_tells_late_is_no_news", async (t) => {
  const { session, first, second, room } = await moving(t);
  const leave = outcome(room.leave());
  await second.next("leave");
  const join = outcome(session.join("chat/lobby", { apply: (state) => state }));
  await second.next("join");
  const act = outcome(room.act({ say: "a" }));
  second.resumed({ "chat/lobby": "snapshot" });
  second.send(snapshot("13-1", 3, { member: 8 }));
  await until(() => join.value && "value" in leave);
  room.log.length = 0;
  first.send({ t: "left", room: "chat/lobby", n: 2, reason: "left" });
  first.send({ t: "joined", room: "chat/lobby", n: 3, member: 8, pos: "13-1", state: ["late"] });
  first.send({ t: "left", room: "chat/lobby", reason: "expired" });
  await first.heard();
  assert.deepEqual([act, room.log, room.member], [{}, [], 8]);
});

test("h6_expiry_during_a_move_asks_for_a_token", async (t) => {
  const scene = await stage(t);
  let asked = 0;
  const { peer } = await scene.live({ token: () => `token-${++asked}` });
  peer.send(move);
  await peer.heard();
  await scene.clock.advance(300);
  assert.equal((await (await scene.accept()).next("resume")).token, "token-2");
});
