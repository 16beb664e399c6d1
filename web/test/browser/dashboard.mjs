/** The dashboard, on a fleet and on one process alone. */
import assert from "node:assert/strict";
import test from "node:test";
import { fleet } from "./fleet.mjs";
import { binary, browser, chat, folder, proxy, start } from "./stage.mjs";
import { asked, paste, secretFlags, token, withToken } from "./tokens.mjs";

const OPERATOR = token({ sub: "olga", admin: true });

/** Waits until an element says what matches. */
const says = (page, id, pattern) =>
  page.waitForFunction(([id, text]) => new RegExp(text).test(document.getElementById(id).innerText), [id, pattern.source]);

/** Somebody tries it out: no flags but a port. */
async function triedOut(t, cwd = folder(t), listen = "127.0.0.1:0") {
  const process = start(t, binary(), ["--listen", listen, "--admin-listen", "off"], { cwd });
  const [, url] = await process.printed(/outlast all ready on (http:\/\/\S+)\s/);
  return { ...process, url };
}

test("b4_an_operator_sees_processes_die_and_goes_on_watching", async (t) => {
  const { workers, gateways } = await fleet(t, ...secretFlags(t));
  const { page } = await browser(t);
  const { url, served } = await proxy(t, gateways.map(({ port }) => port));
  const olga = await page(`${url}dashboard/`);
  // Anonymous clients may come in, and watch nothing; so may users who are no operators.
  await asked(olga, /for operators: .*"admin": true/);
  await paste(olga, token({ sub: "ada" }));
  await asked(olga, /for operators/);
  await paste(olga, OPERATOR);

  await says(olga, "processes-note", /^6 alive$/);
  await says(olga, "partitions-note", /^all 16 have a worker$/);
  const roles = await olga.$$eval("#processes td:nth-child(3)", (cells) => cells.map((cell) => cell.innerText).sort());
  assert.deepEqual(roles, ["gateway", "gateway", "keeper", "keeper", "worker", "worker"]);
  assert.ok((await olga.innerText(".tile .value")).match(/^[1-9]/), "its own socket at least");

  await workers[0].kill();
  await says(olga, "processes-note", /^5 alive, 1 lost$/);
  await says(olga, "partitions-note", /^all 16 have a worker$/);
  const [victim] = [...gateways].sort((a, b) => served.get(b.port).size - served.get(a.port).size);
  await victim.kill();
  await says(olga, "processes-note", /^4 alive, 2 lost$/);
  await chat.status(olga, "live");
  assert.match(await olga.getAttribute(".tile .spark path", "d"), /^M[^M]*L/, "a line, and no hole in it");
  assert.deepEqual(olga.mistakes, []);
});

test("p3_an_operator_finds_a_session_and_ends_it", async (t) => {
  const { gateways } = await fleet(t, ...secretFlags(t));
  const { page } = await browser(t);
  const url = `http://127.0.0.1:${gateways[0].port}/`;
  const ada = await withToken(page, url, "chat/", token({ sub: "ada" }));
  await chat.enter(ada, "Ada");
  const sid = await chat.sid(ada);

  const olga = await withToken(page, url, "dashboard/", OPERATOR);
  await olga.fill("#finder-text", "nobody");
  await olga.press("#finder-text", "Enter");
  await says(olga, "finder-news", /no such session/);
  for (const text of ["ada", sid]) {
    await olga.fill("#finder-text", text);
    await olga.press("#finder-text", "Enter");
    await says(olga, "finder-news", /^One session/);
    const shown = await olga.innerText("#found");
    for (const part of [sid, "attached at", "chat/lobby"]) assert.ok(shown.includes(part), shown);
  }
  await olga.click("text=End this session");
  await olga.click("text=Keep it");
  assert.equal(await olga.locator("#found li").count(), 1);
  await olga.click("text=End this session");
  await olga.click("text=Yes, end it");
  await chat.status(ada, "ended");
  await says(olga, "finder-news", /is over/);
  assert.equal(await olga.locator("#found li").count(), 0);
  assert.deepEqual(olga.mistakes, []);
});

test("b4_the_page_outlives_the_one_process_that_it_shows", async (t) => {
  const { page } = await browser(t);
  const cwd = folder(t);
  const { url, kill } = await triedOut(t, cwd);
  const one = await page(`${url}/dashboard/`);
  await says(one, "processes-note", /^1 alive$/);
  await kill();
  await chat.told(one, /Away from the server/);
  await triedOut(t, cwd, new URL(url).host);
  await chat.status(one, "live");
  await says(one, "processes-note", /^1 alive, 1 lost$/);
  assert.deepEqual(one.mistakes, []);
});

for (const [width, height] of [[320, 568], [390, 844], [1280, 800]]) {
  test(`l1_who_tries_it_out_watches_without_a_token_on_a_screen_of_${width}`, async (t) => {
    const { page } = await browser(t);
    const { url } = await triedOut(t);
    const one = await page(`${url}/dashboard/`, { viewport: { width, height } });
    await says(one, "processes-note", /^1 alive$/);
    await says(one, "owners", / 16$/);
    await one.fill("#finder-text", await chat.sid(one));
    await one.press("#finder-text", "Enter");
    await says(one, "finder-news", /^One session/);
    assert.ok(await one.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual(one.mistakes, []);
  });
}
