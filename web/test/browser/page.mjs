/** The page itself, against a server from memory. */
import assert from "node:assert/strict";
import test from "node:test";
import { fakeChat } from "../fake-chat.js";
import { browser, chat } from "./stage.mjs";

const PHONE = { viewport: { width: 390, height: 844 } };

async function stage(t) {
  const server = await fakeChat();
  t.after(() => server.down());
  return { server, ...(await browser(t)) };
}

test("b1_people_come_in_talk_and_leave", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat);
  await chat.enter(ada, "Ada");
  const bob = await page(`${server.chat}#lobby`, PHONE);
  await chat.enter(bob, "Bob");
  await chat.say(ada, "hello");
  await chat.say(bob, "hello <b>yourself</b>");
  for (const one of [ada, bob]) await chat.shows(one, ["hello", "hello <b>yourself</b>"]);
  assert.equal(await ada.locator("#messages .mine").count(), 1);
  await bob.fill("#draft", "thinking");
  await ada.waitForFunction(() => document.querySelector("#typing").textContent === "Bob is writing …");
  await bob.fill("#draft", "");
  await ada.waitForFunction(() => document.querySelector("#typing").textContent === "");
  await bob.context().close();
  await chat.people(ada, (people) => people.some((text) => text.includes("Bob") && text.includes("away")));
  assert.deepEqual(ada.mistakes, []);
});

test("a_message_of_our_own_keeps_its_element_while_it_is_settled", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat);
  await chat.enter(ada, "Ada");
  await ada.evaluate(() => {
    window.rows = [];
    const list = document.querySelector("#messages");
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) window.rows.push(...[...addedNodes].filter((node) => node.tagName === "LI"));
    }).observe(list, { childList: true });
  });
  await chat.say(ada, "once");
  await chat.shows(ada, ["once"]);
  assert.equal(await ada.evaluate(() => window.rows.length), 1);
});

test("writing_goes_on_while_the_server_is_away", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat);
  await chat.enter(ada, "Ada");
  await chat.say(ada, "before");
  await chat.shows(ada, ["before"]);
  await server.down();
  await ada.waitForFunction(() => document.querySelector("#notice").innerText.includes("Away from the server"));
  await chat.say(ada, "meanwhile");
  await ada.waitForSelector("#messages .pending");
  await server.up();
  await chat.shows(ada, ["before", "meanwhile"]);
  await ada.waitForSelector("#notice", { state: "hidden" });
});

test("a_refused_message_shows_why_and_can_be_discarded", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat);
  await chat.enter(ada, "Ada");
  await chat.say(ada, "refuse me");
  await ada.waitForFunction(() => document.querySelector("#failed").innerText.includes("The room will not have that."));
  assert.equal(await ada.locator("#messages li").count(), 0);
  await ada.click("text=Discard");
  assert.equal(await ada.locator("#failed li").count(), 0);
});

test("a_session_that_the_server_lost_is_told_and_goes_on_anew", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat);
  await chat.enter(ada, "Ada");
  await server.down();
  server.forget();
  await server.up();
  await ada.waitForFunction(() => document.querySelector("#notice").innerText.includes("a new one"));
  await chat.status(ada, "live");
  await chat.say(ada, "anew");
  await chat.shows(ada, ["anew"]);
});

test("a_reload_shows_what_was_there_without_asking_again", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(`${server.chat}#garden`);
  await chat.enter(ada, "Ada", "garden");
  await chat.say(ada, "hello");
  await chat.shows(ada, ["hello"]);
  const sid = await chat.sid(ada);
  await ada.reload();
  await chat.shows(ada, ["hello"]);
  assert.equal(await chat.sid(ada), sid);
  assert.equal(await ada.locator("#messages .mine").count(), 1);
  assert.deepEqual(await chat.people(ada, (people) => people.length === 1), ["AAdayou"]);
});

test("rooms_can_be_changed_by_dialog_and_by_address", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat);
  const bob = await page(server.chat);
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  await ada.click("#room");
  await ada.fill("#enter-room", "Garden Party!");
  assert.equal(await ada.inputValue("#enter-room"), "garden-party");
  await ada.click("text=Join");
  await chat.people(ada, (people) => people.length === 1 && people[0].includes("Ada"));
  assert.match(ada.url(), /#garden-party$/);
  await chat.people(bob, (people) => people.length === 1 && people[0].includes("Bob"));
  await chat.say(ada, "in the garden");
  await chat.shows(ada, ["in the garden"]);
  await ada.evaluate(() => (location.hash = "lobby"));
  await chat.people(ada, (people) => people.length === 2);
  await chat.shows(ada, []);
});

test("a_name_can_be_changed", async (t) => {
  const { server, page } = await stage(t);
  const [ada, bob] = [await page(server.chat), await page(server.chat)];
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  await ada.click("#room");
  await ada.fill("#enter-name", "Ada Lovelace");
  await ada.click("text=Join");
  for (const one of [ada, bob]) await chat.people(one, (people) => people.length === 2 && people.some((text) => text.includes("Ada Lovelace")));
  await chat.say(ada, "still me");
  await chat.shows(bob, ["still me"]);
});

test("the_page_can_be_used_by_keyboard_and_heard", async (t) => {
  const { server, page } = await stage(t);
  const ada = await page(server.chat, PHONE);
  assert.equal(await ada.evaluate(() => document.activeElement.id), "enter-name");
  await ada.keyboard.type("Ada");
  await ada.keyboard.press("Enter");
  await chat.status(ada, "live");
  assert.equal(await ada.evaluate(() => document.activeElement.id), "draft");
  await ada.keyboard.type("one");
  await ada.keyboard.press("Shift+Enter");
  await ada.keyboard.type("two");
  await ada.keyboard.press("Enter");
  await chat.shows(ada, ["one\ntwo"]);
  const nameless = await ada.$$eval("button:not([hidden]), input, textarea", (all) =>
    all.filter((one) => !(one.labels?.length || one.innerText.trim() || one.textContent.trim())).map((one) => one.id),
  );
  assert.deepEqual(nameless, []);
  assert.equal(await ada.getAttribute("#log", "role"), "log");
  assert.equal(await ada.getAttribute("#status", "role"), "status");
  await ada.click("#people");
  assert.equal(await ada.getAttribute("#people", "aria-expanded"), "true");
  await ada.keyboard.press("Escape");
  assert.equal(await ada.getAttribute("#people", "aria-expanded"), "false");
});

for (const viewport of [{ width: 320, height: 568 }, PHONE.viewport, { width: 1280, height: 800 }]) {
  test(`nothing_is_wider_than_a_screen_of_${viewport.width}`, async (t) => {
    const { server, page } = await stage(t);
    const ada = await page(server.chat, { viewport });
    await chat.enter(ada, "A name of quite exactly forty characters", "a-room-with-a-name-that-is-as-long-as-a-name-may-be");
    await chat.say(ada, "w".repeat(300));
    await ada.waitForSelector("#messages li");
    assert.ok(await ada.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    for (const id of ["#status", "#draft", "#send"]) {
      const { x, width } = await ada.locator(id).boundingBox();
      assert.ok(x >= 0 && x + width <= viewport.width, `${id} from ${x} to ${x + width}`);
    }
  });
}
