/**
 * Draws ../kill.png: two chat pages, a server that is killed under them with SIGKILL, and what becomes of that. Everything in it is
 * real; only the pauses are set.
 *
 *   cargo build --release && (cd web && npm ci) && node docs/pictures/kill.mjs
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { animate } from "./apng.mjs";
import { binary, browser, chat, folder, freePort, start } from "../../web/test/browser/stage.mjs";

const undo = [];
const run = { after: (last) => undo.unshift(last) };

const store = folder(run);
const listen = `127.0.0.1:${await freePort()}`;
const serve = async () => {
  const server = start(run, binary(), ["--listen", listen, "--admin-listen", "off", "--allow-anonymous", "--store", `embedded:${store}`], { cwd: store });
  await server.printed(/outlast all ready on/);
  return server;
};

const PAGE = { viewport: { width: 460, height: 400 }, colorScheme: "light" };
const { page } = await browser(run);
const stage = await page("about:blank", { viewport: { width: 960, height: 470 } });
const frames = [];
const both = [];

/** One picture of both pages and of the server, shown for so long. */
async function frame(server, ms) {
  const shots = await Promise.all(both.map((one) => one.screenshot()));
  const [left, right] = shots.map((png) => `data:image/png;base64,${png.toString("base64")}`);
  const colour = /dead|kill/.test(server) ? "#c62828" : "#2e7d32";
  await stage.setContent(`<style>
    body { margin: 0; background: #e9ecef; font: 17px/50px ui-monospace, monospace; text-align: center }
    p { margin: 0; color: ${colour} } img { margin: 0 6px; border-radius: 8px; box-shadow: 0 1px 4px #0004 }
  </style><p>${server}</p><img src="${left}"><img src="${right}">`);
  frames.push({ png: await stage.screenshot(), ms });
}

async function type(one, text, server) {
  for (let end = 6; end < text.length; end += 6) {
    await one.fill("#draft", text.slice(0, end));
    await frame(server, 90);
  }
  await chat.say(one, text);
}

try {
  const up = "● outlast is running";
  let server = await serve();
  const [ada, bob] = [await page(`http://${listen}/chat/`, PAGE), await page(`http://${listen}/chat/`, PAGE)];
  both.push(ada, bob);
  await chat.enter(ada, "Ada");
  await chat.enter(bob, "Bob");
  await type(ada, "Shall we meet at eight?", up);
  for (const one of both) await chat.shows(one, ["Shall we meet at eight?"]);
  await frame(up, 1200);

  await frame("$ kill -9 outlast", 900);
  await server.kill();
  for (const one of both) await one.waitForFunction(() => document.querySelector("#notice").innerText.includes("Away from the server"));
  const dead = "✕ outlast is dead";
  await frame(dead, 1200);
  await type(bob, "Eight is fine!", dead);
  await bob.waitForSelector("#messages .pending");
  await frame(dead, 1800);

  await frame("$ outlast", 900);
  server = await serve();
  for (const one of both) {
    await chat.status(one, "live");
    await chat.shows(one, ["Shall we meet at eight?", "Eight is fine!"]);
    await one.waitForSelector("#notice", { state: "hidden" });
  }
  await frame("● running again: sent once, in order, nobody logged out", 3500);

  const file = fileURLToPath(new URL("../kill.png", import.meta.url));
  const png = animate(frames);
  writeFileSync(file, png);
  console.log(`${frames.length} frames, ${Math.ceil(png.length / 1024)} KiB: ${file}`);
} finally {
  for (const last of undo) await last();
}
