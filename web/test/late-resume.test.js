import assert from "node:assert/strict";
import test from "node:test";
import { stage, until } from "./stage.js";

/** A session that has given a socket up before its `resume` was answered, and is attached by another one. */
async function strayed(t) {
  const scene = await stage(t);
  const { session, peer } = await scene.live();
  peer.cut();
  const unanswered = await scene.retry(session);
  const { key: borne } = await unanswered.next("resume");
  unanswered.cut();
  const second = await scene.retry(session, 1000);
  await second.next("resume");
  second.resumed({}, { key: "key-2" });
  await second.heard();
  return { scene, session, second, borne };
}

test("close_4002_by_a_late_resume_of_our_own_resumes_once", async (t) => {
  const { scene, session, second, borne } = await strayed(t);
  second.bye(4002, { resume: false });
  const third = await scene.retry(session);
  assert.equal((await third.next("resume")).key, borne, "the newest was made void by the late one");
  third.resumed();
  await third.heard();
  assert.equal(session.status, "live");
  third.bye(4002, { resume: false });
  await until(() => session.status === "ended");
});

test("close_4001_for_a_key_that_a_late_resume_made_void_tries_the_one_that_it_bore", async (t) => {
  const { scene, session, second, borne } = await strayed(t);
  second.cut();
  const third = await scene.retry(session);
  assert.equal((await third.next("resume")).key, "key-2");
  third.bye(4001, { resume: false });
  const fourth = await scene.retry(session, 1000);
  assert.equal((await fourth.next("resume")).key, borne);
  fourth.bye(4001, { resume: false });
  await (await scene.retry(session, 2000)).next("open");
});

test("close_4001_tries_the_key_of_each_resume_that_may_have_come_late", async (t) => {
  const { scene, session, second, borne } = await strayed(t);
  second.cut();
  const third = await scene.retry(session);
  assert.equal((await third.next("resume")).key, "key-2");
  third.cut();
  const fourth = await scene.retry(session, 1000);
  await fourth.next("resume");
  fourth.bye(4001, { resume: false });
  const fifth = await scene.retry(session, 2000);
  assert.equal((await fifth.next("resume")).key, borne, "the one that was refused is not tried again");
  fifth.resumed();
  await fifth.heard();
  assert.equal(session.status, "live");
});
