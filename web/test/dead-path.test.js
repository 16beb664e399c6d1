import assert from "node:assert/strict";
import test from "node:test";
import { brief, event, outcome, settled, stage, until } from "./stage.js";

test("f1_an_act_on_a_silent_socket_tries_a_second_one_beside_it", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const act = outcome(room.act({ say: "hello" }));
  await settled();
  await scene.clock.advance(4_900);
  assert.ok(await scene.quiet());
  await scene.clock.advance(100);
  const second = await scene.accept();
  await second.next("resume");
  assert.equal(session.status, "live", "the application notices nothing");
  second.resumed({ "chat/lobby": "replay" });
  second.send(event("11-1", { said: "hello" }, { by: 7, n: 2 }), { t: "live", room: "chat/lobby", pos: "11-1" });
  await until(() => act.value);
  await until(() => peer.closed);
  assert.deepEqual(brief(await second.heard()), ["act 2 hello"]);
  assert.deepEqual(session.statuses(), ["catching-up", "live"]);
});

test("f1_a_socket_on_which_something_is_heard_is_left_alone", async (t) => {
  const scene = await stage(t);
  const { peer, room } = await scene.joined();
  outcome(room.act({ say: "slow" }));
  for (let s = 0; s < 20; s++) {
    await peer.heard();
    await scene.clock.advance(1_000);
  }
  assert.ok(await scene.quiet());
});

test("f1_a_socket_that_is_silent_with_nothing_to_answer_is_left_alone", async (t) => {
  const scene = await stage(t);
  const { peer, room } = await scene.joined();
  outcome(room.act({ say: "hello" }));
  peer.send(event("11-1", { said: "hello" }, { by: 7, n: 2 }));
  await peer.heard();
  await scene.clock.advance(20_000);
  assert.ok(await scene.quiet());
});

test("f1_a_second_socket_that_does_not_come_about_takes_nothing_from_the_first", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const act = outcome(room.act({ say: "hello" }));
  await settled();
  await scene.clock.advance(5_000);
  (await scene.accept()).cut();
  await settled();
  peer.send(event("11-1", { said: "hello" }, { by: 7, n: 2 }));
  await until(() => act.value);
  assert.equal(session.status, "live");
});

test("f1_a_socket_that_replaced_a_lost_one_is_looked_at_too", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  outcome(room.act({ say: "hello" }));
  await settled();
  await scene.clock.advance(3_000);
  peer.cut();
  const second = await scene.retry(session);
  second.resumed({ "chat/lobby": "replay" });
  await second.heard();
  await scene.clock.advance(10_000);
  await (await scene.accept()).next("resume");
});
