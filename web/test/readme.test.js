/** The client example of the project's README, run as it stands there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { stage, until } from "./stage.js";

const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const CLIENT = new URL("../outlast.js", import.meta.url).href;
const WS = import.meta.resolve("ws");

/** The parts of a browser that the example needs and Node.js 20 lacks. */
const page = (url) => `
globalThis.WebSocket = (await import(${JSON.stringify(WS)})).default;
globalThis.location = { href: ${JSON.stringify(url)} };
const kept = new Map();
globalThis.sessionStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) };
`;

test("the_example_of_the_readme_runs_as_it_stands_there", async (t) => {
  const [, example] = /```js\n(import \{ connect \}[^]*?)```/.exec(README);
  const scene = await stage(t);
  const folder = mkdtempSync(join(tmpdir(), "outlast-readme-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "page.mjs"), page(scene.url));
  writeFileSync(join(folder, "example.mjs"), `import "./page.mjs";\n${example.replace('"outlast"', JSON.stringify(CLIENT))}\nconsole.log("resolved");`);
  const child = spawn(process.execPath, [join(folder, "example.mjs")], { stdio: "pipe" });
  t.after(() => child.kill("SIGKILL"));
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += text));

  const peer = await scene.accept();
  await peer.next("open");
  peer.welcome();
  const joining = await peer.next("join");
  assert.equal(joining.room, "button/red");
  peer.send({ t: "joined", room: "button/red", n: joining.n, member: 1, pos: "4-1", state: { pushes: 39 } });
  const act = await peer.next("act");
  assert.equal(act.data, 3);
  peer.send({ t: "event", room: "button/red", pos: "5-1", by: 1, n: act.n, data: { pushed: { times: act.data } } });
  await until(() => /^42$[^]*^resolved$/m.test(printed), `42, then resolved, in: ${printed}`);
});
