/** Pages without a network, after a long sleep and with a wrong token, on a real server. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { binary, browser, chat, folder, start } from "./stage.mjs";

async function serve(t, ...args) {
  const cwd = folder(t);
  const access = args.includes("--token-secret-file") ? [] : ["--allow-anonymous"];
  const process = start(t, binary(), ["--listen", "127.0.0.1:0", "--admin-listen", "off", "--store", "memory:", ...access, ...args], { cwd });
  const [, url] = await process.printed(/outlast all ready on (http:\/\/\S+)\s/);
  return { ...process, url, chat: `${url}/chat/` };
}

test("d2_a_page_without_a_network_says_so_and_goes_on_when_it_is_back", async (t) => {
  const { page } = await browser(t);
  const server = await serve(t);
  const [ada, bob] = [await page(server.chat), await page(server.chat)];
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  const sid = await chat.sid(ada);
  const statuses = await chat.statuses(ada);

  await ada.context().setOffline(true);
  await chat.told(ada, /Away from the server/);
  await chat.say(ada, "in a tunnel");
  await ada.waitForSelector("#messages .pending");
  await chat.say(bob, "where are you?");
  await chat.shows(bob, ["where are you?"]);

  await ada.context().setOffline(false);
  await chat.status(ada, "live");
  for (const one of [ada, bob]) await chat.shows(one, ["where are you?", "in a tunnel"]);
  assert.equal(await chat.sid(ada), sid);
  assert.equal((await statuses())[0], "offline");
  await ada.waitForSelector("#notice", { state: "hidden" });
});

test("s2_who_slept_past_the_sessions_life_is_told_so", async (t) => {
  const { page } = await browser(t);
  const server = await serve(t, "--session-ttl-ms", "8000", "--heartbeat-ms", "3000");
  const [ada, bob] = [await page(server.chat), await page(server.chat)];
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  await chat.say(ada, "good night");
  await chat.shows(bob, ["good night"]);
  const sid = await chat.sid(ada);

  // the page's scripts stand still, as on a laptop whose lid is closed
  const devtools = await ada.context().newCDPSession(ada);
  await devtools.send("Debugger.enable");
  await devtools.send("Debugger.pause");
  await chat.people(bob, (people) => people.length === 1);
  await chat.say(bob, "she is gone");
  await devtools.send("Debugger.resume");
  await devtools.send("Debugger.disable");

  await chat.told(ada, /You were away for \d+ (second|minute)s?, longer than a session is kept/);
  await chat.status(ada, "live");
  await chat.shows(ada, ["good night", "she is gone"]);
  await chat.people(bob, (people) => people.length === 2);
  assert.notEqual(await chat.sid(ada), sid);
  await chat.say(ada, "good morning");
  for (const one of [ada, bob]) await chat.shows(one, ["good night", "she is gone", "good morning"]);
});

test("h5_a_wrong_token_ends_it_and_a_right_one_is_let_in", async (t) => {
  const { page } = await browser(t);
  const secret = "a secret of thirty-two bytes or so";
  const file = join(folder(t), "secret");
  writeFileSync(file, secret);
  const server = await serve(t, "--token-secret-file", file);
  const base64 = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
  const sign = (key, claims) => {
    const body = `${base64({ alg: "HS256", typ: "JWT" })}.${base64({ exp: Math.floor(Date.now() / 1000) + 3600, ...claims })}`;
    return `${body}.${createHmac("sha256", key).update(body).digest("base64url")}`;
  };

  const ada = await page(server.chat);
  await chat.status(ada, "ended");
  await chat.told(ada, /asks for a token/);

  /** Returns the outcome of a session whose callback returns these tokens, one after the other. */
  const fate = (...tokens) =>
    ada.evaluate(async (tokens) => {
      const { connect } = await import("/outlast.js");
      let asked = 0;
      const session = connect(undefined, { storage: null, token: async () => tokens[Math.min(asked++, tokens.length - 1)] });
      return new Promise((resolve) => {
        session.on("end", ({ code }) => resolve({ code, asked }));
        session.on("status", (status) => status === "live" && resolve({ status, asked }));
      });
    }, tokens);
  const right = sign(secret, { sub: "ada" });
  assert.deepEqual(await fate(sign("another secret", { sub: "ada" })), { code: 4003, asked: 2 });
  assert.deepEqual(await fate("no token at all", right), { status: "live", asked: 2 });
  assert.deepEqual(await fate(right), { status: "live", asked: 1 });
});

test("h1_a_page_may_speak_messagepack", async (t) => {
  const { page } = await browser(t);
  const server = await serve(t);
  const [ada, bob] = [await page(server.chat), await page(server.chat)];
  await chat.enter(bob, "Bob");
  const outcome = await ada.evaluate(async () => {
    const [{ connect }, { msgpack }] = [await import("/outlast.js"), await import("/msgpack.js")];
    const session = connect(undefined, { storage: null, codec: msgpack });
    const room = await session.join("chat/lobby", { data: { name: "Ada" }, apply: (state, { data }) => ({ ...state, last: data }) });
    const { n } = await room.act({ say: "hällo 🌍" });
    return { n, members: room.state.members.map(({ name }) => name), last: room.state.last };
  });
  assert.deepEqual(outcome, { n: 2, members: ["Bob", "Ada"], last: { said: "hällo 🌍" } });
  await chat.shows(bob, ["hällo 🌍"]);
});
