import assert from "node:assert/strict";
import test from "node:test";
import { brief, event, live, outcome, result, settled, snapshot, stage, until } from "./stage.js";

const say = (text) => ({ say: text });

test("a2_first_event_by_ourselves_settles_its_act_and_is_delivered", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const act = outcome(room.act(say("hello")));
  assert.deepEqual(brief(await peer.heard()), ["act 2 hello"]);
  peer.send(event("11-1", { said: "other" }, { by: 3, n: 2 }), event("12-1", { said: "hello" }, { by: 7, n: 2 }));
  await until(() => act.value);
  assert.deepEqual(act.value, { n: 2, pos: "12-1", data: { said: "hello" } });
  assert.deepEqual(room.state, [{ said: "other" }, { said: "hello" }]);
  assert.deepEqual(room.log.map(([type, { pos }]) => `${type} ${pos}`), ["event 11-1", "event 12-1"]);
});

test("a2_no_outcome_before_the_server_gives_one", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const act = outcome(room.act(say("hello")));
  peer.send(event("11-1", {}, { by: 7, n: 1 }), event("12-1", {}, { by: 7 }));
  await peer.heard();
  assert.deepEqual(act, {});
  assert.deepEqual(room.pending.map(({ n, data }) => [n, data]), [[2, say("hello")]]);
});

test("a2_result_settles_all_acts_up_to_its_n", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  peer.send(result(3, "11-1", { data: "of b" }));
  await until(() => acts[1].value);
  assert.deepEqual(acts[0].value, { n: 2, pos: "11-1", data: undefined });
  assert.deepEqual(acts[1].value, { n: 3, pos: "11-1", data: "of b" });
  assert.deepEqual(acts[2], {});
});

test("a2_state_and_pending_change_in_one_step", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  outcome(room.act(say("hello")));
  const seen = [];
  room.subscribe(() => seen.push(room.state.length + room.pending.length));
  peer.send(event("11-1", { said: "hello" }, { by: 7, n: 2 }));
  await peer.heard();
  assert.deepEqual(seen, [1]);
});

test("a3_numbers_joins_acts_and_leaves_of_each_room_for_the_sessions_life", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  outcome(room.act(say("a")));
  outcome(room.leave());
  await settled();
  outcome(session.join("chat/lobby"));
  outcome(session.join("game/a"));
  await settled();
  assert.deepEqual(
    (await peer.heard()).map(({ t, room, n }) => `${t} ${room} ${n}`),
    ["act chat/lobby 2", "leave chat/lobby 3", "join chat/lobby 4", "join game/a 1"],
  );
});

test("a3_resends_unsettled_in_order_behind_resume", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  peer.send(event("11-1", { said: "a" }, { by: 7, n: 2 }));
  await until(() => acts[0].value);
  peer.cut();
  const again = await scene.retry(session);
  assert.deepEqual(await again.next("resume"), { t: "resume", sid: "sid-1", key: "key-1", rooms: { "chat/lobby": "11-1" } });
  assert.deepEqual(brief(await again.heard()), ["act 3 b", "act 4 c"], "sent without waiting for resumed");
  again.resumed({ "chat/lobby": "replay" });
  again.send(event("12-1", { said: "b" }, { by: 7, n: 3 }), event("13-1", { said: "c" }, { by: 7, n: 4 }), live("13-1"));
  await until(() => acts[2].value);
  assert.deepEqual(room.state, [{ said: "a" }, { said: "b" }, { said: "c" }]);
  assert.deepEqual(await again.heard(), []);
});

test("a3_acts_made_while_offline_go_out_with_the_resume", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  peer.cut();
  await until(() => session.status === "offline");
  outcome(room.act(say("typed while away")));
  const again = await scene.retry(session);
  await again.next("resume");
  assert.deepEqual(brief(await again.heard()), ["act 2 typed while away"]);
});

test("a3_nothing_goes_out_between_open_and_welcome", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  outcome(session.join("chat/lobby"));
  const lost = await scene.accept();
  assert.deepEqual((await lost.heard()).map(({ t }) => t), ["open"]);
  lost.cut();
  const peer = await scene.retry(session);
  await peer.next("open");
  peer.welcome();
  assert.deepEqual(brief([await peer.next("join")]), ["join 1"]);
});

test("a4_refusal_rejects_with_its_code_and_uses_up_its_n", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const refused = outcome(room.act(say("")));
  peer.send(result(2, "11-1", { ok: false, code: "too_short", message: "Say something." }));
  await until(() => refused.error);
  assert.equal(refused.code, "too_short");
  assert.equal(refused.error.message, "Say something.");
  outcome(room.act(say("b")));
  assert.deepEqual(brief(await peer.heard()), ["act 2", "act 3 b"]);
});

test("a4_refusal_leaves_earlier_acts_unsettled", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const [first, second] = ["a", "b"].map((text) => outcome(room.act(say(text))));
  peer.send(result(3, "11-1", { ok: false, code: "no" }));
  await until(() => second.error);
  assert.deepEqual(first, {});
});

for (const code of ["not_joined", "forbidden", "too_many_rooms", "bad_room"]) {
  test(`a5_${code}_frees_its_n_for_the_next_act`, async (t) => {
    const { peer, room } = await (await stage(t)).joined();
    const acts = ["a", "b"].map((text) => outcome(room.act(say(text))));
    await peer.heard();
    peer.send({ t: "error", code, message: "no", room: "chat/lobby", n: 3 });
    await until(() => acts[1].error);
    assert.equal(acts[1].code, code);
    outcome(room.act(say("c")));
    assert.deepEqual(brief(await peer.heard()), ["act 3 c"]);
    assert.deepEqual(acts[0], {});
  });
}

test("a5_acts_behind_a_freed_n_bear_it_after_the_gap_they_make", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  await peer.heard();
  peer.send({ t: "error", code: "forbidden", message: "no", room: "chat/lobby", n: 2 });
  assert.deepEqual(await peer.heard(), []);
  peer.send({ t: "gap", room: "chat/lobby", expect: 2 });
  assert.deepEqual(brief(await peer.heard()), ["act 2 b", "act 3 c"]);
  assert.deepEqual([acts[0].code, acts[1], acts[2]], ["forbidden", {}, {}]);
});

test("a5_errors_for_many_acts_meet_each_its_own", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  await peer.heard();
  for (const n of [2, 3]) peer.send({ t: "error", code: `no_${n}`, message: "no", room: "chat/lobby", n });
  await peer.heard();
  assert.deepEqual(acts.map(({ code }) => code), ["no_2", "no_3", undefined]);
  peer.send({ t: "error", code: "no_4", message: "no", room: "chat/lobby", n: 4 });
  await peer.heard();
  outcome(room.act(say("d")));
  assert.deepEqual(brief(await peer.heard()), ["act 2 d"], "the lowest number is free again");
});

test("a5_an_error_about_an_older_copy_of_an_act_does_not_give_it_up", async (t) => {
  const scene = await stage(t);
  const { peer, room } = await scene.joined();
  const acts = ["a", "b"].map((text) => outcome(room.act(say(text))));
  await peer.heard();
  peer.send({ t: "error", code: "busy", message: "", room: "chat/lobby", n: 2, retry_ms: 100 });
  await peer.heard();
  await scene.clock.advance(100);
  assert.deepEqual(brief(await peer.heard()), ["act 2 a", "act 3 b"]);
  peer.send({ t: "error", code: "not_joined", message: "", room: "chat/lobby", n: 3 });
  await peer.heard();
  assert.deepEqual(acts[1], {}, "the second copy may have been taken");
  peer.send({ t: "error", code: "not_joined", message: "", room: "chat/lobby", n: 3 });
  await until(() => acts[1].error);
  assert.equal(acts[1].code, "not_joined");
});

test("a5_an_act_behind_a_join_that_has_to_wait_waits_with_it", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  outcome(room.leave());
  await settled();
  outcome(session.join("chat/lobby"));
  await settled();
  const act = outcome(room.act(say("a")));
  await peer.heard();
  peer.send({ t: "error", code: "busy", message: "", room: "chat/lobby", n: 3, retry_ms: 100 });
  peer.send({ t: "error", code: "not_joined", message: "", room: "chat/lobby", n: 4 });
  await peer.heard();
  assert.deepEqual(act, {});
  await scene.clock.advance(100);
  assert.deepEqual(brief(await peer.heard()), ["join 3", "act 4 a"]);
});

test("a5_a_join_that_is_not_taken_rejects_and_can_be_tried_again", async (t) => {
  const { session, peer } = await (await stage(t)).live();
  const joining = outcome(session.join("chat/vip"));
  await peer.next("join");
  peer.send({ t: "error", code: "forbidden", message: "not for you", room: "chat/vip", n: 1 });
  await until(() => joining.error);
  assert.equal(joining.code, "forbidden");
  assert.deepEqual(session.rooms, []);
  outcome(session.join("chat/vip"));
  assert.deepEqual(brief([await peer.next("join")]), ["join 1"]);
});

for (const code of ["rate_limited", "busy"]) {
  test(`a5_${code}_resends_all_from_n_on_after_its_retry_ms`, async (t) => {
    const scene = await stage(t);
    const { peer, room } = await scene.joined();
    for (const text of ["a", "b", "c"]) outcome(room.act(say(text)));
    await peer.heard();
    peer.send(
      { t: "error", code, message: "later", room: "chat/lobby", n: 3, retry_ms: 700 },
      { t: "error", code, message: "later", room: "chat/lobby", n: 4, retry_ms: 700 },
    );
    await peer.heard();
    outcome(room.act(say("d")));
    await scene.clock.advance(699);
    assert.deepEqual(await peer.heard(), []);
    await scene.clock.advance(1);
    assert.deepEqual(brief(await peer.heard()), ["act 3 b", "act 4 c", "act 5 d"]);
  });
}

test("a5_a_gap_does_not_cut_a_wait_short", async (t) => {
  const scene = await stage(t);
  const { peer, room } = await scene.joined();
  for (const text of ["a", "b"]) outcome(room.act(say(text)));
  await peer.heard();
  peer.send(
    { t: "error", code: "busy", message: "later", room: "chat/lobby", n: 3, retry_ms: 700 },
    { t: "gap", room: "chat/lobby", expect: 2 },
  );
  assert.deepEqual(await peer.heard(), []);
  await scene.clock.advance(700);
  assert.deepEqual(brief(await peer.heard()), ["act 2 a", "act 3 b"]);
});

test("a5_a_resume_ends_the_wait", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  outcome(room.act(say("a")));
  await peer.heard();
  peer.send({ t: "error", code: "busy", message: "later", room: "chat/lobby", n: 2, retry_ms: 900_000 });
  await peer.heard();
  peer.cut();
  const again = await scene.retry(session);
  await again.next("resume");
  assert.deepEqual(brief(await again.heard()), ["act 2 a"]);
});

test("a5_an_error_about_a_settled_act_changes_nothing", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const act = outcome(room.act(say("a")));
  peer.send(event("11-1", {}, { by: 7, n: 2 }), { t: "error", code: "not_joined", message: "", room: "chat/lobby", n: 2 });
  await peer.heard();
  assert.ok(act.value);
  outcome(room.act(say("b")));
  assert.deepEqual(brief(await peer.heard()), ["act 3 b"]);
});

test("a1_gap_resends_from_the_number_expected", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  for (const text of ["a", "b", "c"]) outcome(room.act(say(text)));
  await peer.heard();
  peer.send({ t: "gap", room: "chat/lobby", expect: 3 });
  assert.deepEqual(brief(await peer.heard()), ["act 3 b", "act 4 c"]);
});

test("a1_gap_below_what_is_unsettled_renumbers_it", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  peer.send(event("11-1", {}, { by: 7, n: 2 }));
  await peer.heard();
  peer.send({ t: "gap", room: "chat/lobby", expect: 1 });
  assert.deepEqual(brief(await peer.heard()), ["act 1 b", "act 2 c"]);
  peer.send(event("12-1", {}, { by: 7, n: 1 }));
  await until(() => acts[1].value);
  outcome(room.act(say("d")));
  assert.deepEqual(brief(await peer.heard()), ["act 3 d"]);
});

test("a1_gap_below_what_was_settled_numbers_on_from_there", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  const left = outcome(room.leave());
  assert.deepEqual(brief(await peer.heard()), ["leave 2"]);
  peer.send({ t: "left", room: "chat/lobby", n: 2, reason: "left" });
  await until(() => "value" in left);

  // The store has lost all that it knew of us there, and our log had nothing that could show it.
  const again = session.join("chat/lobby", { data: { name: "Ada" } });
  assert.deepEqual(brief(await peer.heard()), ["join 3"]);
  peer.send({ t: "gap", room: "chat/lobby", expect: 1 });
  assert.deepEqual(brief(await peer.heard()), ["join 1"]);
  peer.send({ t: "joined", room: "chat/lobby", n: 1, member: 9, pos: "1-5", state: [] });
  const act = outcome((await again).act(say("hello")));
  assert.deepEqual(brief(await peer.heard()), ["act 2 hello"]);
  peer.send(event("2-5", {}, { by: 9, n: 2 }));
  await until(() => act.value);
});

test("a1_gap_closes_the_hole_that_a_settled_act_left", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  for (const text of ["a", "b", "c"]) outcome(room.act(say(text)));
  peer.send(event("11-1", {}, { by: 7, n: 3 }));
  await peer.heard();
  peer.send({ t: "gap", room: "chat/lobby", expect: 3 });
  assert.deepEqual(brief(await peer.heard()), ["act 3 c"]);
});

test("a1_gap_about_nothing_of_ours_is_ignored", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  peer.send({ t: "gap", room: "chat/lobby", expect: 1 });
  await peer.heard();
  outcome(room.act(say("a")));
  assert.deepEqual(brief(await peer.heard()), ["act 2 a"]);
});

test("a10_gap_behind_left_says_where_to_number_on", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined();
  const left = [];
  room.on("left", ({ reason }) => left.push(reason));
  const act = outcome(room.act(say("a")));
  await peer.heard();
  peer.send({ t: "left", room: "chat/lobby", reason: "lost" }, { t: "gap", room: "chat/lobby", expect: 1 });
  await until(() => act.error);
  assert.deepEqual([act.code, left], ["lost", ["lost"]]);
  const again = session.join("chat/lobby", { data: { name: "Ada" } });
  assert.deepEqual(brief(await peer.heard()), ["join 1"], "without a detour");
  peer.send({ t: "joined", room: "chat/lobby", n: 1, member: 9, pos: "1-5", state: [] });
  await again;
});

test("a9_left_settles_what_was_asked_before_it", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const act = outcome(room.act(say("a")));
  const left = outcome(room.leave());
  assert.deepEqual(brief(await peer.heard()), ["act 2 a", "leave 3"]);
  peer.send({ t: "left", room: "chat/lobby", n: 3, reason: "left" });
  await until(() => "value" in left);
  assert.equal(act.code, "unknown");
});

test("r5_snapshot_settles_up_to_its_n_with_outcome_unknown", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  peer.cut();
  const again = await scene.retry(session);
  await again.next("resume");
  assert.deepEqual(brief(await again.heard()), ["act 2 a", "act 3 b", "act 4 c"]);
  again.resumed({ "chat/lobby": "snapshot" });
  again.send(snapshot("40-1", 3, { state: ["new"], reason: "trimmed" }), live("40-1"));
  await until(() => acts[1].error);
  assert.deepEqual(acts.map(({ code }) => code), ["unknown", "unknown", undefined]);
  assert.deepEqual(room.state, ["new"]);
  assert.deepEqual(await again.heard(), [], "the rest is on its way already");
  outcome(room.act(say("d")));
  assert.deepEqual(brief(await again.heard()), ["act 5 d"]);
});

test("r5_after_diverged_numbers_on_behind_snapshot_n", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const acts = ["a", "b", "c"].map((text) => outcome(room.act(say(text))));
  peer.send(event("11-1", {}, { by: 7, n: 2 }));
  await until(() => acts[0].value);
  peer.cut();
  const again = await scene.retry(session);
  await again.next("resume");
  await again.heard();
  again.resumed({ "chat/lobby": "snapshot" });
  again.send(snapshot("5-9", 1, { state: ["old"], reason: "diverged", member: 4 }), live("5-9"));
  assert.deepEqual(brief(await again.heard()), ["act 2 b", "act 3 c"]);
  assert.deepEqual(room.state, ["old"]);
  again.send(event("6-9", { said: "b" }, { by: 4, n: 2 }));
  await until(() => acts[1].value);
  outcome(room.act(say("d")));
  assert.deepEqual(brief(await again.heard()), ["act 4 d"]);
});

test("r5_a_snapshot_ahead_of_our_numbers_moves_them_on", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  peer.send(snapshot("40-1", 12, { reason: "trimmed" }));
  await peer.heard();
  outcome(room.act(say("a")));
  assert.deepEqual(brief(await peer.heard()), ["act 13 a"]);
});

test("r4_an_attached_client_is_told_and_goes_on_from_the_older_state", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const act = outcome(room.act(say("a")));
  await peer.heard();
  peer.send(snapshot("4-2", 0, { state: ["older"], reason: "diverged" }), event("5-2", "next"));
  assert.deepEqual(brief(await peer.heard()), ["act 1 a"]);
  assert.deepEqual(room.state, ["older", "next"]);
  assert.deepEqual(act, {});
});

test("queue_full_rejects_at_once_and_sends_nothing", async (t) => {
  const { session, peer, room } = await (await stage(t)).joined({ queue: 3 });
  for (const text of ["a", "b", "c"]) outcome(room.act(say(text)));
  await assert.rejects(room.act(say("d")), { code: "queue_full" });
  await assert.rejects(session.join("game/a"), { code: "queue_full" });
  assert.deepEqual(brief(await peer.heard()), ["act 2 a", "act 3 b", "act 4 c"]);
  peer.send(result(2, "11-1"));
  await peer.heard();
  outcome(room.act(say("e")));
  assert.deepEqual(brief(await peer.heard()), ["act 5 e"]);
});

test("f2_an_act_above_frame_bytes_is_never_sent", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  await assert.rejects(room.act(say("ä".repeat(32_768))), { code: "too_big" });
  outcome(room.act(say("b")));
  assert.deepEqual(brief(await peer.heard()), ["act 2 b"]);
});

test("f2_what_piled_up_goes_out_no_faster_than_the_server_takes_it", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  peer.cut();
  await until(() => session.status === "offline");
  const acts = Array.from({ length: 160 }, (_, i) => outcome(room.act(say(`${i}`))));
  const again = await scene.retry(session);
  await again.next("resume");
  again.resumed({ "chat/lobby": "replay" });
  again.send(live("10-1"));
  const burst = await again.heard();
  assert.equal(burst.length, 100);
  await scene.clock.advance(1000);
  const second = await again.heard();
  assert.ok(second.length >= 49 && second.length <= 51, `${second.length} in the next second`);
  await scene.clock.advance(1000);
  const rest = await again.heard();
  assert.deepEqual(
    [...burst, ...second, ...rest].map(({ n }) => n),
    acts.map((_, i) => i + 2),
  );
});

test("abort_ends_the_wait_of_an_act_that_was_sent", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const stop = new AbortController();
  const act = outcome(room.act(say("a"), { signal: stop.signal }));
  await peer.heard();
  stop.abort();
  await until(() => act.error);
  assert.equal(act.error.name, "AbortError");
  assert.equal(room.pending.length, 1, "it still happens");
});

test("abort_takes_back_an_act_that_was_never_sent", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  peer.cut();
  await until(() => session.status === "offline");
  const stop = new AbortController();
  const act = outcome(room.act(say("a"), { signal: stop.signal }));
  outcome(room.act(say("b")));
  stop.abort();
  await until(() => act.error);
  await assert.rejects(room.act(say("c"), { signal: stop.signal }), { name: "AbortError" });
  const again = await scene.retry(session);
  await again.next("resume");
  assert.deepEqual(brief(await again.heard()), ["act 2 b"]);
});
