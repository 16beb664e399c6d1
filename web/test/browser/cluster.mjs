/** The page on many processes and one Redis. */
import assert from "node:assert/strict";
import test from "node:test";
import { fleet } from "./fleet.mjs";
import { browser, chat, proxy } from "./stage.mjs";

/** Four chat pages on a fleet whose gateways have these flags. */
async function four(t, ...flags) {
  const { gateways } = await fleet(t, ...flags);
  const { page } = await browser(t);
  const { url, served } = await proxy(t, gateways.map(({ port }) => port));
  const pages = [];
  for (const name of ["Ada", "Bob", "Cleo", "Dan"]) {
    const one = await page(`${url}chat/`);
    await chat.enter(one, name);
    pages.push(one);
  }
  return { gateways, served, pages };
}

test("s2_pages_outlive_a_gateway_killed_under_them", async (t) => {
  const { gateways, served, pages } = await four(t);
  const said = [];
  const say = async (one, text) => {
    said.push(text);
    await chat.say(one, text);
    await one.waitForFunction((text) => document.querySelector("#messages").innerText.includes(text), text);
  };
  for (const [i, one] of pages.entries()) {
    await say(one, `hello from ${i}`);
    for (const other of pages) await chat.shows(other, said);
  }

  const sids = await Promise.all(pages.map(chat.sid));
  const [victim] = [...gateways].sort((a, b) => served.get(b.port).size - served.get(a.port).size);
  await victim.kill();
  const meanwhile = pages.map((_, i) => `meanwhile ${i}`);
  await Promise.all(pages.map((one, i) => chat.say(one, meanwhile[i])));

  for (const one of pages) {
    await chat.status(one, "live");
    await one.waitForFunction((count) => document.querySelectorAll("#messages li:not(.pending)").length === count, said.length + pages.length);
  }
  const [first, ...others] = await Promise.all(pages.map(chat.messages));
  assert.deepEqual(first.slice(0, said.length), said);
  assert.deepEqual(first.slice(said.length).sort(), meanwhile, "each exactly once");
  for (const other of others) assert.deepEqual(other, first, "the same order for everybody");
  assert.deepEqual(await Promise.all(pages.map(chat.sid)), sids, "the same sessions");
  await chat.people(pages[0], (people) => people.length === 4 && people.every((text) => !text.includes("away")));
  for (const one of pages) assert.deepEqual(one.mistakes, []);
});

test("d3_a_drained_gateway_is_not_noticed", async (t) => {
  const { gateways, served, pages } = await four(t, "--drain-ms", "30000");
  const sids = await Promise.all(pages.map(chat.sid));
  const statuses = await Promise.all(pages.map(chat.statuses));
  const sockets = () => gateways.map(({ port }) => served.get(port).size);
  const [first, second] = [...gateways].sort((a, b) => served.get(b.port).size - served.get(a.port).size);
  assert.ok(served.get(first.port).size > 0, `${sockets()}`);

  let drained;
  const gone = first.terminate().then((code) => (drained = { code }));
  const said = [];
  let meanwhile = 0;
  for (let i = 0; !drained || i < 2 * pages.length || i % pages.length; i++) {
    if (!drained) meanwhile++;
    const text = `line ${i}`;
    said.push(text);
    await chat.say(pages[i % pages.length], text);
    await chat.shows(pages[(i + 1) % pages.length], said.slice(-200));
  }
  await gone;

  assert.equal(drained.code, 0);
  for (const [i, one] of pages.entries()) {
    await chat.shows(one, said.slice(-200));
    assert.deepEqual(await statuses[i](), [], "live all the time");
    assert.deepEqual(one.mistakes, []);
  }
  assert.ok(meanwhile > 0, "no line was said while the gateway drained");
  assert.equal(served.get(first.port).size, 0);
  assert.ok(served.get(second.port).size >= pages.length, `${sockets()}`);
  assert.deepEqual(await Promise.all(pages.map(chat.sid)), sids, "the same sessions");
});
