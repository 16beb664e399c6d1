/** The fixtures of the browser tests: Chromium, processes that stop with the test, and free ports. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export { freePort } from "../free-port.js";

/** Time limit of each wait, on a busy machine. */
export const PATIENCE_MS = 120_000;

export const ARGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The server to test, or an error that says how to get it. */
export function binary() {
  const built = ["debug", "release"].map((kind) => fileURLToPath(new URL(`../../../target/${kind}/outlast`, import.meta.url)));
  const candidates = process.env.OUTLAST_BIN ? [process.env.OUTLAST_BIN] : built;
  const found = candidates.find((path) => existsSync(path));
  assert.ok(found, `no server to test: build it with \`cargo build\`, or name it in OUTLAST_BIN (looked for ${candidates.join(", ")})`);
  return found;
}

/** Chromium for one test. Each page has a context, and so a storage, of its own. */
export async function browser(t) {
  const chrome = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ARGS, timeout: PATIENCE_MS });
  t.after(() => chrome.close());
  return {
    async page(url, options) {
      const context = await chrome.newContext(options);
      context.setDefaultTimeout(PATIENCE_MS);
      const page = await context.newPage();
      page.mistakes = [];
      page.on("pageerror", (error) => page.mistakes.push(error.message));
      page.on("console", (message) => {
        const asksForIcon = message.location().url.endsWith("/favicon.ico"); // what is no page names none
        if (message.type() === "error" && !asksForIcon && !/WebSocket|ERR_|status of 5/.test(message.text())) page.mistakes.push(message.text());
      });
      await page.goto(url);
      return page;
    },
  };
}

/** A folder for one test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "outlast-web-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A process that is gone when the test is. */
export function start(t, command, args, { cwd } = {}) {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const seen = { out: "", err: "" };
  child.stdout.on("data", (text) => (seen.out += text));
  child.stderr.on("data", (text) => (seen.err = (seen.err + text).slice(-4000)));
  const gone = new Promise((resolve) => child.once("exit", resolve));
  const process = {
    /** Waits until it has printed what matches, on either stream. */
    async printed(pattern) {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const match = pattern.exec(seen.out) ?? pattern.exec(seen.err);
        if (match) return match;
        assert.ok(child.exitCode === null, `${command} ${args.join(" ")} has exited with ${child.exitCode}:\n${seen.out}${seen.err}`);
        assert.ok(performance.now() < deadline, `${command} ${args.join(" ")} never printed ${pattern}:\n${seen.out}${seen.err}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await gone;
    },
    /** Asks it to go, and waits until it has; says how it went. */
    async terminate() {
      child.kill("SIGTERM");
      return gone;
    },
  };
  t.after(() => process.kill());
  return process;
}

/**
 * A proxy before several servers. Each connection goes to the next that answers, and on from one that answers 503 (a server
 * that drains).
 */
export async function proxy(t, ports) {
  let turn = 0;
  const sockets = new Set();
  const served = new Map(ports.map((port) => [port, new Set()]));
  const server = createServer((client) => {
    const asked = [];
    const keep = (bytes) => asked.push(bytes);
    sockets.add(client);
    client.on("data", keep);
    client.on("close", () => sockets.delete(client));
    client.on("error", () => client.destroy());
    const attempt = (left) => {
      if (left === 0 || client.destroyed) return client.destroy();
      const port = ports[turn++ % ports.length];
      const upstream = connect(port, "127.0.0.1", () => upstream.write(Buffer.concat(asked)));
      const tell = (bytes) => upstream.write(bytes);
      client.on("data", tell);
      upstream.once("error", () => (client.off("data", tell), attempt(left - 1)));
      upstream.once("data", (answer) => {
        client.off("data", tell);
        upstream.removeAllListeners("error");
        upstream.on("error", () => client.destroy());
        if (/^HTTP\/1.1 503/.test(answer) && left > 1) {
          upstream.destroy();
          return attempt(left - 1);
        }
        client.off("data", keep);
        served.get(port).add(client);
        client.write(answer);
        for (const [from, to] of [[client, upstream], [upstream, client]]) {
          from.pipe(to);
          from.once("close", () => {
            to.destroy();
            served.get(port).delete(client);
          });
        }
      });
    };
    client.once("data", () => attempt(ports.length));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, served };
}

/** Steps of a user on the chat page. */
export const chat = {
  async enter(page, name, room = "lobby") {
    await page.fill("#enter-name", name);
    await page.fill("#enter-room", room);
    await page.click("text=Join");
    await chat.status(page, "live");
    await chat.people(page, (people) => people.some((text) => text.includes(name) && text.includes("you")));
  },

  async say(page, text) {
    await page.fill("#draft", text);
    await page.press("#draft", "Enter");
  },

  status: (page, status) => page.waitForSelector(`#status[data-status="${status}"]`),

  /** The messages, oldest first, without their times. */
  messages: (page) =>
    page.$$eval("#messages li:not(.pending) .bubble", (bubbles) => bubbles.map((bubble) => bubble.firstChild.textContent)),

  /** Waits until the page shows just these messages, and that nothing is pending. */
  async shows(page, expected) {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const [shown, pending] = await Promise.all([chat.messages(page), page.locator("#messages .pending").count()]);
      if (pending === 0 && JSON.stringify(shown) === JSON.stringify(expected)) return;
      if (performance.now() > deadline) assert.deepEqual({ shown, pending }, { shown: expected, pending: 0 });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },

  async people(page, holds) {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const people = await page.$$eval("#member-list li", (rows) => rows.map((row) => row.textContent));
      if (holds(people)) return people;
      assert.ok(performance.now() < deadline, `never came true: ${holds}; ${JSON.stringify(people)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },

  /** Notes every status that the page shows from now on; returns how to read them. */
  async statuses(page) {
    await page.evaluate(() => {
      const status = document.querySelector("#status");
      window.statuses = [];
      new MutationObserver(() => window.statuses.at(-1) === status.dataset.status || window.statuses.push(status.dataset.status)).observe(status, {
        attributeFilter: ["data-status"],
      });
    });
    return () => page.evaluate(() => window.statuses);
  },

  /** Waits until the page tells something that matches. */
  told: (page, pattern) => page.waitForFunction((text) => new RegExp(text).test(document.querySelector("#notice:not([hidden])")?.innerText ?? ""), pattern.source),

  sid: (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem(Object.keys(sessionStorage).find((key) => key.startsWith("outlast"))) ?? "{}").sid),
};
