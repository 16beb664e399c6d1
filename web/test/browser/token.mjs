/** A server that lets in whoever has a token, and pages that ask for it. */
import assert from "node:assert/strict";
import test from "node:test";
import { binary, browser, chat, folder, start } from "./stage.mjs";
import { asked, paste, secretFlags, token } from "./tokens.mjs";

async function serve(t) {
  const cwd = folder(t);
  const process = start(t, binary(), ["--store", "memory:", "--listen", "127.0.0.1:0", "--admin-listen", "off", ...secretFlags(t)], { cwd });
  const [, url] = await process.printed(/outlast all ready on (http:\/\/\S+)\s/);
  return url;
}

test("h5_a_page_asks_for_a_token_until_one_is_good", async (t) => {
  const url = await serve(t);
  const { page } = await browser(t);
  const ada = await page(`${url}/`);
  await asked(ada, /Ask who runs it/);
  await ada.click("text=Not now");
  await ada.click("text=Enter a token");
  await paste(ada, token({ sub: "ada", exp: 1 }));
  await asked(ada, /refused: the token has expired\./);
  await ada.goto(`${url}/chat/`);
  await asked(ada, /refused: the token has expired\./);
  await paste(ada, "nonsense");
  await asked(ada, /refused: the token is malformed/);

  await paste(ada, token({ sub: "ada" }));
  await chat.enter(ada, "Ada");
  await chat.say(ada, "hello");
  await chat.shows(ada, ["hello"]);
  const sid = await chat.sid(ada);
  await ada.reload();
  await chat.shows(ada, ["hello"]);
  assert.equal(await chat.sid(ada), sid, "the token is kept for the tab, and the session with it");
  await ada.goto(`${url}/`);
  await chat.status(ada, "live");
  assert.equal(await ada.locator("#token[open]").count(), 0);
  assert.deepEqual(ada.mistakes, []);
});

test("h5_a_token_of_somebody_else_begins_another_session", async (t) => {
  const url = await serve(t);
  const { page } = await browser(t);
  const one = await page(`${url}/chat/`);
  await paste(one, token({ sub: "ada" }));
  await chat.enter(one, "Ada");
  const sid = await chat.sid(one);
  // As if it had expired: what the tab keeps is refused from now on.
  await one.evaluate((expired) => sessionStorage.setItem("my token", expired), token({ sub: "ada", exp: 1 }));
  await one.reload();
  await paste(one, token({ sub: "bob" }));
  await chat.status(one, "live");
  assert.notEqual(await chat.sid(one), sid);
});
