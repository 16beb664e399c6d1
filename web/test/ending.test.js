import assert from "node:assert/strict";
import test from "node:test";
import { brief, outcome, settled, stage, Store, until } from "./stage.js";

test("s6_a_session_that_is_ended_before_it_connects_stays_ended", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  const joining = outcome(session.join("chat/lobby"));
  session.end();
  session.end();
  await settled();
  await scene.clock.advance(60_000);
  assert.equal(session.status, "ended");
  assert.equal(joining.code, "ended");
  assert.ok(await scene.quiet(), "nothing is dialled");
  assert.deepEqual(session.log.filter(([type]) => type === "end"), [["end", { code: 4010, reason: "ended" }]]);
});

test("s6_who_ends_while_the_first_socket_attaches_tells_the_server", async (t) => {
  const scene = await stage(t);
  const session = scene.connect();
  const peer = await scene.accept();
  await peer.next("open");
  session.end();
  await peer.next("end");
  await until(() => peer.closed);
});

test("s6_who_ends_without_a_socket_tells_the_server_as_soon_as_one_can_be_opened", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined();
  const act = outcome(room.act({ say: "a" }));
  await peer.heard();
  peer.cut();
  await until(() => session.status === "offline");
  const unsent = outcome(room.act({ say: "b" }));
  session.end();
  await settled();
  assert.deepEqual([act.code, unsent.code], ["unknown", "ended"]);
  const first = await scene.accept();
  first.cut();
  await until(() => [...scene.clock.timers].some(({ at_ms }) => at_ms === scene.clock.now() + 1000), "the next try");
  await scene.clock.advance(1000);
  const second = await scene.accept();
  const resume = await second.next("resume");
  assert.deepEqual([resume.sid, resume.key, resume.rooms], ["sid-1", "key-1", {}]);
  await second.next("end");
  second.bye(4010, { resume: false });
  await until(() => second.closed);
  await scene.clock.advance(60_000);
  assert.ok(await scene.quiet(), "once is enough");
  assert.equal(session.status, "ended");
});

test("s6_a_session_that_cannot_be_ended_is_left_to_expire", async (t) => {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.cut();
  await until(() => session.status === "offline");
  session.end();
  for (let tries = 0; tries < 6; tries++) {
    (await scene.accept()).cut();
    const soon_ms = Math.min(30_000, 1000 * 2 ** tries);
    const isNext = ({ at_ms }) => at_ms === scene.clock.now() + soon_ms;
    if (tries < 5) await until(() => [...scene.clock.timers].some(isNext), "the next try");
    await scene.clock.advance(soon_ms);
  }
  assert.ok(await scene.quiet());
});

test("s6_who_ends_while_a_kept_session_is_looked_up_ends_that_one", async (t) => {
  const scene = await stage(t);
  const storage = new Store();
  const before = await scene.live({ storage });
  const kept = storage.copy();
  before.session.close();
  const session = scene.connect({ storage: kept });
  session.end();
  const peer = await scene.accept();
  assert.equal((await peer.next("resume")).sid, "sid-1");
  await peer.next("end");
  assert.equal(kept.map.size, 0);
});

test("s2_who_closes_keeps_the_session_and_its_acts_for_the_next_connect", async (t) => {
  const scene = await stage(t);
  const storage = new Store();
  const { session, peer, room } = await scene.joined({ storage });
  const act = outcome(room.act({ say: "a" }));
  await peer.heard();
  peer.cut();
  await until(() => session.status === "offline");
  const unsent = outcome(room.act({ say: "b" }));
  session.close();
  session.close();
  await settled();
  assert.deepEqual([act.code, unsent.code], ["unknown", "closed"]);
  assert.deepEqual(session.log.at(-1), ["end", { code: 1000, reason: "closed" }]);
  const next = scene.connect({ storage });
  const again = await scene.accept();
  assert.equal((await again.next("resume")).sid, "sid-1");
  again.resumed({ "chat/lobby": "snapshot" });
  await until(() => next.status !== "connecting");
  assert.deepEqual(brief(await again.heard()), ["act 2 a", "act 3 b"]);
});

test("h5_a_token_callback_that_hangs_once_keeps_nobody_away", async (t) => {
  const scene = await stage(t);
  let hangs = false;
  const token = () => (hangs ? new Promise(() => {}) : "token");
  const { session, peer } = await scene.live({ token });
  hangs = true;
  peer.cut();
  await until(() => session.status === "offline");
  await scene.clock.advance(500);
  hangs = false;
  await scene.clock.advance(20_000);
  await until(() => session.log.some(([type, error]) => type === "error" && error.code === "token_timeout"));
  await scene.clock.advance(30_000);
  await (await scene.accept()).next("resume");
});
