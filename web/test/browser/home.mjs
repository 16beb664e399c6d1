/** The front page. */
import assert from "node:assert/strict";
import test from "node:test";
import { fakeChat } from "../fake-chat.js";
import { browser, chat } from "./stage.mjs";

async function stage(t, options) {
  const server = await fakeChat();
  t.after(() => server.down());
  const { page } = await browser(t);
  return { server, home: await page(server.url, options) };
}

test("the_front_page_shows_the_connection_and_leads_to_the_others", async (t) => {
  const { server, home } = await stage(t);
  await chat.status(home, "live");
  const sid = await chat.sid(home);
  await home.getByRole("link", { name: /^Chat/ }).focus();
  await home.keyboard.press("Enter");
  await home.waitForURL(server.chat);
  await chat.enter(home, "Ada");
  assert.equal(await chat.sid(home), sid, "one session for all the pages of a tab");
  await home.getByRole("link", { name: "outlast, front page" }).click();
  await home.waitForURL(server.url);
  await chat.status(home, "live");
  await server.down();
  await chat.told(home, /goes on by itself/);
  await chat.status(home, "offline");
  assert.deepEqual(home.mistakes, []);
});

test("every_link_of_every_page_leads_somewhere", async (t) => {
  const { server, home } = await stage(t);
  const seen = new Set();
  const paths = ["/"];
  for (let path = paths.pop(); path; path = paths.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const answer = await home.goto(new URL(path, server.url).href);
    assert.equal(answer.status(), 200, path);
    paths.push(...(await home.$$eval("a[href^='/']", (links) => links.map((link) => link.getAttribute("href")))));
  }
  assert.ok(seen.size > 1);
});

for (const [width, height] of [[320, 568], [390, 844], [1280, 800]]) {
  test(`the_front_page_fits_a_screen_of_${width}`, async (t) => {
    const { home } = await stage(t, { viewport: { width, height } });
    assert.ok(await home.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
}
