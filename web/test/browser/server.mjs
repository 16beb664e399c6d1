/** The page on a real server, alone with its embedded store. */
import assert from "node:assert/strict";
import test from "node:test";
import { binary, browser, chat, folder, freePort, start } from "./stage.mjs";

async function serve(t, store, listen = "127.0.0.1:0") {
  const process = start(t, binary(), ["--listen", listen, "--admin-listen", "off", "--allow-anonymous", "--store", `embedded:${store}`], { cwd: store });
  const [, url] = await process.printed(/outlast all ready on (http:\/\/\S+)\s/);
  return { ...process, url, chat: `${url}/chat/`, address: new URL(url).host };
}

test("l1_two_pages_outlive_a_server_killed_under_them", async (t) => {
  const store = folder(t);
  const { page } = await browser(t);
  const first = await serve(t, store, `127.0.0.1:${await freePort()}`);
  const [ada, bob] = [await page(first.chat), await page(first.chat)];
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  await chat.say(ada, "hello");
  await chat.say(bob, "hello yourself");
  for (const one of [ada, bob]) await chat.shows(one, ["hello", "hello yourself"]);

  await first.kill();
  await ada.waitForFunction(() => document.querySelector("#notice").innerText.includes("Away from the server"));
  await chat.say(ada, "while it was away");
  await chat.say(ada, "and again");
  await ada.waitForSelector("#messages .pending");

  await serve(t, store, first.address);
  for (const one of [ada, bob]) {
    await chat.status(one, "live");
    await chat.shows(one, ["hello", "hello yourself", "while it was away", "and again"]);
  }
  await chat.say(bob, "welcome back");
  for (const one of [ada, bob]) {
    await chat.shows(one, ["hello", "hello yourself", "while it was away", "and again", "welcome back"]);
    await chat.people(one, (people) => people.length === 2 && people.every((text) => !text.includes("away")));
    assert.deepEqual(one.mistakes, []);
  }
});

test("s3_a_reload_resumes_the_same_session", async (t) => {
  const { page } = await browser(t);
  const { chat: url } = await serve(t, folder(t));
  const [ada, bob] = [await page(url), await page(url)];
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  await chat.say(ada, "hello");
  await chat.shows(ada, ["hello"]);
  const sid = await chat.sid(ada);
  await ada.reload();
  await chat.shows(ada, ["hello"]);
  assert.equal(await chat.sid(ada), sid);
  assert.equal(await ada.locator("#messages .mine").count(), 1);
  await chat.say(ada, "still here");
  for (const one of [ada, bob]) {
    await chat.shows(one, ["hello", "still here"]);
    await chat.people(one, (people) => people.length === 2);
  }
});

test("a_duplicated_tab_gets_a_session_of_its_own", async (t) => {
  const { page } = await browser(t);
  const { chat: url } = await serve(t, folder(t));
  const ada = await page(url);
  await chat.enter(ada, "Ada");
  // what a browser does for a duplicate, and for a window opened by script: it copies sessionStorage
  const [duplicate] = await Promise.all([ada.context().waitForEvent("page"), ada.evaluate(() => void window.open(location.href))]);
  await chat.status(duplicate, "live");
  await chat.people(ada, (people) => people.length === 2);
  assert.notEqual(await chat.sid(duplicate), await chat.sid(ada));
  await chat.say(ada, "from the first");
  await chat.say(duplicate, "from the second");
  for (const one of [ada, duplicate]) {
    await one.waitForFunction(() => document.querySelectorAll("#messages li:not(.pending)").length === 2);
    assert.equal(await one.locator("#messages .mine").count(), 1);
  }
});
