/** The package as npm would publish it, used by somebody else. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../", import.meta.url));
const TSC = join(WEB, "node_modules/.bin/tsc");

const CONSUMER = `
import { connect, OutlastError, type Status, type RoomEvents } from "outlast";
import { msgpack } from "outlast/msgpack";

type Counter = { pushes: number };
const session = connect("wss://chat.example", { token: async () => "token", storage: sessionStorage, codec: msgpack, WebSocket });
const off: () => void = session.on("status", (status: Status) => console.log(status));
session.on("reset", ({ reason, away_ms }) => console.log(reason.length, away_ms.toFixed()));
session.on("end", ({ code }) => console.log(code.toFixed()));
const room = await session.join("button/red", {
  data: { name: "Ada" },
  signal: AbortSignal.timeout(1000),
  apply: (state: Counter, event): Counter => ({ pushes: state.pushes + event.data.pushed.times }),
});
const pushes: number = room.state.pushes;
const undo: () => void = room.subscribe(() => {});
room.on("event", (event: RoomEvents["event"]) => console.log(event.pos, event.by));
for await (const event of room) console.log(event.data);
try {
  const { n, data } = await room.act(3, { signal: AbortSignal.timeout(1000) });
  console.log(n.toFixed(), data);
} catch (error) {
  if (error instanceof OutlastError && error.code === "unknown") console.log(pushes, off, undo);
}
// @ts-expect-error there is no such event
session.on("statsu", () => {});
// @ts-expect-error a state has its type
const wrong: string = room.state;
// @ts-expect-error what is the session's own is not offered
room.receive({});
`;

test("the_package_has_types_and_runs_where_it_is_installed", (t) => {
  const home = mkdtempSync(join(tmpdir(), "outlast-package-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const run = (command, ...args) => {
    try {
      return execFileSync(command, args, { cwd: home, encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      assert.fail(`${command} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
    }
  };
  run("npm", "pack", WEB, "--silent", "--pack-destination", home);
  mkdirSync(join(home, "node_modules/outlast"), { recursive: true });
  run("tar", "xzf", "outlast-0.1.0.tgz", "--strip-components=1", "-C", "node_modules/outlast");
  const files = run("find", "node_modules/outlast", "-type", "f").split("\n");
  assert.ok(!files.some((file) => /test|chat|page|node_modules.*node_modules/.test(file.replace("package.json", ""))), files.join("\n"));

  writeFileSync(join(home, "package.json"), `{ "type": "module" }`);
  writeFileSync(join(home, "consumer.ts"), CONSUMER);
  run(TSC, "consumer.ts", "--noEmit", "--strict", "--target", "es2023", "--lib", "es2023,dom,esnext.asynciterable", "--module", "nodenext", "--types", "");

  writeFileSync(join(home, "run.js"), `import { connect } from "outlast"; import { msgpack } from "outlast/msgpack"; console.log(typeof connect, msgpack.protocol);`);
  assert.equal(run(process.execPath, "run.js"), "function outlast.v1.msgpack\n");
});
